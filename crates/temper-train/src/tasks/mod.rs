//! A task is one thing: how examples are read and encoded, the head, the loss, the metrics, and how
//! predictions are put into words.
//!
//! A new task is one file here and one line in each of `finetune`, `evaluate` and `predict`, which
//! choose; the training loop and the run folder do not change.

mod classified;
mod text_classification;

pub use classified::Classified;
pub use text_classification::TextClassification;

use std::fmt::Debug;

use burn::tensor::Tensor;
use serde::Serialize;
use temper_data::{EncodedSet, TextTokenizer};
use temper_hub::Hub;
use temper_models::{HeadRequest, Mode, Model, ModelConfig, TokenBatch};

use crate::data::{Split, Splits};
use crate::metrics::ConfusionMatrix;
use crate::training::Examples;
use crate::{RunRequest, Settings, TrainError};

/// What differs between tasks.
pub trait Task: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What an example should yield.
    type Target: Clone + Debug + Send + Sync + 'static;
    /// What the model yields for an example, on the host.
    type Prediction: Clone + Debug + Send + 'static;

    /// Reads and encodes the wanted splits of a dataset; the task is what the data makes of it,
    /// such as its labels.
    ///
    /// # Errors
    /// [`TrainError::Data`].
    fn load(
        hub: &Hub,
        request: &RunRequest,
        tokenizer: &TextTokenizer,
        wanted: &[Split],
    ) -> Result<(Self, Splits<Self>), TrainError>;

    /// The task that a fine-tuned model was trained for.
    ///
    /// # Errors
    /// [`TrainError::Usage`] when its head is not this task's.
    fn of_model(model: &Model, config: &ModelConfig) -> Result<Self, TrainError>;

    /// Refuses to score this task's model on data for another.
    ///
    /// # Errors
    /// [`TrainError::Usage`].
    fn check_data(&self, data: &Self) -> Result<(), TrainError>;

    /// Examples to predict on, of which nobody says what they should yield.
    fn unlabelled(&self, encoded: EncodedSet) -> Examples<Self>;

    /// What to say of predictions that are not what they usually are.
    fn notice(&self) -> Option<String>;

    /// What of a prediction is no number, if anything.
    fn not_finite(&self, prediction: &Self::Prediction) -> Option<&'static str>;

    /// The new head that a model gets for this task.
    fn head(&self, settings: &Settings) -> HeadRequest;

    /// The loss summed over the examples of a batch, so that parts of a batch add up.
    ///
    /// # Shapes
    /// - tokens: `[tokens]`, targets: one a sequence; output: `[1]`
    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Self::Target], mode: Mode) -> Tensor<1>;

    /// One prediction a sequence, without dropout.
    fn predict(&self, model: &Model, tokens: &TokenBatch) -> Vec<Self::Prediction>;

    /// Metrics over a whole split.
    fn score(&self, predictions: &[Self::Prediction], targets: &[Self::Target]) -> Scores;

    /// Whether a prediction is right as a whole.
    fn is_right(&self, prediction: &Self::Prediction, target: &Self::Target) -> bool;

    /// The predictions that were wrong with the highest confidence: example and explanation.
    fn worst(&self, predictions: &[Self::Prediction], targets: &[Self::Target]) -> Vec<(usize, String)>;

    /// A prediction in words: a line, and fields for JSON.
    fn decode(&self, prediction: &Self::Prediction) -> Decoded;

    /// Largest absolute difference between two sets of predictions.
    fn difference(&self, first: &[Self::Prediction], second: &[Self::Prediction]) -> f64;
}

/// A prediction in words.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Columns of a line, separated by tabs.
    pub line: String,
    /// The same and more, by name.
    pub fields: serde_json::Map<String, serde_json::Value>,
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
