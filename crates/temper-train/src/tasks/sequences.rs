//! Sequences whose tokens are predicted: what tasks with a head for the vocabulary share.

use std::sync::Arc;

use temper_data::{DataReport, DatasetRows, Document, SplitContent, TextTokenizer};

use super::token_predictions::{TokenBaseline, TokenPredictions};
use super::{Baseline, Examples, LoadRequest, ScoredPredictions, Splits, Task};
use crate::examples::{Features, Split, within_budget};

/// The sequences of a split.
#[derive(Debug)]
pub(super) struct SplitSequences {
    pub(super) features: Features,
    /// For each, the bytes of text of its predicted tokens.
    pub(super) bytes: Vec<usize>,
}

/// The splits of a task for a dataset of such sequences. `full_train_tokens` are those of the whole training split.
pub(super) fn splits_of(
    request: &LoadRequest<'_>,
    rows: DatasetRows<Document>,
    task: impl Task + 'static,
    splits: [SplitSequences; 3],
    full_train_tokens: usize,
) -> Splits {
    let [train, validation, test] = splits.each_ref().map(|split| split.features.clone());
    let contents = [&train, &validation, &test].map(|features| SplitContent {
        examples: features.len(),
        labels: &[],
        encoded: &features.encoded,
    });
    let report = DataReport::new(&rows, &[], contents);
    let baseline = TokenBaseline::of(&train, request.tokenizer.vocab_size());
    Splits {
        task: Arc::new(task),
        name: rows.name,
        columns: rows.columns,
        resolved: rows.resolved,
        examples: Arc::new(Sequences { tokenizer: request.tokenizer.clone(), splits, baseline }),
        train,
        validation,
        test,
        full_train_tokens,
        report,
    }
}

/// Of training sequences with so many tokens each those that the token budget leaves, and the tokens of the whole split.
pub(super) fn within_tokens<T>(
    request: &LoadRequest<'_>,
    sequences: Vec<T>,
    tokens: impl Fn(&T) -> usize,
    share_of_rows: f64,
) -> (Vec<T>, usize) {
    let all: usize = sequences.iter().map(tokens).sum();
    let kept = within_budget(all, sequences.len(), request.settings.max_train_tokens);
    let left = sequences.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept).map(|(sequence, _)| sequence);
    (left.collect(), (all as f64 / share_of_rows) as usize)
}

/// The share of the training rows that a limit of rows left; 1 of a running text, which has no rows.
pub(super) fn share_of_rows(rows: &DatasetRows<Document>, is_running: bool) -> f64 {
    if is_running { 1.0 } else { rows.train.len() as f64 / rows.full_train_rows.max(1) as f64 }
}

/// The sequences of a dataset.
#[derive(Debug)]
struct Sequences {
    tokenizer: TextTokenizer,
    /// By split.
    splits: [SplitSequences; 3],
    baseline: TokenBaseline,
}

impl Sequences {
    fn predictions(&self, split: Split) -> TokenPredictions {
        let SplitSequences { features, bytes } = &self.splits[split as usize];
        TokenPredictions::new(features, bytes, features.len(), Some(self.baseline.clone()))
    }
}

impl Examples for Sequences {
    fn text(&self, split: Split, example: usize) -> String {
        let ids = &self.splits[split as usize].features.encoded.items[example].ids;
        self.tokenizer.decode(ids).unwrap_or_default()
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions> {
        Box::new(Sequences::predictions(&self, split))
    }

    /// How often each token occurs in training.
    fn baselines(&self) -> Vec<Baseline> {
        let mut predictions = Sequences::predictions(self, Split::Test);
        predictions.give(&self.baseline);
        let scores = predictions.scores();
        vec![Baseline {
            name: "frequency of each token".into(),
            metrics: scores.metrics,
            interval: scores.interval,
            training_seconds: 0.0,
            scores: predictions.example_scores(),
        }]
    }
}
