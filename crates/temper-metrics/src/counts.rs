//! Precision, recall and F1 of things that are found or not: entities, labels.

use std::ops::AddAssign;

use serde::Serialize;

/// How many there are, how many were predicted, and how many of those are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Predicted and true.
    pub correct: usize,
    /// Predicted.
    pub predicted: usize,
    /// True.
    pub support: usize,
}

/// Precision, recall and F1, each between 0 and 1. A quotient by zero is 0, as with `zero_division=0` in
/// scikit-learn and seqeval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// Share of the predicted that is right.
    pub precision: f64,
    /// Share of the true that was predicted.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// How many are true.
    pub support: usize,
}

impl Counts {
    /// The scores of these counts.
    pub fn scores(self) -> PrecisionRecall {
        PrecisionRecall {
            precision: share(self.correct, self.predicted),
            recall: share(self.correct, self.support),
            f1: share(2 * self.correct, self.predicted + self.support),
            support: self.support,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.correct += other.correct;
        self.predicted += other.predicted;
        self.support += other.support;
    }
}

/// The quotient of two counts; 0 where the second is 0.
pub(crate) fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

/// Scores of all counts together.
pub(crate) fn micro_average(counts: impl Iterator<Item = Counts>) -> PrecisionRecall {
    let mut sum = Counts::default();
    counts.for_each(|counts| sum += counts);
    sum.scores()
}

/// Mean of the scores, each with the same weight; zeros of none at all.
pub(crate) fn macro_average(counts: impl Iterator<Item = Counts>) -> PrecisionRecall {
    average(counts.map(|counts| (counts, 1)))
}

/// Mean of the scores, weighted by support; zeros where nothing is true.
pub(crate) fn weighted_average(counts: impl Iterator<Item = Counts>) -> PrecisionRecall {
    average(counts.map(|counts| (counts, counts.support)))
}

fn average(weighted: impl Iterator<Item = (Counts, usize)>) -> PrecisionRecall {
    let (mut sum, mut weights) = (PrecisionRecall::default(), 0);
    for (counts, weight) in weighted {
        let scores = counts.scores();
        sum.precision += weight as f64 * scores.precision;
        sum.recall += weight as f64 * scores.recall;
        sum.f1 += weight as f64 * scores.f1;
        sum.support += scores.support;
        weights += weight;
    }
    let divisor = weights.max(1) as f64;
    PrecisionRecall {
        precision: sum.precision / divisor,
        recall: sum.recall / divisor,
        f1: sum.f1 / divisor,
        support: sum.support,
    }
}
