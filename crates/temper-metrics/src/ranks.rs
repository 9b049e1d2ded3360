//! Ranks of values, with ties.

/// Ranks from 1 on; equal values share the mean of their ranks, as `scipy.stats.rankdata` does by default.
/// No value may be NaN.
pub(crate) fn average_ranks(values: &[f64]) -> Vec<f64> {
    doubled_ranks(values).into_iter().map(|doubled| doubled as f64 / 2.0).collect()
}

/// Twice the average ranks: whole numbers, also where values are equal.
pub(crate) fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let mut ranks = vec![0; values.len()];
    let mut before = 0;
    for group in groups(values) {
        // The mean of before + 1 ..= before + length, twice.
        group.iter().for_each(|&place| ranks[place] = 2 * before + group.len() + 1);
        before += group.len();
    }
    ranks
}

/// Places of equal values together, the smallest value first.
pub(crate) fn groups(values: &[f64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // -0.0 equals 0.0, but comes before it in this order; the sum is 0.0 of both.
    order.sort_by(|&one, &other| (values[one] + 0.0).total_cmp(&(values[other] + 0.0)));
    order.chunk_by(|&one, &other| values[one] == values[other]).map(<[usize]>::to_vec).collect()
}
