//! Metrics of classification, on the host.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

/// Counts of examples by true label (rows) and predicted label (columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusionMatrix {
    /// Names of the labels, by id.
    pub labels: Vec<String>,
    /// `counts[true][predicted]`
    pub counts: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    /// Counts pairs of true and predicted labels, all ids of `labels`.
    pub fn new(labels: &[String], pairs: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; labels.len()]; labels.len()];
        for (truth, predicted) in pairs {
            counts[truth][predicted] += 1;
        }
        Self { labels: labels.to_vec(), counts }
    }

    fn total(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    fn row(&self, label: usize) -> usize {
        self.counts[label].iter().sum()
    }

    fn column(&self, label: usize) -> usize {
        self.counts.iter().map(|row| row[label]).sum()
    }

    fn correct(&self) -> usize {
        (0..self.counts.len()).map(|label| self.counts[label][label]).sum()
    }

    /// Share of right predictions.
    pub fn accuracy(&self) -> f64 {
        self.correct() as f64 / self.total().max(1) as f64
    }

    /// Mean of the labels' F1; a label that neither occurs nor is predicted counts as 0, as in
    /// scikit-learn 1.9, `f1_score(average="macro", zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |label: usize| {
            let both = (self.row(label) + self.column(label)) as f64;
            if both == 0.0 { 0.0 } else { 2.0 * self.counts[label][label] as f64 / both }
        };
        (0..self.counts.len()).map(f1).sum::<f64>() / self.counts.len().max(1) as f64
    }

    /// Matthews' correlation for any number of labels (Gorodkin 2004), as in scikit-learn 1.9.
    pub fn mcc(&self) -> f64 {
        let total = self.total() as f64;
        let labels = 0..self.counts.len();
        let sum = |product: &dyn Fn(usize) -> f64| labels.clone().map(product).sum::<f64>();
        let crossed = sum(&|label| self.row(label) as f64 * self.column(label) as f64);
        let true_spread = total * total - sum(&|label| (self.row(label) as f64).powi(2));
        let predicted_spread = total * total - sum(&|label| (self.column(label) as f64).powi(2));
        let scale = (true_spread * predicted_spread).sqrt();
        if scale == 0.0 { 0.0 } else { (self.correct() as f64 * total - crossed) / scale }
    }

    /// Accuracy of always predicting the most frequent label.
    pub fn majority(&self) -> f64 {
        let most = (0..self.counts.len()).map(|label| self.row(label)).max().unwrap_or(0);
        most as f64 / self.total().max(1) as f64
    }
}

/// A 95 % interval of the accuracy by the percentile bootstrap (Efron 1979): 1,000 samples of the
/// examples with replacement, seeded.
pub fn accuracy_interval(right: &[bool], seed: u64) -> [f64; 2] {
    const SAMPLES: usize = 1_000;
    if right.is_empty() {
        return [0.0, 0.0];
    }
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let count = right.len() as u64;
    // The multiply-shift draw is biased by less than 2^-40 for any set that fits in memory.
    let mut draw = || ((u128::from(generator.next_u64()) * u128::from(count)) >> 64) as usize;
    let mut accuracies: Vec<f64> = (0..SAMPLES)
        .map(|_| (0..right.len()).filter(|_| right[draw()]).count() as f64 / right.len() as f64)
        .collect();
    accuracies.sort_by(f64::total_cmp);
    [accuracies[SAMPLES * 25 / 1000], accuracies[SAMPLES * 975 / 1000 - 1]]
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
        assert_eq!(matrix().counts, [[2, 1, 0], [0, 1, 1], [1, 0, 3]]);
        assert!((matrix().accuracy() - 0.666_666_666_666).abs() < 1e-9);
        assert!((matrix().macro_f1() - 0.638_888_888_888).abs() < 1e-9);
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
    fn the_interval_holds_the_accuracy_and_narrows() {
        let right = |count: usize| (0..count).map(|index| index % 5 != 0).collect::<Vec<_>>();
        let [low, high] = accuracy_interval(&right(100), 1);
        assert!(low < 0.8 && 0.8 < high, "{low} {high}");
        let [narrow_low, narrow_high] = accuracy_interval(&right(10_000), 1);
        assert!(narrow_high - narrow_low < (high - low) / 5.0);
        assert_eq!(accuracy_interval(&right(100), 1), [low, high]);
    }
}
