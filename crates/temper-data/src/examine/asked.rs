//! What an examination asks of records and of what reads them.

use std::borrow::Cow;

use crate::rows::Record;

/// What an examination asks of a record.
pub(crate) trait Examined: Record {
    /// Its texts, each with the role of its column.
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)>;

    /// What is to be predicted for it, in words.
    fn target(&self, labels: &[String]) -> String;

    /// Its labels, each once; none where the task has none.
    fn labels(&self) -> Vec<usize>;
}

/// Labels of a dataset as its reader knows them.
pub(crate) trait KnowsLabels {
    /// Names of the labels 0, 1, ...; empty for a task without labels.
    fn label_names(&self) -> &[String];

    /// What else is to be said of them.
    fn notices(&self) -> Vec<String> {
        Vec::new()
    }
}
