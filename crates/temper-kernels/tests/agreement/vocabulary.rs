//! The map to a vocabulary with its loss.

use burn::tensor::{Device, Tensor};
use temper_kernels::{
    Precision, VocabularyTargets, VocabularyWeights, composed_loss, composed_scores, vocabulary_loss,
    vocabulary_scores,
};

use super::common::{Operand, assert_close, numbers};
use super::{Pair, vector};

type Operation = Box<dyn Fn(&[Tensor<2>]) -> Tensor<2>>;

fn map(tensors: &[Tensor<2>], is_transposed: bool, soft_cap: Option<f32>) -> VocabularyWeights {
    let (weight, bias) = (tensors[1].clone(), tensors.get(2).map(vector));
    VocabularyWeights { weight, is_transposed, bias, precision: Precision::F32, soft_cap }
}

/// Operands: x, weight, and the bias where there is one.
fn pair(
    targets: &VocabularyTargets,
    is_transposed: bool,
    soft_cap: Option<f32>,
) -> Pair<Operation, Operation> {
    let (fused, composed) = (targets.clone(), targets.clone());
    // [1] -> [1, 1]
    Pair {
        name: format!("vocabulary loss of {targets:?}, transposed: {is_transposed}, cap: {soft_cap:?}"),
        fused: Box::new(move |tensors| {
            vocabulary_loss(tensors[0].clone(), map(tensors, is_transposed, soft_cap), &fused).reshape([1, 1])
        }),
        composed: Box::new(move |tensors| {
            let logits = map(tensors, is_transposed, soft_cap).logits(tensors[0].clone());
            composed_loss(logits, &composed).reshape([1, 1])
        }),
    }
}

fn targets(rows: usize, vocab: usize, smoothing: f32) -> VocabularyTargets {
    let id = |row: usize| if row % 3 == 1 { -100 } else { (row * 7 % vocab) as i32 };
    VocabularyTargets { ids: (0..rows).map(id).collect(), smoothing }
}

fn operands(rows: usize, hidden: usize, vocab: usize, is_transposed: bool) -> [Operand; 3] {
    let weight = if is_transposed { Operand::new(vocab, hidden) } else { Operand::new(hidden, vocab) };
    [Operand::new(rows, hidden), weight, Operand::new(1, vocab)]
}

#[test]
fn vocabulary_loss_agrees_for_every_choice_of_gradients() {
    for is_transposed in [false, true] {
        for (smoothing, cap) in [(0.0, None), (0.1, None), (0.1, Some(2.0))] {
            for (rows, hidden, vocab) in [(1, 5, 2), (7, 33, 20), (130, 16, 301)] {
                let operands = operands(rows, hidden, vocab, is_transposed);
                let pair = pair(&targets(rows, vocab, smoothing), is_transposed, cap);
                pair.agree_for_every_choice(&operands);
                pair.agree_for_every_choice(&operands[..2]);
            }
        }
    }
}

#[test]
fn rows_without_a_target_have_no_loss_and_no_gradient() {
    let none = VocabularyTargets { ids: vec![-100; 7].into(), smoothing: 0.1 };
    pair(&none, false, None).agree_for_every_choice(&operands(7, 9, 20, false));
}

#[test]
fn scores_are_those_of_the_logits() {
    let device = Device::flex();
    for is_transposed in [false, true] {
        let operands = operands(60, 16, 31, is_transposed);
        let tensors: Vec<Tensor<2>> = (1..)
            .zip(&operands)
            .map(|(seed, operand)| Operand { tracked: false, ..*operand }.tensor(seed, &device))
            .collect();
        let map = map(&tensors, is_transposed, None);
        // Smoothing belongs to training.
        let targets = targets(60, 31, 0.3);
        let logits = map.clone().logits(tensors[0].clone());
        let found = numbers(vocabulary_scores(tensors[0].clone(), map, &targets));
        let expected = numbers(composed_scores(logits, &targets));
        assert_close("scores", &found, &expected);
        assert!(found[60..].contains(&1.0) && found[60..].contains(&0.0));
    }
}
