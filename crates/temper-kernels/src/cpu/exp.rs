//! The exponential function in vector lanes.

use pulp::{Scalar, Simd};

/// `e^x`, in lanes, within 2 units in the last place.
///
/// Infinity above 88.722 8; exactly zero below -87.336 5, where the result would be subnormal; NaN of
/// NaN. Call it inside a dispatched function, or it is compiled for the oldest processor.
///
/// Range reduction and polynomial of `expf` of the Cephes library (S. Moshier, 1984-2000):
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, and `e^x = 2^n e^r`.
#[inline(always)]
pub fn exp_f32s<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    // Adding 1.5 * 2^23 rounds to an integer, which then is in the low bits.
    let rounder = splat(12_582_912.0);
    let shifted = simd.mul_add_f32s(x, splat(std::f32::consts::LOG2_E), rounder);
    let n = simd.sub_f32s(shifted, rounder);
    // ln 2 in two parts, the first with so few bits that its product with n is exact.
    let r = simd.mul_add_f32s(n, splat(-355.0 / 512.0), x);
    let r = simd.mul_add_f32s(n, splat(2.121_944_4e-4), r);

    let mut p = splat(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0] {
        p = simd.mul_add_f32s(p, r, splat(coefficient));
    }

    // Times 2^n: n is added to the exponent.
    let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let result = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), n));

    let underflows = simd.less_than_f32s(x, splat(-87.336_54));
    let overflows = simd.greater_than_f32s(x, splat(88.722_83));
    let result = simd.select_f32s(underflows, splat(0.0), result);
    simd.select_f32s(overflows, splat(f32::INFINITY), result)
}

/// [`exp_f32s`] of one number: a loop over it compiles to vector code inside a dispatched function.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    exp_f32s(Scalar, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct InLanes<'a>(&'a mut [f32]);

    impl WithSimd for InLanes<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (head, _) = S::as_mut_simd_f32s(self.0);
            for x in head {
                *x = exp_f32s(simd, *x);
            }
        }
    }

    fn in_lanes(inputs: &[f32]) -> Vec<f32> {
        let mut values = inputs.to_vec();
        values.resize(inputs.len().next_multiple_of(64), 0.0);
        Arch::new().dispatch(InLanes(&mut values));
        values.truncate(inputs.len());
        values
    }

    fn assert_close(x: f32, result: f32) {
        let expected = f64::from(x).exp();
        let unit = f64::from((expected as f32).next_up()) - f64::from(expected as f32);
        assert!((f64::from(result) - expected).abs() <= 2.0 * unit, "exp({x}) = {result}, not {expected}");
    }

    #[test]
    fn is_within_two_units_in_the_last_place() {
        let inputs: Vec<f32> = (0..400_000).map(|i| -87.336 + i as f32 * 4.4e-4).collect();
        assert!(*inputs.last().unwrap() > 88.6);
        for (&x, lanes) in inputs.iter().zip(in_lanes(&inputs)) {
            assert_close(x, lanes);
            assert_close(x, exp(x));
        }
    }

    #[test]
    fn keeps_the_ends_of_the_range() {
        let zero = [-87.34, -88.0, -1e3, -1e30, f32::MIN, f32::NEG_INFINITY];
        let infinite = [88.73, 89.0, 1e3, 1e30, f32::MAX, f32::INFINITY];
        for evaluate in [in_lanes, |inputs: &[f32]| inputs.iter().map(|&x| exp(x)).collect()] {
            assert_eq!(evaluate(&zero), [0.0; 6]);
            assert_eq!(evaluate(&infinite), [f32::INFINITY; 6]);
            assert_eq!(evaluate(&[0.0, -0.0]), [1.0, 1.0]);
            assert!(evaluate(&[f32::NAN])[0].is_nan());
            assert_close(88.722_8, evaluate(&[88.722_8])[0]);
            assert_close(-87.336_5, evaluate(&[-87.336_5])[0]);
        }
    }
}
