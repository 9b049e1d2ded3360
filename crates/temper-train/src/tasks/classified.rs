//! A classifier's prediction for one text.

use serde::Serialize;

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// One a label.
    pub logits: Vec<f32>,
}

impl Classified {
    /// The id of the label with the highest logit; of equal ones the first, as in PyTorch and transformers.
    pub fn label(&self) -> usize {
        // `max_by` takes the last of equal ones.
        let best = self.logits.iter().enumerate().rev().max_by(|left, right| left.1.total_cmp(right.1));
        best.map_or(0, |(id, _)| id)
    }

    /// Softmax of the logits, one for each label.
    pub fn probabilities(&self) -> Vec<f64> {
        let highest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = self.logits.iter().map(|&logit| f64::from(logit - highest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// Sigmoid of each logit, one for each label.
    pub fn independent_probabilities(&self) -> Vec<f64> {
        self.logits.iter().map(|&logit| 1.0 / (1.0 + (-f64::from(logit)).exp())).collect()
    }

    /// Cross-entropy in nats.
    pub fn loss(&self, target: usize) -> f64 {
        cross_entropy(self.probabilities()[target])
    }
}

/// Cross-entropy of a target in nats, of its probability. It is finite also where that is 0.
pub(super) fn cross_entropy(probability: f64) -> f64 {
    -probability.max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(logits: &[f32]) -> Classified {
        Classified { logits: logits.to_vec() }
    }

    #[test]
    fn probabilities_are_softmax_and_do_not_overflow() {
        let probabilities = classified(&[1000.0, 1000.0 + 2.0_f32.ln()]).probabilities();
        assert!((probabilities[0] - 1.0 / 3.0).abs() < 1e-4, "{probabilities:?}");
        assert!((classified(&[0.0, 0.0]).loss(1) - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn of_equal_logits_the_first_is_the_best() {
        for (logits, label) in [(&[0.0, 0.0, 0.0][..], 0), (&[-1.0, 2.0, 2.0], 1), (&[1.0, 0.0, 3.0], 2)] {
            assert_eq!(classified(logits).label(), label, "{logits:?}");
        }
    }

    #[test]
    fn independent_probabilities_are_sigmoid_and_do_not_overflow() {
        let probabilities = classified(&[0.0, 3.0_f32.ln(), -1e4, 1e4]).independent_probabilities();
        for (found, right) in probabilities.iter().zip([0.5, 0.75, 0.0, 1.0]) {
            assert!((found - right).abs() < 1e-7, "{probabilities:?}");
        }
    }
}
