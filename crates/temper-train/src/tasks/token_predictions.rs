//! Scores of predicted tokens.

use std::sync::Arc;

use serde_json::{Map, json};
use temper_metrics::bootstrap_interval;

use super::{Decoded, Output, Predictions, ScoredPredictions, Scores};
use crate::examples::{Features, Target};

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

/// What tokens cost together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// In nats.
    loss: f64,
    /// Where the right token was the most probable one.
    hits: usize,
    tokens: usize,
    /// Of the text of the predicted tokens.
    bytes: usize,
}

impl Sum {
    fn of<'a>(sums: impl Iterator<Item = &'a Self>) -> Self {
        sums.fold(Self::default(), |all, next| Self {
            loss: all.loss + next.loss,
            hits: all.hits + next.hits,
            tokens: all.tokens + next.tokens,
            bytes: all.bytes + next.bytes,
        })
    }

    /// Nats a token.
    fn mean(&self) -> f64 {
        self.loss / self.tokens.max(1) as f64
    }
}

/// What a model says of some texts, as sums of losses.
pub(super) struct TokenPredictions {
    targets: Arc<Vec<Target>>,
    /// The text that each feature is of.
    examples: Arc<Vec<usize>>,
    /// Of each text.
    sums: Vec<Sum>,
    /// Of each pair of texts whose label is predicted, too.
    pairs: Vec<Sum>,
    baseline: Option<TokenBaseline>,
}

impl TokenPredictions {
    /// No predictions yet, for features whose predicted tokens have so many bytes of text each.
    pub(super) fn new(
        features: &Features,
        bytes: &[usize],
        texts: usize,
        baseline: Option<TokenBaseline>,
    ) -> Self {
        let mut sums = vec![Sum::default(); texts];
        features.examples.iter().zip(bytes).for_each(|(&example, bytes)| sums[example].bytes += bytes);
        let (targets, examples) = (features.targets.clone(), features.examples.clone());
        Self { targets, examples, sums, pairs: Vec::new(), baseline }
    }

    /// Predicts all features by how frequent their tokens are.
    pub(super) fn give(&mut self, baseline: &TokenBaseline) {
        for feature in 0..self.targets.len() {
            let loss = |&id: &i32| usize::try_from(id).map_or(0.0, |id| baseline.loss(id) as f32);
            let target = &self.targets[feature];
            let mut logits: Vec<f32> = target.ids().iter().flat_map(|id| [loss(id), 0.0]).collect();
            if let Some(follows) = follows(target) {
                logits[..2].copy_from_slice(&baseline.of_pair(follows));
            }
            self.add(feature, Output::new(2, logits));
        }
    }

    /// Nats a token that the baseline costs on these texts.
    fn baseline_mean(&self, baseline: &TokenBaseline) -> f64 {
        let ids = self.targets.iter().flat_map(|target| target.ids());
        let losses = ids.filter_map(|&id| usize::try_from(id).ok()).map(|id| baseline.loss(id));
        let (sum, count) = losses.fold((0.0, 0), |(sum, count), loss| (sum + loss, count + 1));
        sum / f64::from(count.max(1))
    }
}

/// How often each token is the right one in training, one more counted for each of the vocabulary (Laplace).
#[derive(Clone, Debug)]
pub(super) struct TokenBaseline {
    counts: Arc<Vec<u32>>,
    total: f64,
    /// Share of the pairs in training whose second text follows the first.
    following: f64,
}

/// Whether the second text of a pair follows the first.
fn follows(target: &Target) -> Option<bool> {
    match target {
        Target::Masked(target) => target.follows,
        _ => None,
    }
}

impl TokenBaseline {
    /// Counts the targets of features; without any, all tokens are equally probable.
    pub(super) fn of(features: &Features, vocab_size: usize) -> Self {
        let mut counts = vec![1; vocab_size];
        let ids = features.targets.iter().flat_map(|target| target.ids());
        ids.filter_map(|&id| usize::try_from(id).ok()).for_each(|id| counts[id] += 1);
        let total = counts.iter().map(|&count| f64::from(count)).sum();
        let pairs: Vec<bool> = features.targets.iter().filter_map(follows).collect();
        let following = pairs.iter().filter(|follows| **follows).count();
        Self { counts: Arc::new(counts), total, following: (following + 1) as f64 / (pairs.len() + 2) as f64 }
    }

    /// Nats that the label of a pair costs, and 1 where it is the more frequent one.
    fn of_pair(&self, follows: bool) -> [f32; 2] {
        let share = if follows { self.following } else { 1.0 - self.following };
        [-share.ln() as f32, f32::from(share >= 0.5)]
    }

    /// Nats that a token costs.
    fn loss(&self, id: usize) -> f64 {
        self.total.ln() - f64::from(self.counts[id]).ln()
    }
}

