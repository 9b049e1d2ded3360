//! The loss of tokens under a head for the vocabulary, and how well each is predicted.

use burn::tensor::Tensor;
use temper_kernels::VocabularyTargets;
use temper_models::{Mode, Model, TokenBatch};

use super::{Classified, Output};
use crate::examples::Target;

const NO_HEAD: &str = "the model was loaded with a head for the vocabulary";

/// The loss in nats, summed over the tokens with a target.
///
/// # Shapes
/// - tokens: `[tokens]`, targets: one a sequence; output: `[1]`
pub(super) fn loss(
    model: &Model,
    tokens: &TokenBatch,
    targets: &[Target],
    smoothing: f32,
    mode: Mode,
) -> Tensor<1> {
    model.vocabulary_loss(tokens, &of_tokens(targets, smoothing), mode).expect(NO_HEAD)
}

/// Of each token of each sequence, of the decoder where there is one, its loss, and 1 where the right one is the most
/// probable: `[tokens of it, 2]`.
pub(super) fn scores(model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
    let scores = model.vocabulary_scores(tokens, &of_tokens(targets, 0.0)).expect(NO_HEAD);
    let values: Vec<f32> = scores.into_data().iter::<f32>().collect();
    let (losses, hits) = values.split_at(values.len() / 2);
    let rows = |rows: std::ops::Range<usize>| rows.flat_map(|row| [losses[row], hits[row]]).collect();
    let sequences = tokens.decoder.as_ref().map_or(&tokens.sequences, |decoder| &decoder.sequences);
    sequences.ranges().map(|range| Output::new(2, rows(range))).collect()
}

/// The `count` tokens with the highest logits, each id followed by its probability, the best first.
pub(super) fn most_probable(logits: &[f32], count: usize) -> Vec<f32> {
    let row = Classified { logits: logits.to_vec() };
    let probabilities = row.probabilities();
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    ids.sort_by(|&left, &right| logits[right].total_cmp(&logits[left]));
    ids.into_iter().take(count).flat_map(|id| [id as f32, probabilities[id] as f32]).collect()
}

/// A target for each token, those of all sequences one after the other.
fn of_tokens(targets: &[Target], smoothing: f32) -> VocabularyTargets {
    let ids = targets.iter().flat_map(|target| target.ids().iter().copied());
    VocabularyTargets { ids: ids.collect(), smoothing }
}
