//! Tasks: what a model is fine-tuned for.
//!
//! A task is one file: how its data is read and encoded, the head, the loss, the scores, and how predictions are put
//! into words. A new task is a file here and an entry in `list.rs`; nothing else names one.

mod answers;
mod best_spans;
mod classified;
mod data;
mod decisions;
mod filled;
mod labelled_texts;
mod language_modeling;
mod list;
mod masked;
mod masked_language_modeling;
mod masking;
pub(crate) mod metrics_by_name;
mod objective;
mod per_token;
mod predictions;
mod question_answering;
mod sequences;
mod span_loss;
mod spans;
mod text_classification;
mod text_outputs;
mod text_predictions;
mod text_to_text;
mod token_classification;
mod token_predictions;
mod vocabulary;
mod word_predictions;
mod words;
mod written;

pub use classified::Classified;
pub use data::{Baseline, Encoder, ExamineRequest, Examples, LoadRequest, Splits};
pub use decisions::DecisionOptions;
pub use language_modeling::LanguageModeling;
pub use list::{by_name, examine, load, of_model};
pub use masked_language_modeling::{MaskedLanguageModeling, add_mask_token};
pub use predictions::{Decoded, Output, Predictions, ScoreTable, ScoredPredictions, Scores};
pub use question_answering::QuestionAnswering;
pub use text_classification::TextClassification;
pub use text_to_text::TextToText;
pub use token_classification::TokenClassification;

use std::fmt::Debug;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use serde_json::{Map, Value};
use temper_data::{Batch, EncodedSet, UnlabelledText};
use temper_models::{HeadRequest, HeadTask, Mode, Model, OutputMeaning, TokenBatch};

use crate::examples::{Features, Target};
use crate::{Settings, TrainError};

/// The task of a model; `None` where its head is that of another.
type OfModel = Result<Option<Arc<dyn Task>>, TrainError>;

/// What differs between tasks.
pub trait Task: Debug + Send + Sync {
    /// Which task it is.
    fn kind(&self) -> temper_data::Task;

    /// Names of the labels, by id; empty for a task without labels.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Which texts an example has.
    fn inputs(&self) -> Inputs {
        Inputs::TEXTS
    }

    /// What else is to be known of a model that was trained for it, besides its configuration: kept in temper.json.
    fn record(&self) -> Map<String, Value> {
        Map::new()
    }

    /// What an example of a dataset for it has, in words.
    fn targets_in_words(&self) -> &'static str;

    /// What the outputs mean, in words.
    fn outputs_in_words(&self) -> &'static str;

    /// The new head that a model gets for this task.
    fn head(&self, settings: &Settings) -> HeadRequest;

    /// What to say of predictions that are not what they usually are.
    fn notice(&self) -> Option<String> {
        None
    }

    /// Whether the model has a decoder that reads the targets.
    fn has_decoder(&self) -> bool {
        false
    }

    /// A batch with what the decoder reads of its targets.
    fn with_decoder(&self, batch: TokenBatch, _targets: &[Target], _device: &Device) -> TokenBatch {
        batch
    }

    /// Whether a batch is drawn again for each pass over the data ([`Task::redraw`]).
    fn redraws(&self) -> bool {
        false
    }

    /// Draws again, for one pass over the data, what of a batch is drawn; returns how much the batch counts in the mean
    /// of a step. By default nothing is drawn.
    fn redraw(&self, _tokens: &mut Batch, _targets: &mut [Target], _draw: Draw) -> Option<f64> {
        None
    }

    /// The loss summed over the targets of a batch, so that parts of a batch add up.
    ///
    /// # Shapes
    /// - tokens: `[tokens]`, targets: one a sequence; output: `[1]`
    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1>;

    /// What the model gives for each sequence, without dropout. Where that would be a row for each token of the
    /// vocabulary, it is how well the targets are predicted.
    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output>;

    /// Whether a long text is spread over windows; else it is cut.
    fn is_spread(&self) -> bool {
        false
    }

    /// Begins to predict texts of which nobody knows what they should be. `encoded` are the texts as they are, cut
    /// unless they are spread over windows.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a text that cannot be encoded.
    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError>;

    /// Refuses to score this task's model on data for another.
    ///
    /// # Errors
    /// [`TrainError::Usage`].
    fn check_data(&self, data: &dyn Task) -> Result<(), TrainError> {
        if self.kind() != data.kind() || self.targets_in_words() != data.targets_in_words() {
            return Err(TrainError::Usage(format!(
                "the dataset has {}, and the model is not for that: its outputs are {}",
                data.targets_in_words(),
                self.outputs_in_words()
            )));
        }
        if self.labels() != data.labels() {
            return Err(TrainError::Usage(format!(
                "the dataset has the labels {:?}, the model {:?}: they belong to different tasks",
                data.labels(),
                self.labels()
            )));
        }
        Ok(())
    }
}

/// A new head for a task, of one output a label where it has labels.
fn new_head(task: HeadTask, labels: &[String], settings: &Settings) -> HeadRequest {
    HeadRequest::New {
        task,
        labels: labels.to_vec(),
        outputs: OutputMeaning::SingleLabel,
        pooling: settings.pooling,
        seed: settings.seed,
    }
}

/// The texts of an example, by the roles of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The role of the first text.
    pub first: &'static str,
    /// The role of the second, where there can be one.
    pub second: &'static str,
    /// When there is a second text.
    pub pairing: Pairing,
}

/// When an example has a second text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Always.
    Always,
    /// Where the examples of the training had one.
    AsTrained,
    /// Where the user gives one.
    AsGiven,
}

impl Inputs {
    /// A text, or two of them.
    pub const TEXTS: Self = Self { first: "text", second: "text_pair", pairing: Pairing::AsTrained };

    /// A text, or two of them if the user likes.
    pub const TEXTS_AS_GIVEN: Self = Self { pairing: Pairing::AsGiven, ..Self::TEXTS };
}

/// From what a draw is made: with the number of a feature, so that a resumed run draws what an uninterrupted one would
/// have drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Passes over the data before this one.
    pub epoch: u64,
}
