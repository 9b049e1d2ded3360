//! The probability from which a label is best predicted.

use serde::Serialize;

use super::check_lengths;
use crate::counts::Counts;
use crate::error::MetricError;

/// A label is predicted where its probability is at least `threshold`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// One of the probabilities that were given.
    pub threshold: f64,
    /// F1 on the examples that were given, which is more than can be expected on others.
    pub f1: f64,
}

/// The threshold, the same for all labels, with the highest micro F1.
///
/// `probabilities` and `truth` have one row for each example, with one value for each label. Of equally good thresholds it is the
/// highest. F1 is compared as a fraction of whole numbers, so that rounding decides nothing. None where no label is
/// true: then every threshold has an F1 of 0.
///
/// # Errors
///
/// If lengths differ or a probability is not finite.
pub fn micro_threshold(
    probabilities: &[impl AsRef<[f64]>],
    truth: &[impl AsRef<[bool]>],
) -> Result<Option<Threshold>, MetricError> {
    let labels = columns(probabilities, truth)?;
    Ok(best(labels.into_iter().flatten().collect()))
}

/// For each label the threshold with the highest F1 of that label, as in [`micro_threshold`]. None for a label that is
/// never true, and no thresholds at all without examples.
///
/// # Errors
///
/// If lengths differ or a probability is not finite.
pub fn label_thresholds(
    probabilities: &[impl AsRef<[f64]>],
    truth: &[impl AsRef<[bool]>],
) -> Result<Vec<Option<Threshold>>, MetricError> {
    Ok(columns(probabilities, truth)?.into_iter().map(best).collect())
}

/// A probability and whether the label is true.
type LabelProbability = (f64, bool);

/// The decisions of each label.
fn columns(
    probabilities: &[impl AsRef<[f64]>],
    truth: &[impl AsRef<[bool]>],
) -> Result<Vec<Vec<LabelProbability>>, MetricError> {
    if probabilities.len() != truth.len() {
        let (what, predicted) = ("examples".to_owned(), probabilities.len());
        return Err(MetricError::Lengths { what, truth: truth.len(), predicted });
    }
    let labels = truth.first().map_or(0, |row| row.as_ref().len());
    let mut columns = vec![Vec::with_capacity(truth.len()); labels];
    for (example, (row, truth)) in probabilities.iter().zip(truth).enumerate() {
        let (row, truth) = (row.as_ref(), truth.as_ref());
        check_lengths(example, truth.len(), row.len())?;
        check_lengths(example, labels, row.len())?;
        if let Some(label) = row.iter().position(|probability| !probability.is_finite()) {
            let what = format!("the probability of label {label} in example {example}");
            return Err(MetricError::NotFinite { what, value: row[label] });
        }
        for (column, (&probability, &truth)) in columns.iter_mut().zip(row.iter().zip(truth)) {
            column.push((probability, truth));
        }
    }
    Ok(columns)
}

/// The highest of the best thresholds.
fn best(mut decisions: Vec<LabelProbability>) -> Option<Threshold> {
    // The sum is 0.0 of -0.0, too, which are equal but have an order.
    decisions.sort_by(|one, other| (other.0 + 0.0).total_cmp(&(one.0 + 0.0)));
    let support = decisions.iter().filter(|(_, truth)| *truth).count();
    let mut counts = Counts { support, ..Counts::default() };
    let mut best: Option<(f64, Counts)> = None;
    for group in decisions.chunk_by(|one, other| one.0 == other.0) {
        counts.predicted += group.len();
        counts.correct += group.iter().filter(|(_, truth)| *truth).count();
        if best.is_none_or(|(_, best)| is_better(counts, best)) {
            best = Some((group[0].0, counts));
        }
    }
    let (threshold, counts) = best.filter(|_| support > 0)?;
    Some(Threshold { threshold, f1: counts.scores().f1 })
}

/// Whether F1 is higher: 2 correct / (predicted + support).
fn is_better(one: Counts, other: Counts) -> bool {
    let cross = |one: Counts, other: Counts| one.correct as u128 * (other.predicted + other.support) as u128;
    cross(one, other) > cross(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_probabilities_stand_or_fall_together() {
        // Predicting all three is better than none: 2 * 1 / (3 + 1).
        let found = micro_threshold(&[[0.5], [0.5], [0.5]], &[[true], [false], [false]]).unwrap();
        assert_eq!(found, Some(Threshold { threshold: 0.5, f1: 0.5 }));
    }

    #[test]
    fn of_equally_good_thresholds_the_highest_is_taken() {
        // From 0.9 on: 2 / (1 + 2). From 0.2 on: 4 / (4 + 2).
        let truth = [[true], [false], [false], [true]];
        let found = micro_threshold(&[[0.9], [0.6], [0.4], [0.2]], &truth).unwrap().unwrap();
        assert_eq!(found.threshold, 0.9);
    }

    #[test]
    fn without_a_true_label_there_is_nothing_to_choose_by() {
        let (probabilities, truth) = ([[0.9, 0.1], [0.8, 0.3]], [[false, true], [false, false]]);
        let found = label_thresholds(&probabilities, &truth).unwrap();
        assert_eq!(found[0], None);
        assert_eq!(found[1], Some(Threshold { threshold: 0.1, f1: 2.0 / 3.0 }));
        assert_eq!(micro_threshold(&[] as &[[f64; 1]], &[] as &[[bool; 1]]), Ok(None));
    }

    #[test]
    fn what_does_not_go_together_is_an_error() {
        assert!(micro_threshold(&[[0.5]], &[[true], [true]]).is_err());
        let (ragged, truth) = ([vec![0.5, 0.5], vec![0.5]], [vec![true, false], vec![true, false]]);
        assert!(micro_threshold(&ragged, &truth).is_err());
        let error = label_thresholds(&[[0.5, f64::NAN]], &[[true, true]]).unwrap_err();
        assert!(error.to_string().starts_with("the probability of label 1 in example 0 is NaN"), "{error}");
    }
}
