//! The loss of spans: a softmax over the tokens of each sequence, one for the start and one for the end.

use burn::tensor::{Bool, Int, Tensor, TensorData};
use temper_kernels::{RowIndex, Sequences, cross_entropy, look_up};

use super::per_token::NO_TARGET;
use crate::examples::Target;

/// The logit of a place after the end of a sequence: its probability is zero.
const NOWHERE: f64 = -1e30;

/// The sum over sequences of the mean of two cross-entropies, that of the start and that of the end, `[1]`. As
/// `ForQuestionAnsweringLoss` of transformers 5.23 for a batch without padding, but a sum and not a mean.
///
/// # Shapes
/// - logits: `[tokens, 2]`, targets: start and end in each sequence
pub(super) fn span_loss(logits: Tensor<2>, sequences: &Sequences, targets: &[Target]) -> Tensor<1> {
    let (count, longest) = (sequences.count(), sequences.longest());
    let device = logits.device().inner();
    let ids: Vec<i32> = targets.iter().flat_map(ends).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [2 * count]), &device);
    let rectangle = |places: &dyn Fn(std::ops::Range<usize>, usize) -> i32| -> Vec<i32> {
        let row = |range: std::ops::Range<usize>| (0..longest).map(move |place| places(range.clone(), place));
        sequences.ranges().flat_map(row).collect()
    };
    // After its end a sequence has its last token again.
    let rows = rectangle(&|range, place| (range.start + place.min(range.len() - 1)) as i32);
    // [tokens, 2] -> [sequences, longest, 2] -> [sequences * 2, longest]
    let logits = look_up(logits, &RowIndex::new(rows, &device))
        .reshape([count, longest, 2])
        .swap_dims(1, 2)
        .reshape([2 * count, longest]);
    let is_behind = rectangle(&|range, place| i32::from(place >= range.len()));
    let is_behind = Tensor::<2, Int>::from_data(TensorData::new(is_behind, [count, longest]), &device);
    let is_behind: Tensor<2, Bool> =
        is_behind.equal_elem(1).unsqueeze_dim::<3>(1).repeat_dim(1, 2).reshape([2 * count, longest]);
    cross_entropy(logits.mask_fill(is_behind, NOWHERE), ids).sum() / 2.0
}

/// Start and end of a target.
fn ends(target: &Target) -> [i32; 2] {
    match target {
        Target::Ids(ids) if ids.len() == 2 => [ids[0], ids[1]],
        _ => [NO_TARGET; 2],
    }
}

/// The same loss of one sequence on the host, in nats; 0 where its target is not known.
///
/// # Shapes
/// - logits: `[tokens, 2]`
pub(super) fn span_loss_of(logits: &[f32], target: &Target) -> f64 {
    let loss = |(column, end): (usize, i32)| {
        let Ok(end) = usize::try_from(end) else { return 0.0 };
        let column: Vec<f32> = logits.iter().skip(column).step_by(2).copied().collect();
        let highest = column.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = column.iter().map(|logit| f64::from(logit - highest).exp()).sum();
        sum.ln() - f64::from(column[end] - highest)
    };
    ends(target).into_iter().enumerate().map(loss).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use temper_models::{HeadRequest, Mode, Model, TokenBatch};

    use super::*;
    use crate::tasks::per_token;

    fn spans(ends: &[[i32; 2]]) -> Vec<Target> {
        ends.iter().map(|ends| Target::Ids(ends.to_vec())).collect()
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|number| ((number * 7919) % 101) as f32 / 25.0 - 2.0).collect()
    }

    /// The loss and its gradient.
    fn of(values: &[f32], lengths: &[usize], targets: &[Target]) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let data = TensorData::new(values.to_vec(), [values.len() / 2, 2]);
        let logits = Tensor::<2>::from_data(data, &device).require_grad();
        let loss = span_loss(logits.clone(), &Sequences::of_lengths(lengths), targets);
        let gradients = loss.backward();
        let gradient = logits.grad(&gradients).expect("the loss depends on it");
        (loss.into_scalar::<f32>(), gradient.into_data().iter::<f32>().collect())
    }

    #[test]
    fn sequences_of_other_lengths_change_neither_loss_nor_gradient() {
        let (lengths, values) = ([5, 1, 3], numbers(18));
        let targets = spans(&[[4, 0], [0, 0], [1, 2]]);
        let (loss, gradient) = of(&values, &lengths, &targets);
        let (mut sum, mut alone, mut from) = (0.0, Vec::new(), 0);
        for (length, target) in lengths.into_iter().zip(&targets) {
            let values = &values[from..from + 2 * length];
            let (loss, gradient) = of(values, &[length], std::slice::from_ref(target));
            assert!((f64::from(loss) - span_loss_of(values, target)).abs() < 1e-5);
            sum += loss;
            alone.extend(gradient);
            from += 2 * length;
        }
        assert!((loss - sum).abs() < 1e-5, "{loss} {sum}");
        assert!(alone.iter().any(|value| value.abs() > 0.1));
        for (found, expected) in gradient.iter().zip(&alone) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?} {alone:?}");
        }
    }

    #[test]
    fn an_unknown_target_costs_nothing() {
        let (loss, gradient) = of(&numbers(6), &[2, 1], &[Target::Unknown, Target::Unknown]);
        assert_eq!((loss, gradient), (0.0, vec![0.0; 6]));
        assert_eq!(span_loss_of(&numbers(6), &Target::Unknown), 0.0);
    }

    /// The zoo's `loss` is the mean of what transformers gives for each row by itself, without padding.
    #[test]
    fn the_loss_is_that_of_transformers() {
        let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
        for name in ["bert-question-answering", "roberta-question-answering", "distilbert-question-answering"]
        {
            let dir = zoo.join(name);
            let bytes = std::fs::read(dir.join("reference.safetensors")).unwrap();
            let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let integers = |name: &str| -> Vec<i64> {
                let data = reference.tensor(name).unwrap();
                data.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
            };
            let settings = std::fs::read_to_string(dir.join("settings.json")).unwrap();
            let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
            let lengths: Vec<u32> = serde_json::from_value(settings["lengths"].clone()).unwrap();
            let padded = integers("input_ids");
            let rows = padded.chunks(padded.len() / lengths.len()).zip(&lengths);
            let ids: Vec<u32> =
                rows.flat_map(|(row, &length)| row[..length as usize].iter().map(|&id| id as u32)).collect();
            let ends = integers("start_positions").into_iter().zip(integers("end_positions"));
            let targets: Vec<Target> =
                ends.map(|(start, end)| Target::Ids(vec![start as i32, end as i32])).collect();

            let device = Device::flex();
            let model = Model::load(&dir, &HeadRequest::FromConfig, &device).unwrap().model;
            let types = match reference.tensor("token_type_ids") {
                Ok(_) => {
                    let padded = integers("token_type_ids");
                    let rows = padded.chunks(padded.len() / lengths.len()).zip(&lengths);
                    rows.flat_map(|(row, &length)| row[..length as usize].iter().map(|&id| id as u32))
                        .collect()
                }
                Err(_) => vec![0; ids.len()],
            };
            let batch = TokenBatch::new(&ids, &types, &lengths, &device);
            let logits = per_token::logits(&model, &batch, Mode::Evaluate);
            let loss =
                span_loss(logits, &batch.sequences, &targets).into_scalar::<f32>() / lengths.len() as f32;
            let expected = reference.tensor("loss").unwrap();
            let expected = f32::from_le_bytes(expected.data().try_into().unwrap());
            assert!((loss - expected).abs() < 1e-5, "{name}: {loss} {expected}");
        }
    }
}
