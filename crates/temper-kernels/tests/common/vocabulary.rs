//! A map to a vocabulary with its loss, for tests of backends.

use burn::tensor::{Device, FloatDType, Tensor};
use temper_kernels::{Precision, VocabularyTargets, VocabularyWeights, vocabulary_loss, vocabulary_scores};

/// What a map is: whether its weight is `[vocab, hidden]`, whether it has a bias, smoothing, and a cap.
pub type Case = (bool, bool, f32, Option<f32>);

pub const CASES: [Case; 4] = [
    (true, false, 0.0, None),
    (false, true, 0.0, None),
    (true, true, 0.1, None),
    (true, false, 0.1, Some(3.0)),
];

/// Loss, scores (`[2, rows]`), and the gradients of x, weight and bias.
pub fn mapped_to_vocabulary(
    [rows, hidden, vocab]: [usize; 3],
    (is_transposed, has_bias, smoothing, soft_cap): Case,
    precision: Precision,
    tensor: fn([usize; 2], usize, &Device) -> Tensor<2>,
    device: &Device,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let x = tensor([rows, hidden], 1, &device).require_grad();
    let shape = if is_transposed { [vocab, hidden] } else { [hidden, vocab] };
    let weight = tensor(shape, 2, &device).require_grad();
    // [1, vocab] -> [vocab]
    let bias = tensor([1, vocab], 3, &device).reshape([vocab]).detach().require_grad();
    // Some rows have no target, and one has the last token of the vocabulary.
    let id = |row: usize| if row % 3 == 2 { -100 } else { (vocab - 1 - row * 7919 % vocab) as i32 };
    let targets = VocabularyTargets { ids: (0..rows).map(id).collect(), smoothing };
    let map = || VocabularyWeights {
        weight: weight.clone(),
        is_transposed,
        bias: has_bias.then(|| bias.clone()),
        precision,
        soft_cap,
    };
    let loss = vocabulary_loss(x.clone(), map(), &targets);
    let gradients = (loss.clone() * 0.3).sum().backward();
    let scores = vocabulary_scores(x.clone(), map(), &targets);
    let mut found = vec![values(loss.inner()), values(scores)];
    found.extend([x, weight].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found.extend(bias.grad(&gradients).map(values));
    found
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().iter::<f32>().collect()
}
