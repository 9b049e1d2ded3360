//! Heads: what turns a backbone's hidden states into the output of a task.

mod language_model;
mod pretraining;
mod sequence_classification;
mod token_classification;
mod transform;

pub use language_model::{LanguageModel, LanguageModelConfig, OutputMap};
pub use pretraining::Pretraining;
pub use sequence_classification::{ClassifierConfig, Pooling, SequenceClassification};
pub use token_classification::TokenClassification;
pub use transform::TransformConfig;

use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::WeightFormat;

use crate::embed::mean_of_tokens;
use crate::layers::{HasLinears, LinearWalk};
use crate::{Backbone, Mode, OutputMeaning, Precision, Rows, TokenBatch};

/// What a family's head computes, and the sizes that config.json gives it.
#[derive(Clone, Debug)]
pub enum HeadKind {
    /// Logits of labels, a row a sequence.
    SequenceClassification(ClassifierConfig),
    /// Logits of labels, a row a token.
    TokenClassification {
        /// Before the linear map.
        dropout: f64,
        /// What comes first.
        transform: Option<TransformConfig>,
    },
    /// Logits of a span's start and end, a row a token.
    QuestionAnswering {
        /// Before the linear map.
        dropout: f64,
        /// What comes first.
        transform: Option<TransformConfig>,
    },
    /// Logits of the next token.
    CausalLm(LanguageModelConfig),
    /// Logits of masked tokens.
    MaskedLm(LanguageModelConfig),
    /// BERT's masked language model with next-sentence prediction.
    Pretraining(LanguageModelConfig),
    /// Logits of a decoder's next token.
    Seq2SeqLm(LanguageModelConfig),
}

/// A task that a head is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadTask {
    /// One label a sequence.
    SequenceClassification,
    /// One label a token.
    TokenClassification,
    /// A span of the text.
    QuestionAnswering,
    /// The next token.
    CausalLm,
    /// Masked tokens.
    MaskedLm,
    /// Masked tokens, and whether the second text follows the first.
    Pretraining,
    /// A text from a text.
    Seq2SeqLm,
}

impl HeadKind {
    /// The task it is for.
    pub fn task(&self) -> HeadTask {
        match self {
            Self::SequenceClassification(_) => HeadTask::SequenceClassification,
            Self::TokenClassification { .. } => HeadTask::TokenClassification,
            Self::QuestionAnswering { .. } => HeadTask::QuestionAnswering,
            Self::CausalLm(_) => HeadTask::CausalLm,
            Self::MaskedLm(_) => HeadTask::MaskedLm,
            Self::Pretraining(_) => HeadTask::Pretraining,
            Self::Seq2SeqLm(_) => HeadTask::Seq2SeqLm,
        }
    }

    /// Whether its map to the vocabulary is the token embedding.
    pub(crate) fn is_tied(&self) -> bool {
        match self {
            Self::CausalLm(config)
            | Self::MaskedLm(config)
            | Self::Pretraining(config)
            | Self::Seq2SeqLm(config) => config.output == OutputMap::Tied,
            _ => false,
        }
    }

    /// The same with a map of its own.
    pub(crate) fn untied(self) -> Self {
        let own = |config| LanguageModelConfig { output: OutputMap::Own, ..config };
        match self {
            Self::CausalLm(config) => Self::CausalLm(own(config)),
            Self::MaskedLm(config) => Self::MaskedLm(own(config)),
            Self::Pretraining(config) => Self::Pretraining(own(config)),
            Self::Seq2SeqLm(config) => Self::Seq2SeqLm(own(config)),
            other => other,
        }
    }

    /// The head with zero weights, to be loaded.
    pub(crate) fn init(&self, hidden: usize, labels: usize, device: &Device) -> Head {
        match self {
            Self::SequenceClassification(config) => {
                Head::SequenceClassification(SequenceClassification::new(config, hidden, labels, device))
            }
            Self::TokenClassification { dropout, transform } => Head::TokenClassification(
                TokenClassification::new([hidden, labels], *dropout, *transform, device),
            ),
            Self::QuestionAnswering { dropout, transform } => {
                Head::TokenClassification(TokenClassification::new([hidden, 2], *dropout, *transform, device))
            }
            Self::CausalLm(config) | Self::MaskedLm(config) | Self::Seq2SeqLm(config) => {
                Head::LanguageModel(LanguageModel::new(config, hidden, device))
            }
            Self::Pretraining(config) => Head::Pretraining(Pretraining::new(config, hidden, device)),
        }
    }
}

impl fmt::Display for HeadTask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SequenceClassification => "sequence classification",
            Self::TokenClassification => "token classification",
            Self::QuestionAnswering => "question answering",
            Self::CausalLm => "causal language modeling",
            Self::MaskedLm => "masked language modeling",
            Self::Pretraining => "masked language modeling with next-sentence prediction",
            Self::Seq2SeqLm => "text to text",
        })
    }
}

