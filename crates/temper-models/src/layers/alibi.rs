//! ALiBi's slopes.

/// ALiBi's slopes (Press et al. 2021, arXiv 2108.12409), one a head: powers of `2^(-8 / heads)`. Where the
/// number of heads is no power of two, those of the next lower one come first, then every second one of the
/// next higher.
///
/// ```
/// use temper_models::layers::alibi_slopes;
///
/// assert_eq!(alibi_slopes(4), [0.25, 0.0625, 0.015625, 0.00390625]);
/// assert_eq!(alibi_slopes(6)[4..], [0.5, 0.125]);
/// ```
///
/// # Panics
/// For no heads at all.
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    let lower = 1 << heads.ilog2();
    // As transformers computes them, in f32.
    let slope = |heads: usize, power: usize| (2.0_f64.powf(-8.0 / heads as f64) as f32).powf(power as f32);
    let first = (1..=lower).map(|power| slope(lower, power));
    let rest = (0..heads - lower).map(|index| slope(2 * lower, 2 * index + 1));
    first.chain(rest).collect()
}