impl Predictions for TokenPredictions {
    fn add(&mut self, feature: usize, output: Output) {
        let of_pair = follows(&self.targets[feature]).and(output.logits.get(..2));
        self.pairs.extend(of_pair.map(|pair| Sum {
            loss: f64::from(pair[0]),
            hits: usize::from(pair[1] > 0.5),
            tokens: 1,
            bytes: 0,
        }));
        let sum = &mut self.sums[self.examples[feature]];
        for (&target, row) in self.targets[feature].ids().iter().zip(output.logits.chunks(output.columns)) {
            if let ([loss, hit], true) = (row, target >= 0) {
                sum.loss += f64::from(*loss);
                sum.hits += usize::from(*hit > 0.5);
                sum.tokens += 1;
            }
        }
    }

    fn decode(&self, example: usize) -> Decoded {
        let sum = &self.sums[example];
        let (loss, perplexity) = (sum.mean(), sum.mean().exp());
        let accuracy = sum.hits as f64 / sum.tokens.max(1) as f64;
        let fields = [
            ("perplexity", json!(perplexity)),
            ("loss", json!(loss)),
            ("accuracy", json!(accuracy)),
            ("tokens", json!(sum.tokens)),
            ("bytes", json!(sum.bytes)),
        ];
        let fields = Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value)));
        Decoded { line: format!("{perplexity:.4}\t{}", sum.tokens), fields }
    }
}

impl ScoredPredictions for TokenPredictions {
    /// Perplexity by token, and by byte where all of a text is predicted; the latter does not depend on the tokenizer.
    fn scores(&self) -> Scores {
        let all = Sum::of(self.sums.iter());
        let mut metrics = vec![
            ("perplexity", all.mean().exp()),
            ("loss", all.mean()),
            ("accuracy", all.hits as f64 / all.tokens.max(1) as f64),
        ];
        if all.bytes > 0 {
            let of_bytes = all.loss / all.bytes as f64;
            metrics.push(("byte_perplexity", of_bytes.exp()));
            metrics.push(("bits_per_byte", of_bytes / std::f64::consts::LN_2));
        }
        if !self.pairs.is_empty() {
            let pairs = Sum::of(self.pairs.iter());
            metrics.push(("next_sentence_accuracy", pairs.hits as f64 / pairs.tokens as f64));
            metrics.push(("next_sentence_loss", pairs.mean()));
        }
        let perplexity = |texts: &[usize]| Sum::of(texts.iter().map(|&text| &self.sums[text])).mean().exp();
        Scores {
            metrics: metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            lower_is_better: true,
            interval: bootstrap_interval(self.sums.len(), INTERVAL_SEED, perplexity),
            baseline: self.baseline.as_ref().map_or(f64::NAN, |baseline| self.baseline_mean(baseline).exp()),
            baseline_name: "every token as often as in training",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        }
    }

    /// Minus the loss of a token of each text: the higher the better.
    fn example_scores(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| -sum.mean()).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let mut texts: Vec<usize> = (0..self.sums.len()).collect();
        texts.sort_by(|&left, &right| self.sums[right].mean().total_cmp(&self.sums[left].mean()));
        let explain = |text: usize| {
            let sum = &self.sums[text];
            (text, format!("perplexity {:.1} over {} tokens", sum.mean().exp(), sum.tokens))
        };
        texts.into_iter().take(count).map(explain).collect()
    }
}

#[cfg(test)]
mod tests {
    use temper_data::{Encoded, EncodedSet};

    use super::*;

    fn features(targets: &[&[i32]]) -> Features {
        let item = |target: &&[i32]| Encoded {
            ids: vec![0; target.len()],
            type_ids: vec![0; target.len()],
            tokens_lost: 0,
            lost_is_estimate: false,
        };
        let encoded = EncodedSet::new(targets.iter().map(item).collect(), false);
        Features::one_each(encoded, targets.iter().map(|target| Target::Ids(target.to_vec())).collect())
    }

    #[test]
    fn tokens_without_a_target_count_for_nothing() {
        let features = features(&[&[3, 1, -100], &[2, -100, -100]]);
        let mut predictions = TokenPredictions::new(&features, &[6, 2], 2, None);
        let output = |logits: &[f32]| Output::new(2, logits.to_vec());
        predictions.add(0, output(&[1.0, 1.0, 2.0, 0.0, 9.0, 1.0]));
        predictions.add(1, output(&[3.0, 1.0, 9.0, 1.0, 9.0, 1.0]));
        let scores = predictions.scores();
        let metric = |name: &str| scores.metrics.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!((metric("loss"), metric("accuracy")), (2.0, 2.0 / 3.0));
        assert!((metric("perplexity") - 2.0_f64.exp()).abs() < 1e-12);
        assert!((metric("byte_perplexity") - (6.0_f64 / 8.0).exp()).abs() < 1e-12);
        assert_eq!(predictions.example_scores(), [-1.5, -3.0]);
        assert_eq!(predictions.worst(1)[0].0, 1);
        assert!(scores.is_better_than(9.0));
    }

    #[test]
    fn the_baseline_counts_tokens_and_one_more_of_each() {
        let baseline = TokenBaseline::of(&features(&[&[1, 1, -100], &[2]]), 4);
        // 1 + 3 + 2 + 1 of 7.
        assert!((baseline.loss(1) - (7.0_f64 / 3.0).ln()).abs() < 1e-12);
        assert!((baseline.loss(0) - 7.0_f64.ln()).abs() < 1e-12);
    }
}
