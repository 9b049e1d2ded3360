//! How outputs become predictions: thresholds, and which tokens of a word count. A model records it.

use serde_json::{Map, Value, json};

use super::Task;
use crate::TrainError;
use crate::settings::{Aggregation, finite, named, probability};

/// Where a model's record keeps from which probability on a label is predicted, where a text may have several.
pub(super) const LABEL_THRESHOLD: &str = "label_threshold";
/// Where it keeps by how much the score of "no answer" must exceed that of the best answer.
pub(super) const NULL_THRESHOLD: &str = "null_threshold";
/// Where it keeps which tokens of a word decide its label.
pub(super) const AGGREGATION: &str = "aggregation";

/// How predictions are made of a model's outputs, where a flag says so.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DecisionOptions {
    /// Probability from which a label is predicted, if a text may have several; as in training by default
    #[arg(long, value_parser = probability, value_name = "P")]
    pub label_threshold: Option<f64>,
    /// How much the score of "no answer" must exceed that of the best answer; as in training by default
    #[arg(long, value_parser = finite, allow_negative_numbers = true, value_name = "X")]
    pub null_score_diff_threshold: Option<f64>,
    /// How the label of a word follows from its tokens: first, average or max, as in transformers' pipeline; as in training
    /// by default
    #[arg(long, value_parser = named::<Aggregation>, value_name = "NAME")]
    pub aggregation: Option<Aggregation>,
}

impl DecisionOptions {
    /// A model's record with what the flags say instead.
    pub fn over(&self, record: &Map<String, Value>) -> Map<String, Value> {
        let mut record = record.clone();
        record.extend(self.given().map(|(_, key, value)| (key.to_owned(), value)));
        record
    }

    /// Refuses flags that say nothing to the task of a model.
    ///
    /// # Errors
    /// [`TrainError::Usage`].
    pub fn check(&self, task: &dyn Task) -> Result<(), TrainError> {
        let record = task.record();
        match self.given().find(|(_, key, _)| !record.contains_key(*key)) {
            Some((flag, ..)) => Err(TrainError::Usage(format!(
                "{flag} decides nothing here: the model's outputs are {}",
                task.outputs_in_words()
            ))),
            None => Ok(()),
        }
    }

    /// Flag, key and value of what is given.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
        let flags = [
            ("--label-threshold", LABEL_THRESHOLD, self.label_threshold.map(|value| json!(value))),
            (
                "--null-score-diff-threshold",
                NULL_THRESHOLD,
                self.null_score_diff_threshold.map(|value| json!(value)),
            ),
            ("--aggregation", AGGREGATION, self.aggregation.map(|value| json!(value))),
        ];
        flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?)))
    }
}
