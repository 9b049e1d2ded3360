//! Sequences whose tokens are predicted: what tasks with a head for the vocabulary share.

use std::sync::Arc;

use temper_data::TextTokenizer;

use super::token_predictions::{TokenBaseline, TokenPredictions};
use super::{Baseline, Examples, Predictions};
use crate::examples::{Features, Split};

/// The sequences of a split.
#[derive(Debug)]
pub(super) struct SplitSequences {
    pub(super) features: Features,
    /// Bytes of the text that the predicted tokens of each stand for.
    pub(super) bytes: Vec<usize>,
}

/// The sequences of a dataset.
#[derive(Debug)]
pub(super) struct Sequences {
    pub(super) tokenizer: TextTokenizer,
    /// By split.
    pub(super) splits: [SplitSequences; 3],
    pub(super) baseline: TokenBaseline,
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

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn Predictions> {
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
