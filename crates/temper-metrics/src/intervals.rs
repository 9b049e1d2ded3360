//! 95 % intervals of scores.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::statistics::Sample;

/// Resamples of [`bootstrap_interval`].
pub const RESAMPLES: usize = 1000;
/// Sets these streams apart from any other use of the same seed.
const PURPOSE: &[u8; 24] = b"temper bootstrap v1\0\0\0\0\0";

/// A 95 % interval of a share, by Wilson's score (1927). It is never a point, also where all examples are right.
pub fn share_interval(right: usize, of: usize) -> [f64; 2] {
    /// The 0.975 quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return [0.0, 1.0];
    }
    let (of, share) = (of as f64, right as f64 / of as f64);
    let weight = 1.0 + Z * Z / of;
    let middle = (share + Z * Z / (2.0 * of)) / weight;
    let half = Z / weight * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt();
    // Exact arithmetic stays between 0 and 1; rounding may not.
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

/// A 95 % interval of the mean of example scores, by Student's t. For metrics that are means over examples, such as
/// F1 of answers; for scores that are only 0 or 1, [`share_interval`] is better.
///
/// Equals `scipy.stats.t.interval(0.95, n - 1, mean, sem)` of scipy 1.17; where all scores are equal it is a point,
/// and scipy has NaN. None of fewer than two scores, and where one is not finite.
pub fn mean_interval(scores: &[f64]) -> Option<[f64; 2]> {
    Sample::of(scores.to_vec())?.interval.filter(|ends| ends.iter().all(|end| end.is_finite()))
}

/// A 95 % interval of a metric that is no mean of example scores, such as macro F1 or a correlation: by the
/// percentile bootstrap (Efron and Tibshirani 1993, chapter 13), with [`RESAMPLES`] resamples.
///
/// `metric` gets the places of a resample's examples, each below `count`, and computes the metric of those
/// examples. The ends are the 2.5th and the 97.5th percentile, between two values by linear interpolation, as
/// `numpy.percentile` has them. Resamples depend only on `seed` and `count` and are the same on every machine:
/// ChaCha with 8 rounds, one 64-bit draw a place, its high half times `count`.
///
/// None of no examples, and where the metric is NaN in a resample.
pub fn bootstrap_interval(count: usize, seed: u64, metric: impl Fn(&[usize]) -> f64) -> Option<[f64; 2]> {
    if count == 0 {
        return None;
    }
    let mut generator = generator(seed);
    let mut places = vec![0; count];
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        places.fill_with(|| below(count as u64, &mut generator) as usize);
        let value = metric(&places);
        if value.is_nan() {
            return None;
        }
        values.push(value);
    }
    values.sort_by(f64::total_cmp);
    Some([percentile(&values, 0.025), percentile(&values, 0.975)])
}

fn generator(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(PURPOSE);
    ChaCha8Rng::from_seed(key)
}

/// A whole number below `bound`; the bias is at most `bound` / 2^64.
fn below(bound: u64, generator: &mut ChaCha8Rng) -> u64 {
    ((u128::from(bound) * u128::from(generator.next_u64())) >> 64) as u64
}

/// The value below which a share of the sorted values is.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    if low == high { low } else { low + (high - low) * place.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.binomtest(right, of).proportion_ci(method="wilson")
    #[test]
    fn the_interval_is_wilson_s() {
        for (right, of, expected) in [
            (37, 37, [0.905_942_174_2, 1.0]),
            (0, 37, [0.0, 0.094_057_825_8]),
            (80, 100, [0.711_170_834_4, 0.866_633_066_7]),
        ] {
            let [low, high] = share_interval(right, of);
            assert!((low - expected[0]).abs() < 1e-9 && (high - expected[1]).abs() < 1e-9, "{low} {high}");
        }
        assert_eq!(share_interval(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn a_resample_has_as_many_examples_and_other_ones_each_time() {
        let seen = std::cell::RefCell::new(Vec::new());
        bootstrap_interval(20, 7, |places| {
            seen.borrow_mut().push(places.to_vec());
            0.0
        });
        let seen = seen.into_inner();
        assert_eq!(seen.len(), RESAMPLES);
        assert!(seen.iter().all(|places| places.len() == 20 && places.iter().all(|&place| place < 20)));
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn without_examples_or_a_metric_there_is_no_interval() {
        assert_eq!(bootstrap_interval(0, 7, |_| 0.5), None);
        assert_eq!(bootstrap_interval(3, 7, |places| if places[0] == 1 { f64::NAN } else { 0.5 }), None);
        assert_eq!(mean_interval(&[0.5]), None);
        assert_eq!(mean_interval(&[0.5, f64::NAN]), None);
        assert_eq!(mean_interval(&[0.5, 0.5]), Some([0.5, 0.5]));
    }

    #[test]
    fn a_metric_without_spread_is_a_point() {
        assert_eq!(bootstrap_interval(3, 7, |_| f64::INFINITY), Some([f64::INFINITY; 2]));
    }
}
