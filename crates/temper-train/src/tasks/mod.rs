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
mod text_scores;
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

/// The task of a model; `None` if its head is for another task.
type OfModel = Result<Option<Arc<dyn Task>>, TrainError>;

/// What differs between tasks.
pub trait Task: Debug + Send + Sync {
    /// Which task it is.
    fn kind(&self) -> temper_data::TaskKind;

    /// Names of the labels, by id; empty for a task without labels.
    fn labels(&self) -> &[String] {
        &[]
    }

    /// Which texts an example has.
    fn inputs(&self) -> Inputs {
        Inputs::TEXTS
    }

    /// What temper.json stores about a model trained for this task, besides its configuration.
    fn record(&self) -> Map<String, Value> {
        Map::new()
    }

    /// The targets of a dataset for it, in words.
    fn targets_in_words(&self) -> &'static str;

    /// What the outputs mean, in words.
    fn outputs_in_words(&self) -> &'static str;

    /// The new head that a model gets for this task.
    fn head(&self, settings: &Settings) -> HeadRequest;

    /// A notice if the predictions differ from the usual ones.
    fn notice(&self) -> Option<String> {
        None
    }

    /// Whether the model has a decoder that reads the targets.
    fn has_decoder(&self) -> bool {
        false
    }

    /// A batch with the decoder's input, taken from its targets.
    fn with_decoder(&self, batch: TokenBatch, _targets: &[Target], _device: &Device) -> TokenBatch {
        batch
    }

    /// Whether a batch has random parts that are drawn again for each epoch ([`Task::redraw`]).
    fn redraws(&self) -> bool {
        false
    }

    /// Draws the random parts of a batch for one epoch; returns the weight of the batch in the mean of a step. By
    /// default nothing is drawn.
    fn redraw(&self, _tokens: &mut Batch, _targets: &mut [Target], _draw: Draw) -> Option<f64> {
        None
    }

    /// The loss summed over the targets of a batch, so that parts of a batch add up.
    ///
    /// # Shapes
    /// - tokens: `[tokens]`, targets: one a sequence; output: `[1]`
    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1>;

    /// The model's output for each sequence, without dropout. Where that would be a row of the size of the vocabulary,
    /// the output is the loss of the targets instead.
    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output>;

    /// Whether a long text is spread over windows; otherwise it is truncated.
    fn is_spread(&self) -> bool {
        false
    }

    /// Begins predictions for texts without a label. `encoded` are the texts, truncated unless they are spread over
    /// windows.
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

/// A new head for a task, with one output per label if it has labels.
fn new_head(task: HeadTask, labels: &[String], settings: &Settings) -> HeadRequest {
    HeadRequest::New {
        task,
        labels: labels.to_vec(),
        outputs: OutputMeaning::SingleLabel,
        pooling: settings.pooling,
        seed: settings.seed,
        keep: !settings.new_head,
    }
}

/// The texts of an example, by the roles of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The role of the first text.
    pub first: &'static str,
    /// The role of the second text, if there can be one.
    pub second: &'static str,
    /// When there is a second text.
    pub pairing: Pairing,
    /// Other roles that the columns of its training may have, and those of a second text beside them.
    pub trained_as: &'static [(&'static str, Option<&'static str>)],
}

/// When an example has a second text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Always.
    Always,
    /// If the training examples had one.
    AsTrained,
    /// If the user gives one.
    AsGiven,
}

impl Inputs {
    /// A text, or two of them.
    pub const TEXTS: Self =
        Self { first: "text", second: "text_pair", pairing: Pairing::AsTrained, trained_as: &[] };

    /// One text, or two if the user gives a second.
    pub const TEXTS_AS_GIVEN: Self = Self { pairing: Pairing::AsGiven, ..Self::TEXTS };
}

/// The seed of a random draw, together with the number of a feature: a resumed run draws what an uninterrupted one
/// would have drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Passes over the data before this one.
    pub epoch: u64,
}
