//! A task is one thing: targets, loss, predictions, scores and what a report shows of them.
//!
//! A new task is one file here; the training loop does not change.

mod text_classification;

pub use text_classification::{Classified, TextClassification};

use std::fmt::Debug;

use burn::tensor::Tensor;
use serde::Serialize;
use temper_models::{Mode, Model, TokenBatch};

use crate::metrics::ConfusionMatrix;

/// What differs between tasks.
pub trait Task: Clone + Debug + Send + Sync + 'static {
    /// What an example should yield.
    type Target: Clone + Debug + Send + Sync + 'static;
    /// What the model yields for an example, on the host.
    type Prediction: Clone + Debug + Send + 'static;

    /// The loss summed over the examples of a batch, so that parts of a batch add up.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]`, targets: one a row; output: `[1]`
    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Self::Target], mode: Mode) -> Tensor<1>;

    /// One prediction a row, without dropout.
    fn predict(&self, model: &Model, tokens: &TokenBatch) -> Vec<Self::Prediction>;

    /// Metrics over a whole split.
    fn score(&self, predictions: &[Self::Prediction], targets: &[Self::Target]) -> Scores;

    /// The predictions that were wrong with the highest confidence: example and explanation.
    fn worst(&self, predictions: &[Self::Prediction], targets: &[Self::Target]) -> Vec<(usize, String)>;

    /// Largest absolute difference between two sets of predictions.
    fn difference(&self, first: &[Self::Prediction], second: &[Self::Prediction]) -> f64;
}

/// Metrics of one split.
#[derive(Clone, Debug, Serialize)]
pub struct Scores {
    /// Name and value, the one that chooses the best checkpoint first; higher is better there.
    pub metrics: Vec<(&'static str, f64)>,
    /// 95 % interval of the first metric.
    pub interval: [f64; 2],
    /// What the simplest guess reaches in the first metric.
    pub baseline: f64,
    /// Counts by true and predicted label, where the task has labels.
    pub confusion: Option<ConfusionMatrix>,
}

impl Scores {
    /// The metric that chooses the best checkpoint.
    pub fn headline(&self) -> f64 {
        self.metrics.first().map_or(0.0, |&(_, value)| value)
    }

    /// Its name.
    pub fn headline_name(&self) -> &'static str {
        self.metrics.first().map_or("", |&(name, _)| name)
    }
}
