//! Metrics of classification with any number of labels an example.

mod thresholds;

use serde::Serialize;

use crate::counts::{Counts, PrecisionRecall, macro_average, micro_average, share, weighted_average};
use crate::error::MetricError;

pub use thresholds::{Threshold, label_thresholds, micro_threshold};

/// Scores of examples that each have any number of labels, added up example by example.
///
/// They equal scikit-learn 1.9 with `zero_division=0`. Without examples all are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiLabelScores {
    labels: Vec<Counts>,
    examples: usize,
    /// Examples with exactly the true labels.
    exact: usize,
    /// Labels that are wrong, over all examples.
    wrong: usize,
    /// Sums of the examples' scores.
    samples: PrecisionRecall,
}

/// All scores, to be written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// Examples.
    pub examples: usize,
    /// [`MultiLabelScores::micro_average`]
    pub micro: PrecisionRecall,
    /// [`MultiLabelScores::macro_average`]
    pub r#macro: PrecisionRecall,
    /// [`MultiLabelScores::weighted_average`]
    pub weighted: PrecisionRecall,
    /// [`MultiLabelScores::samples_average`]
    pub samples: PrecisionRecall,
    /// [`MultiLabelScores::subset_accuracy`]
    pub subset_accuracy: f64,
    /// [`MultiLabelScores::hamming_loss`]
    pub hamming_loss: f64,
    /// Scores of each label.
    pub labels: Vec<PrecisionRecall>,
}

impl MultiLabelScores {
    /// No examples yet, of so many labels.
    pub fn new(labels: usize) -> Self {
        let (labels, samples) = (vec![Counts::default(); labels], PrecisionRecall::default());
        Self { labels, examples: 0, exact: 0, wrong: 0, samples }
    }

    /// Adds an example: for each label whether it is true, and whether it is predicted.
    ///
    /// # Errors
    ///
    /// If one of them is not of as many labels as were announced; the example is not counted then.
    pub fn add(&mut self, truth: &[bool], predicted: &[bool]) -> Result<(), MetricError> {
        check_lengths(self.examples, truth.len(), predicted.len())?;
        check_lengths(self.examples, self.labels.len(), predicted.len())?;
        let mut example = Counts::default();
        for ((label, &truth), &predicted) in self.labels.iter_mut().zip(truth).zip(predicted) {
            let counts = Counts {
                correct: usize::from(truth && predicted),
                predicted: usize::from(predicted),
                support: usize::from(truth),
            };
            *label += counts;
            example += counts;
        }
        let wrong = example.predicted + example.support - 2 * example.correct;
        self.examples += 1;
        self.exact += usize::from(wrong == 0);
        self.wrong += wrong;
        let scores = example.scores();
        self.samples.precision += scores.precision;
        self.samples.recall += scores.recall;
        self.samples.f1 += scores.f1;
        self.samples.support += scores.support;
        Ok(())
    }

    /// Scores of each label.
    pub fn by_label(&self) -> Vec<PrecisionRecall> {
        self.labels.iter().map(|counts| counts.scores()).collect()
    }

    /// Scores of all decisions together (`average="micro"`).
    pub fn micro_average(&self) -> PrecisionRecall {
        micro_average(self.labels.iter().copied())
    }

    /// Mean of the labels' scores (`average="macro"`).
    pub fn macro_average(&self) -> PrecisionRecall {
        macro_average(self.labels.iter().copied())
    }

    /// Mean of the labels' scores, weighted by support (`average="weighted"`).
    pub fn weighted_average(&self) -> PrecisionRecall {
        weighted_average(self.labels.iter().copied())
    }

    /// Mean of the examples' scores (`average="samples"`). An example that has no label and gets none counts as 0.
    pub fn samples_average(&self) -> PrecisionRecall {
        let examples = self.examples.max(1) as f64;
        let PrecisionRecall { precision, recall, f1, support } = self.samples;
        PrecisionRecall {
            precision: precision / examples,
            recall: recall / examples,
            f1: f1 / examples,
            support,
        }
    }

    /// Share of examples with exactly the true labels (`accuracy_score`).
    pub fn subset_accuracy(&self) -> f64 {
        share(self.exact, self.examples)
    }

    /// Share of wrong decisions (`hamming_loss`).
    pub fn hamming_loss(&self) -> f64 {
        share(self.wrong, self.examples * self.labels.len())
    }

    /// All scores.
    pub fn report(&self) -> MultiLabelReport {
        MultiLabelReport {
            examples: self.examples,
            micro: self.micro_average(),
            r#macro: self.macro_average(),
            weighted: self.weighted_average(),
            samples: self.samples_average(),
            subset_accuracy: self.subset_accuracy(),
            hamming_loss: self.hamming_loss(),
            labels: self.by_label(),
        }
    }
}

fn check_lengths(example: usize, truth: usize, predicted: usize) -> Result<(), MetricError> {
    if truth == predicted {
        return Ok(());
    }
    Err(MetricError::Lengths { what: format!("labels of example {example}"), truth, predicted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_of_other_length_is_an_error_and_not_counted() {
        let mut scores = MultiLabelScores::new(2);
        scores.add(&[true, false], &[true, true]).unwrap();
        let before = scores.clone();
        let error = scores.add(&[true, false], &[true]).unwrap_err();
        assert!(error.to_string().starts_with("labels of example 1: 2 true"), "{error}");
        assert!(scores.add(&[true], &[true]).is_err());
        assert!(scores.add(&[true; 3], &[true; 3]).is_err());
        assert_eq!(scores, before);
    }

    #[test]
    fn no_examples_are_zeros() {
        let report = MultiLabelScores::new(3).report();
        assert_eq!((report.subset_accuracy, report.hamming_loss), (0.0, 0.0));
        assert_eq!(report.samples, PrecisionRecall::default());
        let written = serde_json::to_value(&report).unwrap();
        assert_eq!(written["macro"]["f1"], 0.0);
    }
}
