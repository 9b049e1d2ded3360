//! How well the probabilities of a classifier agree with how often it is right.

use serde::Serialize;

use crate::MetricError;
use crate::counts::share;

/// Bins of [`Calibration`] in Guo et al. 2017.
pub const CALIBRATION_BINS: usize = 15;

/// The examples whose confidence lies in one bin.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Examples in the bin.
    pub examples: usize,
    /// Mean probability of their predicted labels; 0 where the bin is empty.
    pub confidence: f64,
    /// Share of them that are right; 0 where the bin is empty.
    pub accuracy: f64,
}

/// Confidence compared with accuracy, in bins of equal width (Guo et al. 2017, "On Calibration of Modern Neural
/// Networks").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error: the mean distance of a bin's confidence from its accuracy, weighted by its examples.
    pub ece: f64,
    /// Mean probability of the predicted labels.
    pub confidence: f64,
    /// Share of right predictions.
    pub accuracy: f64,
    /// Bin m of M has the confidences in `((m - 1) / M, m / M]`, from the lowest up; the first also has 0.
    pub bins: Vec<CalibrationBin>,
}

impl Calibration {
    /// Sorts examples into so many bins (one at least), each by the probability of its predicted label and whether that label is
    /// right. The error equals that of Guo et al.'s own `_ECELoss`.
    ///
    /// # Errors
    /// [`MetricError::NoExamples`], and [`MetricError::NotProbability`] for a confidence that is not between 0 and 1.
    pub fn of(examples: &[(f64, bool)], bins: usize) -> Result<Self, MetricError> {
        if examples.is_empty() {
            return Err(MetricError::NoExamples);
        }
        if let Some(bad) = examples.iter().position(|(confidence, _)| !(0.0..=1.0).contains(confidence)) {
            let what = format!("the confidence of example {}", bad + 1);
            return Err(MetricError::NotProbability { what, value: examples[bad].0 });
        }
        let bins = bins.max(1);
        let (mut counts, mut sums, mut right) = (vec![0; bins], vec![0.0; bins], vec![0; bins]);
        for &(confidence, is_right) in examples {
            let bin = bin_of(confidence, bins);
            counts[bin] += 1;
            sums[bin] += confidence;
            right[bin] += usize::from(is_right);
        }
        let total = examples.len() as f64;
        let bins: Vec<CalibrationBin> = (0..bins)
            .map(|bin| CalibrationBin {
                examples: counts[bin],
                confidence: sums[bin] / counts[bin].max(1) as f64,
                accuracy: share(right[bin], counts[bin]),
            })
            .collect();
        let gap = |bin: &CalibrationBin| bin.examples as f64 * (bin.confidence - bin.accuracy).abs();
        Ok(Self {
            ece: bins.iter().map(gap).sum::<f64>() / total,
            confidence: sums.iter().sum::<f64>() / total,
            accuracy: share(right.iter().sum(), examples.len()),
            bins,
        })
    }
}

/// The bin of a confidence: a number on a border belongs to the lower bin, however its quotient was rounded.
fn bin_of(confidence: f64, bins: usize) -> usize {
    let border = |bin: usize| bin as f64 / bins as f64;
    let near = ((confidence * bins as f64).ceil() as usize).clamp(1, bins);
    let bin = match near {
        near if confidence <= border(near - 1) => near.saturating_sub(1),
        near if confidence > border(near) => near + 1,
        near => near,
    };
    bin.clamp(1, bins) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_guo_et_al() {
        // temperature_scaling.py's _ECELoss(n_bins=15) with torch 2.15 on the logarithms of these probabilities of
        // label 0 and labels 0 (right) or 1 (wrong).
        let examples = [
            (0.95, true),
            (0.9, false),
            (0.62, true),
            (0.55, false),
            (0.99, true),
            (0.8, true),
            (0.71, false),
        ];
        let found = Calibration::of(&examples, CALIBRATION_BINS).unwrap();
        assert!((found.ece - 0.4).abs() < 1e-9, "{}", found.ece);
        assert!((found.accuracy - 4.0 / 7.0).abs() < 1e-12);
        assert!((found.confidence - 5.52 / 7.0).abs() < 1e-12);
        assert_eq!(found.bins.iter().map(|bin| bin.examples).sum::<usize>(), 7);
    }

    #[test]
    fn a_border_belongs_to_the_lower_bin() {
        for bins in [1, 7, 10, 15] {
            for border in 1..=bins {
                assert_eq!(bin_of(border as f64 / bins as f64, bins), border - 1, "{border} of {bins}");
            }
            assert_eq!((bin_of(0.0, bins), bin_of(1.0, bins)), (0, bins - 1));
        }
        assert_eq!((bin_of(0.5, 2), bin_of(0.5000001, 2)), (0, 1));
    }

    #[test]
    fn a_model_that_is_as_often_right_as_it_says_has_no_error() {
        let examples: Vec<(f64, bool)> = (0..10).map(|number| (0.7, number < 7)).collect();
        assert!(Calibration::of(&examples, 10).unwrap().ece < 1e-12);
        let sure: Vec<(f64, bool)> = (0..10).map(|number| (1.0, number < 7)).collect();
        assert!((Calibration::of(&sure, 10).unwrap().ece - 0.3).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for bad in [f64::NAN, -0.1, 1.1] {
            let error = Calibration::of(&[(0.5, true), (bad, true)], 10).unwrap_err();
            assert!(error.to_string().contains("confidence of example 2"), "{error}");
        }
        assert!(Calibration::of(&[], 10).is_err());
    }
}
