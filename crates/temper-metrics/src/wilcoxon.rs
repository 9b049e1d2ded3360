//! Wilcoxon's signed-rank test.

use statrs::function::erf::erfc;

use crate::ranks::{doubled_ranks, groups};

/// Up to so many differences, none zero and none equal in size, the distribution of the ranks is exact.
const EXACT: usize = 50;
/// Up to so many differences, zeros included, it is exact with zeros and equal sizes, too.
const EXACT_WITH_TIES: usize = 13;

/// The two-sided p value of Wilcoxon's signed-rank test (1945): whether differences of pairs are symmetric
/// about zero. It is meant for scores of examples that are more than right or wrong, such as F1 of answers.
///
/// Equals `scipy.stats.wilcoxon(differences)` of scipy 1.17, which is `zero_method="wilcox"` (zeros are left
/// out), `correction=False`, `alternative="two-sided"` and `method="auto"`: the exact distribution up to 50
/// differences, or up to 13 where some are zero or equal in size; beyond, the normal approximation with the
/// correction for ties.
///
/// None where no difference is above or below zero, and where one is NaN.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Option<f64> {
    let moved: Vec<f64> = differences.iter().copied().filter(|&difference| difference != 0.0).collect();
    if moved.is_empty() || moved.iter().any(|difference| difference.is_nan()) {
        return None;
    }
    let sizes: Vec<f64> = moved.iter().map(|difference| difference.abs()).collect();
    let ranks = doubled_ranks(&sizes);
    let positive = moved.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0);
    let positive = positive.map(|(_, rank)| rank).sum();
    let ties: Vec<usize> = groups(&sizes).iter().map(Vec::len).collect();
    let plain = moved.len() == differences.len() && ties.iter().all(|&length| length == 1);
    let exact = differences.len() <= if plain { EXACT } else { EXACT_WITH_TIES };
    Some(if exact { exact_p(positive, &ranks) } else { normal_p(positive, &ties) })
}

/// From the distribution of the sum of positive ranks under random signs. Ranks and sum are doubled.
fn exact_p(positive: usize, ranks: &[usize]) -> f64 {
    let all: usize = ranks.iter().sum();
    let mut probabilities = vec![0.0; all + 1];
    probabilities[0] = 1.0;
    for &rank in ranks {
        // From the largest sum down, so that a rank counts once.
        for sum in (0..=all).rev() {
            let without = probabilities[sum];
            let with = if sum < rank { 0.0 } else { probabilities[sum - rank] };
            probabilities[sum] = (without + with) / 2.0;
        }
    }
    let at_most: f64 = probabilities[..=positive].iter().sum();
    let at_least: f64 = probabilities[positive..].iter().sum();
    (2.0 * at_most.min(at_least)).min(1.0)
}

/// From the normal approximation; `ties` are the sizes of groups of equal ranks.
fn normal_p(positive: usize, ties: &[usize]) -> f64 {
    let count: usize = ties.iter().sum();
    let count = count as f64;
    let mean = count * (count + 1.0) / 4.0;
    let tied: f64 = ties.iter().map(|&length| (length as f64).powi(3) - length as f64).sum();
    let deviation = ((count * (count + 1.0) * (2.0 * count + 1.0) - tied / 2.0) / 24.0).sqrt();
    let z = (positive as f64 / 2.0 - mean) / deviation;
    erfc(z.abs() / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_samples_can_be_counted_by_hand() {
        // Of 8 assignments of signs to the ranks 1, 2, 3 one has the sum 6, and one 0.
        assert_eq!(wilcoxon_signed_rank(&[0.1, 0.2, 0.3]), Some(0.25));
        assert_eq!(wilcoxon_signed_rank(&[-0.5]), Some(1.0));
        // Ranks 1.5 and 1.5: sums 0, 1.5, 1.5, 3.
        assert_eq!(wilcoxon_signed_rank(&[0.5, 0.5, 0.0]), Some(0.5));
    }

    #[test]
    fn nothing_to_test_has_no_p_value() {
        assert_eq!(wilcoxon_signed_rank(&[]), None);
        assert_eq!(wilcoxon_signed_rank(&[0.0, -0.0]), None);
        assert_eq!(wilcoxon_signed_rank(&[0.5, f64::NAN]), None);
    }
}
