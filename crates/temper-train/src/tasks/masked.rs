//! The losses of masked tokens and of pairs of texts, and how well both are predicted. Only tokens with a target are
//! computed in the last layer and the head, and the first of each sequence.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use temper_kernels::{VocabularyTargets, cross_entropy};
use temper_models::{Mode, Model, TokenBatch};

use super::per_token::NO_TARGET;
use super::{Output, vocabulary};
use crate::examples::{MaskedTarget, Target};

const NO_HEAD: &str = "the model was loaded with a head for masked tokens";
/// Outputs of the head for pairs, as transformers has them: 0 is "it follows".
const FOLLOWS: i32 = 0;
const DOES_NOT: i32 = 1;

/// The tokens that are computed.
struct Chosen {
    /// Their numbers in the batch, ascending; the first one of each sequence is among them.
    rows: Vec<usize>,
    /// The target of each, or [`NO_TARGET`].
    ids: Vec<i32>,
    /// How many each sequence has.
    counts: Vec<usize>,
}

impl Chosen {
    /// Those for which `is_wanted` holds, and the first of each sequence. `ids` are the targets of all tokens.
    fn new(tokens: &TokenBatch, ids: &[i32], is_wanted: impl Fn(usize) -> bool) -> Self {
        let of_sequence = |range: std::ops::Range<usize>| {
            let start = range.start;
            range.filter(|&row| row == start || is_wanted(row)).collect::<Vec<usize>>()
        };
        let by_sequence: Vec<Vec<usize>> = tokens.sequences.ranges().map(of_sequence).collect();
        let counts = by_sequence.iter().map(Vec::len).collect();
        let rows = by_sequence.concat();
        let ids = rows.iter().map(|&row| ids.get(row).copied().unwrap_or(NO_TARGET)).collect();
        Self { rows, ids, counts }
    }

    fn of_targets(tokens: &TokenBatch, targets: &[Target]) -> Self {
        let ids: Vec<i32> = targets.iter().flat_map(Target::ids).copied().collect();
        Self::new(tokens, &ids, |row| ids[row] >= 0)
    }

    fn targets(&self, smoothing: f32) -> VocabularyTargets {
        VocabularyTargets { ids: self.ids.clone().into(), smoothing }
    }
}

/// The label of each pair; none for single texts.
fn pair_labels(targets: &[Target]) -> Option<Vec<i32>> {
    let label = |target: &Target| match target {
        Target::Masked(MaskedTarget { follows: Some(follows), .. }) => {
            Some(if *follows { FOLLOWS } else { DOES_NOT })
        }
        _ => None,
    };
    targets.iter().map(label).collect()
}

/// The loss in nats, summed over the tokens with a target. A pair adds the loss of its label as often as it has such tokens:
/// divided by their number, the sum is the mean over the tokens and, with as many tokens in each, the mean over the pairs,
/// as in transformers' `BertForPreTraining`; it is the same however a step is cut into micro-batches.
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
    let chosen = Chosen::of_targets(tokens, targets);
    let batch = tokens.clone().choosing(chosen.rows.clone());
    let Some(labels) = pair_labels(targets) else {
        return model.vocabulary_loss(&batch, &chosen.targets(smoothing), mode).expect(NO_HEAD);
    };
    let (loss, follows) = model.pretraining_loss(&batch, &chosen.targets(smoothing), mode).expect(NO_HEAD);
    let losses = cross_entropy(follows, integers(labels, &tokens.device()));
    let predicted = |target: &Target| target.ids().iter().filter(|&&id| id >= 0).count() as f32;
    let counts: Vec<f32> = targets.iter().map(predicted).collect();
    let counts = TensorData::new(counts, [targets.len()]);
    let mut counts = Tensor::<1>::from_data(counts, &tokens.device());
    if losses.device().is_autodiff() {
        counts = Tensor::from_inner(counts);
    }
    loss + (losses * counts).sum()
}

fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

/// Of each token of each sequence its loss, and 1 where the right one is the most probable; zeros for tokens without a
/// target: `[tokens of it, 2]`. For a pair, the row of the first token is that of its label.
pub(super) fn scores(model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
    let chosen = Chosen::of_targets(tokens, targets);
    let batch = tokens.clone().choosing(chosen.rows.clone());
    let labels = pair_labels(targets);
    let (scores, of_pairs) = match &labels {
        None => (model.vocabulary_scores(&batch, &chosen.targets(0.0)).expect(NO_HEAD), Vec::new()),
        Some(labels) => {
            let (scores, follows) = model.pretraining_scores(&batch, &chosen.targets(0.0)).expect(NO_HEAD);
            (scores, pair_scores(follows, labels))
        }
    };
    let values: Vec<f32> = scores.into_data().iter::<f32>().collect();
    let (losses, hits) = values.split_at(values.len() / 2);
    let mut rows = vec![0.0; 2 * tokens.tokens()];
    for ((row, loss), hit) in chosen.rows.iter().zip(losses).zip(hits) {
        rows[2 * row..][..2].copy_from_slice(&[*loss, *hit]);
    }
    for (range, score) in tokens.sequences.ranges().zip(of_pairs) {
        rows[2 * range.start..][..2].copy_from_slice(&score);
    }
    tokens
        .sequences
        .ranges()
        .map(|range| Output::new(2, rows[2 * range.start..2 * range.end].to_vec()))
        .collect()
}

/// Loss of each pair's label, and 1 where it is the more probable one.
///
/// # Shapes
/// - follows: `[pairs, 2]`
fn pair_scores(follows: Tensor<2>, labels: &[i32]) -> Vec<[f32; 2]> {
    let probabilities: Vec<f32> = softmax(follows, 1).into_data().iter::<f32>().collect();
    let rows = probabilities.chunks_exact(2).zip(labels);
    rows.map(|(row, &label)| {
        let of_label = row[label as usize];
        [-of_label.max(f32::MIN_POSITIVE).ln(), f32::from(of_label >= 0.5)]
    })
    .collect()
}

/// Of the masks of each sequence the `count` most probable tokens with their probabilities, the best first:
/// `[masks of it, count, 2]`. With the head for pairs, a row comes first: the probability that the second text follows, 0.
pub(super) fn best(model: &Model, tokens: &TokenBatch, mask: u32, count: usize) -> Vec<Output> {
    let ids = tokens.ids.host();
    let chosen = Chosen::new(tokens, &[], |row| u32::try_from(ids[row]) == Ok(mask));
    let batch = tokens.clone().choosing(chosen.rows.clone());
    let (logits, follows) = match model.pretrain(&batch, Mode::Evaluate) {
        Some([logits, follows]) => {
            (logits, Some(softmax(follows, 1).into_data().iter::<f32>().collect::<Vec<_>>()))
        }
        None => (model.logits(&batch, Mode::Evaluate).expect(NO_HEAD), None),
    };
    let mut row = 0;
    let mut output = |(sequence, of_sequence): (usize, &usize)| {
        let mut rows: Vec<f32> = follows.iter().flat_map(|follows| [follows[2 * sequence], 0.0]).collect();
        for place in row..row + of_sequence {
            if u32::try_from(ids[chosen.rows[place]]) == Ok(mask) {
                // [tokens, vocab] -> [vocab]
                let logits: Vec<f32> = logits.clone().narrow(0, place, 1).into_data().iter::<f32>().collect();
                rows.extend(vocabulary::most_probable(&logits, count));
            }
        }
        row += of_sequence;
        Output::new(2, rows)
    };
    chosen.counts.iter().enumerate().map(&mut output).collect()
}
