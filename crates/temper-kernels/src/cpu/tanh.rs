//! The hyperbolic tangent in vector lanes.

/// The hyperbolic tangent, within 2e-7 relative: an odd polynomial over an even one.
///
/// Coefficients: Eigen 3.4, `generic_fast_tanh_float` (`MathFunctionsImpl.h`).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // The value for which the quotient is 1.
    let x = x.clamp(-7.998_811_7, 7.998_811_7);
    let x2 = x * x;
    let p = (-2.760_768_5e-16_f32)
        .mul_add(x2, 2.000_188e-13)
        .mul_add(x2, -8.604_672e-11)
        .mul_add(x2, 5.122_297e-8)
        .mul_add(x2, 1.485_722_4e-5)
        .mul_add(x2, 6.372_619e-4)
        .mul_add(x2, 4.893_524_6e-3);
    let q =
        1.198_258_4e-6_f32.mul_add(x2, 1.185_347_1e-4).mul_add(x2, 2.268_434_6e-3).mul_add(x2, 4.893_525e-3);
    (x * p / q).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_close_to_the_standard_library() {
        for step in -100_000..=100_000 {
            let x = step as f32 * 1e-4;
            let (value, expected) = (f64::from(tanh(x)), f64::from(x).tanh());
            assert!((value - expected).abs() <= 3e-7 * expected.abs(), "tanh({x}) = {value}, not {expected}");
        }
    }

    #[test]
    fn ends_in_one_and_keeps_nan() {
        for x in [9.0, 1e10, f32::INFINITY] {
            assert!((tanh(x) - 1.0).abs() <= f32::EPSILON && tanh(x) <= 1.0);
            assert_eq!(tanh(-x), -tanh(x));
        }
        assert_eq!(tanh(0.0), 0.0);
        assert!(tanh(f32::NAN).is_nan());
    }
}
