//! Means, intervals and paired tests.

use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// Several values of one quantity, such as a score under several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample (divided by n - 1); none of a single value.
    pub standard_deviation: Option<f64>,
    /// 95 % interval of the mean by Student's t; none of a single value.
    pub interval: Option<[f64; 2]>,
    /// The values.
    pub values: Vec<f64>,
}

impl Sample {
    /// Describes values; none when there is not a single one.
    pub fn of(values: Vec<f64>) -> Option<Self> {
        let count = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let interval = standard_deviation.zip(student(values.len())).map(|(deviation, student)| {
            let half = student.inverse_cdf(0.975) * deviation / count.sqrt();
            [mean - half, mean + half]
        });
        Some(Self { mean, standard_deviation, interval, values })
    }

    /// The same of a quantity that lies between two values: the interval ends there at the latest.
    #[must_use]
    pub fn within(self, [least, greatest]: [f64; 2]) -> Self {
        let interval = self.interval.map(|[low, high]| [low.max(least), high.min(greatest)]);
        Self { interval, ..self }
    }
}

/// Student's distribution of the mean of that many values.
fn student(count: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, count.checked_sub(1)? as f64).ok()
}

/// The two-sided p value of a paired t-test: whether the mean of the differences is zero.
///
/// None for fewer than two pairs and where all differences are equal: without spread there is
/// nothing to test by.
pub fn paired_t_test(differences: &[f64]) -> Option<f64> {
    let sample = Sample::of(differences.to_vec())?;
    // Equal scores differ by the rounding of their sums.
    let deviation = sample.standard_deviation.filter(|&deviation| deviation > 1e-12)?;
    let t = sample.mean / (deviation / (differences.len() as f64).sqrt());
    Some(2.0 * student(differences.len())?.sf(t.abs()))
}

/// The two-sided p value of the exact sign test: whether wins and losses are equally likely.
///
/// With the examples that only one of two models gets right as wins and losses, it is the exact
/// test of McNemar (1947). 1 where there are neither.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    let (fewer, all) = (wins.min(losses) as u64, (wins + losses) as u64);
    // 0.5 is a probability: it is not refused.
    Binomial::new(0.5, all).map_or(1.0, |coin| (2.0 * coin.cdf(fewer)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(ours: f64, theirs: f64) {
        assert!((ours - theirs).abs() < 1e-8, "{ours} {theirs}");
    }

    // Expected values: scipy, with the command next to them.

    #[test]
    fn intervals_are_scipy_s() {
        // scipy.stats.t.interval(0.95, 2, numpy.mean(x), scipy.stats.sem(x)), x = [0.81, 0.84, 0.8]
        let sample = Sample::of(vec![0.81, 0.84, 0.8]).unwrap();
        let [low, high] = sample.interval.unwrap();
        assert_close(sample.mean, 0.816_666_666_7);
        // numpy.std(x, ddof=1)
        assert_close(sample.standard_deviation.unwrap(), 0.020_816_660);
        assert_close(low, 0.764_955_217);
        assert_close(high, 0.868_378_117);
    }

    #[test]
    fn one_value_has_no_interval_and_none_no_mean() {
        let one = Sample::of(vec![0.5]).unwrap();
        assert_eq!((one.mean, one.standard_deviation, one.interval), (0.5, None, None));
        assert_eq!(Sample::of(Vec::new()), None);
    }

    #[test]
    fn paired_t_tests_are_scipy_s() {
        // scipy.stats.ttest_rel([0.81, 0.84, 0.8, 0.79], [0.8, 0.81, 0.8, 0.78]).pvalue
        let differences = [0.81 - 0.8, 0.84 - 0.81, 0.8 - 0.8, 0.79 - 0.78];
        assert_close(paired_t_test(&differences).unwrap(), 0.141_121_940);
        // scipy.stats.ttest_rel([1, 2], [3, 3]).pvalue
        assert_close(paired_t_test(&[-2.0, -1.0]).unwrap(), 0.204_832_765);
    }

    #[test]
    fn differences_without_spread_are_not_tested() {
        assert_eq!(paired_t_test(&[0.1]), None);
        assert_eq!(paired_t_test(&[0.3 - 0.2, 0.2 - 0.1, 0.1]), None);
    }

    #[test]
    fn sign_tests_are_scipy_s() {
        // scipy.stats.binomtest(3, 13, 0.5).pvalue
        assert_close(sign_test(3, 10), 0.092_285_156_25);
        assert_eq!(sign_test(3, 10), sign_test(10, 3));
        // scipy.stats.binomtest(980, 2100, 0.5).pvalue
        assert_close(sign_test(980, 1120), 0.002_411_606_796);
        assert_eq!(sign_test(7, 7), 1.0);
        assert_eq!(sign_test(0, 0), 1.0);
    }
}
