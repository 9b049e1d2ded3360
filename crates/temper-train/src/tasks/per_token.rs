//! What tasks with a row of outputs for each token share.

use burn::tensor::Tensor;
use temper_models::{Mode, Model, TokenBatch};

use super::Output;

/// The target of a token that has none: its loss is zero, without a gradient.
pub(super) const NO_TARGET: i32 = -100;

/// The logits of all tokens.
///
/// # Shapes
/// - tokens: `[tokens]`; output: `[tokens, outputs]`
pub(super) fn logits(model: &Model, tokens: &TokenBatch, mode: Mode) -> Tensor<2> {
    model.logits(tokens, mode).expect("the model was loaded with a head for tokens")
}

/// The outputs of each sequence, `[tokens of it, outputs]`.
pub(super) fn outputs(model: &Model, tokens: &TokenBatch) -> Vec<Output> {
    let logits = logits(model, tokens, Mode::Evaluate);
    let columns = logits.dims()[1];
    let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let of = |rows: std::ops::Range<usize>| values[rows.start * columns..rows.end * columns].to_vec();
    tokens.sequences.ranges().map(|rows| Output::new(columns, of(rows))).collect()
}
