//! Sums in f32 by lanes: partial sums that vector code forms side by side, always in the same order.

/// Four registers of eight.
const LANES: usize = 32;

/// The sum of `term` over `values`, whose rounding error grows with a 32nd of the length.
#[inline(always)]
pub fn lane_sum(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += term(value);
        }
    }
    for (sum, &value) in sums.iter_mut().zip(rest) {
        *sum += term(value);
    }
    fold(sums)
}

/// The sum of `term` over the pairs of two slices of equal length.
#[inline(always)]
pub fn lane_sum_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    for (left, right) in left.zip(right) {
        for ((sum, &left), &right) in sums.iter_mut().zip(left).zip(right) {
            *sum += term(left, right);
        }
    }
    for (sum, (&left, &right)) in sums.iter_mut().zip(rest) {
        *sum += term(left, right);
    }
    fold(sums)
}

#[inline(always)]
fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = sums.split_at_mut(half);
        for (low, &high) in low.iter_mut().zip(&*high) {
            *low += high;
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_counts_once() {
        for len in [0, 1, 31, 32, 33, 100, 1000] {
            let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
            let ones = vec![1.0; len];
            let expected = (len * (len + 1) / 2) as f32;
            assert_eq!(lane_sum(&values, |value| value), expected, "{len}");
            assert_eq!(lane_sum_pairs(&ones, &values, |one, value| value - one), expected - len as f32);
        }
    }
}
