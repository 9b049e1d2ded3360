//! Metrics of predicted numbers.

use serde::Serialize;

use crate::error::MetricError;
use crate::ranks::average_ranks;

/// How far predicted numbers are from the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RegressionScores {
    /// Examples.
    pub count: usize,
    /// Mean squared error, in the square of the targets' unit.
    pub mse: f64,
    /// Its root, in the targets' unit.
    pub rmse: f64,
    /// Mean absolute error, in the targets' unit.
    pub mae: f64,
    /// [`pearson`]
    pub pearson: Option<f64>,
    /// [`spearman`]
    pub spearman: Option<f64>,
}

impl RegressionScores {
    /// Scores as scikit-learn 1.9 (`mean_squared_error`, `root_mean_squared_error`, `mean_absolute_error`) and
    /// scipy 1.17 (`pearsonr`, `spearmanr`) compute them.
    ///
    /// # Errors
    ///
    /// If there are no examples, lists of different length, or numbers that are not finite.
    pub fn of(truth: &[f64], predicted: &[f64]) -> Result<Self, MetricError> {
        check(truth, predicted)?;
        let count = truth.len() as f64;
        let errors = || truth.iter().zip(predicted).map(|(truth, predicted)| predicted - truth);
        let mse = errors().map(|error| error * error).sum::<f64>() / count;
        Ok(Self {
            count: truth.len(),
            mse,
            rmse: mse.sqrt(),
            mae: errors().map(f64::abs).sum::<f64>() / count,
            pearson: pearson(truth, predicted),
            spearman: spearman(truth, predicted),
        })
    }
}

fn check(truth: &[f64], predicted: &[f64]) -> Result<(), MetricError> {
    if truth.len() != predicted.len() {
        let what = "numbers".to_owned();
        return Err(MetricError::Lengths { what, truth: truth.len(), predicted: predicted.len() });
    }
    if truth.is_empty() {
        return Err(MetricError::NoExamples);
    }
    for (name, values) in [("true number", truth), ("prediction", predicted)] {
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(MetricError::NotFinite { what: format!("{name} {place}"), value: values[place] });
        }
    }
    Ok(())
}

/// Pearson's correlation, as in scipy 1.17, `scipy.stats.pearsonr(x, y).statistic`.
///
/// None where it is undefined: for fewer than two pairs, where one side is constant or not finite, and for lists
/// of different length.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() {
        return None;
    }
    let (x, y) = (direction(x)?, direction(y)?);
    let product: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    // Exact arithmetic stays between -1 and 1; rounding may not.
    Some(product.clamp(-1.0, 1.0))
}

/// Deviations from the mean, of length 1; none without deviations.
fn direction(values: &[f64]) -> Option<Vec<f64>> {
    let first = values.first()?;
    if values.iter().all(|value| value == first) || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let mut deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
    // Squares of very large and very small numbers are not finite numbers any more; those of shares of the largest are.
    let largest = deviations.iter().fold(0.0_f64, |largest, deviation| largest.max(deviation.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return None;
    }
    deviations.iter_mut().for_each(|deviation| *deviation /= largest);
    let length = deviations.iter().map(|deviation| deviation * deviation).sum::<f64>().sqrt();
    deviations.iter_mut().for_each(|deviation| *deviation /= length);
    Some(deviations)
}

/// Spearman's correlation of ranks, where equal values share the mean of their ranks, as in scipy 1.17,
/// `scipy.stats.spearmanr(x, y).statistic`.
///
/// None where it is undefined, as with [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.iter().chain(y).any(|value| !value.is_finite()) {
        return None;
    }
    pearson(&average_ranks(x), &average_ranks(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        assert_eq!(RegressionScores::of(&[], &[]), Err(MetricError::NoExamples));
        let error = RegressionScores::of(&[1.0], &[1.0, 2.0]).unwrap_err();
        assert_eq!(error.to_string(), "numbers: 1 true values but 2 predicted ones; give one for each");
        let error = RegressionScores::of(&[1.0, 2.0], &[1.0, f64::INFINITY]).unwrap_err();
        assert!(error.to_string().starts_with("prediction 1 is inf"), "{error}");
    }

    #[test]
    fn correlations_of_huge_numbers_are_numbers() {
        let (x, y) = ([1e200, 2e200, 4e200], [1e-200, 2e-200, 4e-200]);
        assert!((pearson(&x, &y).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(pearson(&[f64::MAX, f64::MAX, -f64::MAX], &[1.0, 2.0, 3.0]), None);
    }
}
