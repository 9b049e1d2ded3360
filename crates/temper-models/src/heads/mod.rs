//! Heads: what turns a backbone's hidden states into the output of a task.

mod sequence_classification;

pub use sequence_classification::{Pooling, SequenceClassification};

use burn::module::Module;

/// The head of a model.
#[derive(Module, Debug)]
pub enum Head {
    /// One row of logits a sequence.
    SequenceClassification(SequenceClassification),
}

/// Which head a model is loaded with.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadRequest {
    /// The one that `architectures` of config.json names, or none.
    FromConfig,
    /// A new classification head; the checkpoint's own is dropped.
    NewSequenceClassification {
        /// Names of the labels, by id.
        labels: Vec<String>,
        /// What the head reads.
        pooling: Pooling,
        /// Seed of its weights.
        seed: u64,
    },
}