impl HeadTask {
    /// Whether the labels of a data set decide the head's size.
    pub(crate) fn has_labels(self) -> bool {
        matches!(self, Self::SequenceClassification | Self::TokenClassification)
    }

    /// Whether a new head may take over weights of a checkpoint that has the like.
    pub fn is_language_model(self) -> bool {
        matches!(self, Self::CausalLm | Self::MaskedLm | Self::Pretraining | Self::Seq2SeqLm)
    }
}

/// The head of a model.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // One a model: nothing to save.
pub enum Head {
    /// One row of logits a sequence.
    SequenceClassification(SequenceClassification),
    /// One row of logits a token: labels, or a span's start and end.
    TokenClassification(TokenClassification),
    /// One row of logits a token: the vocabulary.
    LanguageModel(LanguageModel),
    /// As [`Head::LanguageModel`], and two logits a sequence.
    Pretraining(Pretraining),
}

impl Head {
    /// The tokens whose hidden states [`Self::forward`] takes.
    pub fn rows(&self) -> Rows {
        match self {
            Self::SequenceClassification(head) => head.rows(),
            _ => Rows::All,
        }
    }

    /// What [`Self::forward`] reads of a batch's hidden states: the mean over each sequence for some classifiers.
    ///
    /// # Shapes
    /// - hidden: `[rows, hidden]`; output: the same or `[sequences, hidden]`
    pub(crate) fn read(&self, hidden: Tensor<2>, batch: &TokenBatch) -> Tensor<2> {
        match self {
            Self::SequenceClassification(head) if head.reads_mean() => mean_of_tokens(hidden, batch),
            _ => hidden,
        }
    }

    /// Logits, in f32 whatever the maps compute in: a loss is.
    ///
    /// # Shapes
    /// - hidden: `[rows, hidden]`; output: `[rows, outputs]`
    pub fn forward(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        match self {
            Self::SequenceClassification(head) => head.forward(backbone, hidden, mode),
            Self::TokenClassification(head) => head.forward(hidden, mode),
            Self::LanguageModel(head) => head.forward(backbone, hidden, mode),
            Self::Pretraining(head) => head.tokens.forward(backbone, hidden, mode),
        }
    }

    /// Whether its map to the vocabulary is the token embedding.
    pub(crate) fn is_tied(&self) -> bool {
        self.language_model().is_some_and(LanguageModel::is_tied)
    }

    /// Gives a tied head a map of its own with the values of the token embedding, `[vocab, hidden]`; false
    /// where that is not the same head.
    pub(crate) fn untie(&mut self, table: Tensor<2>) -> bool {
        match self {
            Self::LanguageModel(tokens) => tokens.untie(table, "head"),
            Self::Pretraining(head) => head.tokens.untie(table, "head.tokens"),
            _ => false,
        }
    }

    /// The part that gives logits of the vocabulary.
    pub(crate) fn language_model(&self) -> Option<&LanguageModel> {
        match self {
            Self::LanguageModel(tokens) | Self::Pretraining(Pretraining { tokens, .. }) => Some(tokens),
            _ => None,
        }
    }

    /// Sets what its products compute in.
    pub(crate) fn set_precision(&mut self, precision: Precision) {
        if let Self::LanguageModel(tokens) | Self::Pretraining(Pretraining { tokens, .. }) = self {
            tokens.precision = precision;
        }
        LinearWalk::new(&mut |_, linear| linear.precision = precision).part("head", self);
    }

    /// Packs the maps of a head for the vocabulary; other heads are small.
    pub(crate) fn pack(&mut self, table: impl FnOnce() -> Tensor<2>, format: WeightFormat) {
        if let Self::LanguageModel(tokens) | Self::Pretraining(Pretraining { tokens, .. }) = self {
            tokens.pack_table(table, format);
            LinearWalk::new(&mut |_, linear| linear.pack(format)).part("head", tokens);
        }
    }
}

impl HasLinears for Head {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        match self {
            Self::SequenceClassification(head) => head.walk_linears(walk),
            Self::TokenClassification(head) => head.walk_linears(walk),
            Self::LanguageModel(head) => head.walk_linears(walk),
            Self::Pretraining(head) => head.walk_linears(walk),
        }
    }
}

/// Which head a model is loaded with.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadRequest {
    /// The one that `architectures` of config.json names, or none.
    FromConfig,
    /// None.
    None,
    /// A head for a task and labels. A checkpoint's own head is dropped, but for language models, which keep what
    /// there is, and as `keep` says.
    New {
        /// What it is for.
        task: HeadTask,
        /// Names of the labels, by id; for the tasks that have labels.
        labels: Vec<String>,
        /// What the outputs of a classifier of sequences mean.
        outputs: OutputMeaning,
        /// What a classifier of sequences reads.
        pooling: Pooling,
        /// Whether a checkpoint's own head stays if it is for the same task, labels, outputs and pooling.
        keep: bool,
        /// Seed of its weights.
        seed: u64,
    },
}
