//! What the processor can compute at most.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Sums in flight: enough to hide the latency of 4 or 5 cycles in two units.
const SUMS: usize = 12;
/// About 3 ms: short enough to meet moments in which nothing else runs.
const ROUNDS: usize = 1_000_000;

/// Multiply-adds on registers alone, on all threads of the current pool; counts two operations each.
/// The best of many runs, measured once.
pub fn flops_per_second() -> f64 {
    static PEAK: OnceLock<f64> = OnceLock::new();
    *PEAK.get_or_init(|| (0..300).map(|_| measure()).fold(0.0, f64::max))
}

fn measure() -> f64 {
    let start = Instant::now();
    let flops: usize = rayon::broadcast(|_| Arch::new().dispatch(MultiplyAdds)).into_iter().sum();
    flops as f64 / start.elapsed().as_secs_f64()
}

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    /// Operations done.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (factor, term) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(1.0)));
        let mut sums = [term; SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let total = sums.into_iter().fold(term, |total, sum| simd.add_f32s(total, sum));
        black_box(simd.reduce_sum_f32s(total));
        2 * ROUNDS * SUMS * S::F32_LANES
    }
}
