//! Metrics of classification with one label an example.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::Counts;

/// Counts of examples by true label (rows) and predicted label (columns). Only pairs that occur are kept: a dense
/// matrix of 10,000 labels would have 10^8 entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// Names of the labels, by id.
    pub labels: Vec<String>,
    /// Examples by (true, predicted); never 0.
    pub counts: BTreeMap<(usize, usize), usize>,
    /// Examples by true label.
    rows: Vec<usize>,
    /// Examples by predicted label.
    columns: Vec<usize>,
}

/// The most labels whose matrix is written in full: `counts[true][predicted]`.
pub const DENSE_LABELS: usize = 100;

impl Serialize for ConfusionMatrix {
    /// `labels` and `counts`; beyond [`DENSE_LABELS`] labels `pairs` of `[true, predicted, count]` instead.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("labels", &self.labels)?;
        if self.labels.len() <= DENSE_LABELS {
            map.serialize_entry("counts", &self.dense())?;
        } else {
            let pairs = self.counts.iter().map(|(&(truth, predicted), &count)| [truth, predicted, count]);
            map.serialize_entry("pairs", &pairs.collect::<Vec<_>>())?;
        }
        map.end()
    }
}

impl ConfusionMatrix {
    /// Counts pairs of true and predicted labels.
    ///
    /// # Panics
    ///
    /// If an id is none of `labels`: that is an error of the caller, not of the data.
    pub fn new(labels: &[String], pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let (mut rows, mut columns) = (vec![0; labels.len()], vec![0; labels.len()]);
        let mut counts = BTreeMap::new();
        for (truth, predicted) in pairs {
            *counts.entry((truth, predicted)).or_default() += 1;
            rows[truth] += 1;
            columns[predicted] += 1;
        }
        Self { labels: labels.to_vec(), counts, rows, columns }
    }

    /// Examples of a true label for which another was predicted, or the same.
    pub fn count(&self, truth: usize, predicted: usize) -> usize {
        self.counts.get(&(truth, predicted)).copied().unwrap_or_default()
    }

    /// `[true][predicted]`
    pub fn dense(&self) -> Vec<Vec<usize>> {
        let labels = 0..self.labels.len();
        labels
            .clone()
            .map(|truth| labels.clone().map(|predicted| self.count(truth, predicted)).collect())
            .collect()
    }

    /// Counts of one label: right predictions, predictions, examples.
    pub fn counts_of(&self, label: usize) -> Counts {
        Counts {
            correct: self.count(label, label),
            predicted: self.columns[label],
            support: self.rows[label],
        }
    }

    /// The most frequent errors as (true, predicted, count), the most frequent first.
    pub fn errors(&self) -> Vec<(usize, usize, usize)> {
        let all = self.counts.iter().map(|(&(truth, predicted), &count)| (truth, predicted, count));
        let mut errors: Vec<_> = all.filter(|(truth, predicted, _)| truth != predicted).collect();
        errors.sort_by_key(|&(truth, predicted, count)| (std::cmp::Reverse(count), truth, predicted));
        errors
    }

    fn total(&self) -> usize {
        self.rows.iter().sum()
    }

    /// Right predictions.
    pub fn correct(&self) -> usize {
        (0..self.labels.len()).map(|label| self.count(label, label)).sum()
    }

    /// Share of right predictions.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total().max(1) as f64
    }

    /// Mean of the labels' F1; a label that neither occurs nor is predicted counts as 0, as in
    /// scikit-learn 1.9, `f1_score(average="macro", zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |label: usize| {
            let both = (self.rows[label] + self.columns[label]) as f64;
            if both == 0.0 { 0.0 } else { 2.0 * self.count(label, label) as f64 / both }
        };
        (0..self.labels.len()).map(f1).sum::<f64>() / self.labels.len().max(1) as f64
    }

    /// Mean of the labels' recall; a label that does not occur counts as 0, as in scikit-learn 1.9,
    /// `recall_score(labels=range(n), average="macro", zero_division=0)`.
    ///
    /// It is what TweetEval (Barbieri et al. 2020) scores for sentiment.
    pub fn macro_recall(&self) -> f64 {
        let recall = |label: usize| self.count(label, label) as f64 / self.rows[label].max(1) as f64;
        (0..self.labels.len()).map(recall).sum::<f64>() / self.labels.len().max(1) as f64
    }

    /// Matthews' correlation for any number of labels (Gorodkin 2004), as in scikit-learn 1.9.
    pub fn mcc(&self) -> f64 {
        let total = self.total() as f64;
        let labels = 0..self.labels.len();
        let sum = |product: &dyn Fn(usize) -> f64| labels.clone().map(product).sum::<f64>();
        let crossed = sum(&|label| self.rows[label] as f64 * self.columns[label] as f64);
        let true_spread = total * total - sum(&|label| (self.rows[label] as f64).powi(2));
        let predicted_spread = total * total - sum(&|label| (self.columns[label] as f64).powi(2));
        let scale = (true_spread * predicted_spread).sqrt();
        if scale == 0.0 { 0.0 } else { (self.correct() as f64 * total - crossed) / scale }
    }

    /// Accuracy of always predicting the most frequent label.
    pub fn majority(&self) -> f64 {
        let most = self.rows.iter().copied().max().unwrap_or(0);
        most as f64 / self.total().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Vec<String> {
        (0..count).map(|label| label.to_string()).collect()
    }

    // Expected values: scikit-learn 1.9.1 on
    // y_true = [0,0,0,1,1,2,2,2,2], y_pred = [0,1,0,1,2,2,2,0,2].
    fn matrix() -> ConfusionMatrix {
        let truth = [0, 0, 0, 1, 1, 2, 2, 2, 2];
        let predicted = [0, 1, 0, 1, 2, 2, 2, 0, 2];
        ConfusionMatrix::new(&labels(3), truth.into_iter().zip(predicted))
    }

    #[test]
    fn agrees_with_scikit_learn() {
        assert_eq!(matrix().dense(), [[2, 1, 0], [0, 1, 1], [1, 0, 3]]);
        assert!((matrix().accuracy() - 0.666_666_666_666).abs() < 1e-9);
        assert!((matrix().macro_f1() - 0.638_888_888_888).abs() < 1e-9);
        assert!((matrix().macro_recall() - 0.638_888_888_888).abs() < 1e-9);
        assert!((matrix().mcc() - 0.480_769_230_769).abs() < 1e-9);
        assert!((matrix().majority() - 4.0 / 9.0).abs() < 1e-9);
    }

    #[test]
    fn one_predicted_label_has_no_correlation() {
        let matrix = ConfusionMatrix::new(&labels(2), [(0, 0), (1, 0), (1, 0)].into_iter());
        assert_eq!(matrix.mcc(), 0.0);
        assert!((matrix.macro_f1() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn a_matrix_of_many_labels_is_a_list_of_pairs() {
        let matrix = ConfusionMatrix::new(&labels(10_000), [(3, 4), (9_999, 9_999), (3, 4)].into_iter());
        let written = serde_json::to_value(&matrix).unwrap();
        assert_eq!(written["pairs"], serde_json::json!([[3, 4, 2], [9_999, 9_999, 1]]));
        assert_eq!(matrix.errors(), [(3, 4, 2)]);
        assert!((matrix.accuracy() - 1.0 / 3.0).abs() < 1e-12);
        let few = serde_json::to_value(ConfusionMatrix::new(&labels(2), [(0, 1)].into_iter())).unwrap();
        assert_eq!(few["counts"], serde_json::json!([[0, 1], [0, 0]]));
    }
}
