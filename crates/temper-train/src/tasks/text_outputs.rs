//! What the outputs of a model for text classification mean.

use temper_models::OutputMeaning;

/// The outputs of a model for text classification.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextOutputs {
    /// Names of the labels, by id.
    pub(super) labels: Vec<String>,
    /// One label, several labels, or numbers.
    pub(super) meaning: OutputMeaning,
    /// Probability from which a label is predicted, in multi-label classification.
    pub(super) threshold: f64,
}

impl TextOutputs {
    pub(super) fn new(labels: Vec<String>, meaning: OutputMeaning) -> Self {
        Self { labels, meaning, threshold: 0.5 }
    }

    /// The label of an id.
    pub(super) fn name(&self, label: usize) -> String {
        self.labels.get(label).cloned().unwrap_or_else(|| format!("LABEL_{label}"))
    }
}
