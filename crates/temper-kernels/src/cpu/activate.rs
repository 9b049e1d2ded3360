//! Activation functions, element by element, with their derivatives.
//!
//! `value` and `derivative` are plain arithmetic without branches, which the compiler turns into
//! vector code where a loop over them is compiled for vector instructions ([`vectorized`]).

use super::{TASK_ELEMENTS, exp, normal, run_tasks, tanh, vectorized};
use crate::activation::Activation;

/// The function's value at `x`.
///
/// Inside a loop the match is decided once only if `activation` is a constant there: see
/// [`activate_tile`].
#[inline(always)]
pub fn value(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Gelu => x * normal(x).0,
        Activation::GeluTanh => x * sigmoid(gelu_tanh_inner(x)),
        // Not max: that would turn a NaN into a zero.
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => tanh(x),
    }
}

/// The function's derivative at `x`.
#[inline(always)]
pub fn derivative(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Gelu => {
            let (distribution, density) = normal(x);
            x.mul_add(density, distribution)
        }
        Activation::GeluTanh => {
            let s = sigmoid(gelu_tanh_inner(x));
            let inner_derivative =
                (3.0 * GELU_TANH_CUBIC * x * x).mul_add(TWO_SQRT_2_OVER_PI, TWO_SQRT_2_OVER_PI);
            (x * (1.0 - s) * inner_derivative).mul_add(s, s)
        }
        Activation::Relu => {
            if x <= 0.0 {
                0.0
            } else {
                1.0
            }
        }
        Activation::Silu => {
            let s = sigmoid(x);
            (x * (1.0 - s)).mul_add(s, s)
        }
        Activation::Tanh => {
            let t = tanh(x);
            1.0 - t * t
        }
    }
}

/// `z = activation(z)` on the calling thread, as [`activate_tile`].
#[inline(always)]
pub fn activate_tile_in_place(activation: Activation, z: &mut [f32]) {
    with_constant(
        activation,
        #[inline(always)]
        |activation| {
            for z in z.iter_mut() {
                *z = value(activation, *z);
            }
        },
    );
}

/// `out = activation(z)` on the calling thread, for use inside of code that is compiled for vector
/// instructions already, such as the epilogue of a matrix product.
///
/// # Shapes
/// - `z`, `out`: equally long
#[inline(always)]
pub fn activate_tile(activation: Activation, z: &[f32], out: &mut [f32]) {
    assert_eq!(z.len(), out.len(), "activation: lengths differ");
    with_constant(
        activation,
        #[inline(always)]
        |activation| {
            for (out, &z) in out.iter_mut().zip(z) {
                *out = value(activation, z);
            }
        },
    );
}

/// `dz = activation'(z) dy` on the calling thread, for use inside of code that is compiled for
/// vector instructions already. `dz` comes in as the gradient of the output, `dy`.
///
/// # Shapes
/// - `z`, `dy_to_dz`: equally long
#[inline(always)]
pub fn activate_backward_tile(activation: Activation, z: &[f32], dy_to_dz: &mut [f32]) {
    assert_eq!(z.len(), dy_to_dz.len(), "activation: lengths differ");
    with_constant(
        activation,
        #[inline(always)]
        |activation| {
            for (gradient, &z) in dy_to_dz.iter_mut().zip(z) {
                *gradient *= derivative(activation, z);
            }
        },
    );
}

/// `dz = activation'(z) dy`, written over `dy`.
///
/// # Shapes
/// - `z`, `dy_to_dz`: equally long
pub fn activate_backward_in_place(activation: Activation, z: &[f32], dy_to_dz: &mut [f32]) {
    assert_eq!(z.len(), dy_to_dz.len(), "activation: lengths differ");
    let tasks = dy_to_dz.chunks_mut(TASK_ELEMENTS).zip(z.chunks(TASK_ELEMENTS)).collect();
    run_tasks(tasks, |(dy_to_dz, z)| {
        vectorized(
            #[inline(always)]
            || activate_backward_tile(activation, z, dy_to_dz),
        )
    });
}

/// Calls `body` with `activation` as a constant, so that the match inside of `body`'s loop is decided
/// before the loop.
#[inline(always)]
pub fn with_constant(activation: Activation, mut body: impl FnMut(Activation)) {
    match activation {
        Activation::Gelu => body(Activation::Gelu),
        Activation::GeluTanh => body(Activation::GeluTanh),
        Activation::Relu => body(Activation::Relu),
        Activation::Silu => body(Activation::Silu),
        Activation::Tanh => body(Activation::Tanh),
    }
}

const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;
const GELU_TANH_CUBIC: f32 = 0.044_715;

/// `2u` of GELU's tanh form `x (1 + tanh u) / 2`, which is `x σ(2u)`.
#[inline(always)]
fn gelu_tanh_inner(x: f32) -> f32 {
    TWO_SQRT_2_OVER_PI * (GELU_TANH_CUBIC * x * x).mul_add(x, x)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
pub mod tests {
    use super::super::normal::tests::distribution_f64;
    use super::*;

    pub const ALL: [Activation; 5] =
        [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh];

    /// The definitions of transformers' `activations.py`.
    pub fn value_f64(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => x * distribution_f64(x),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }

    pub fn derivative_f64(activation: Activation, x: f64) -> f64 {
        if activation == Activation::Relu {
            return f64::from(u8::from(x > 0.0));
        }
        let h = 1e-5;
        (value_f64(activation, x + h) - value_f64(activation, x - h)) / (2.0 * h)
    }

    fn inputs(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 20_011) as f32 / 2000.0 - 5.0).collect()
    }

    #[test]
    fn values_and_derivatives_agree_with_the_definitions() {
        for activation in ALL {
            for step in -12_000..=12_000 {
                let x = step as f32 * 1e-3;
                let exact = f64::from(x);
                let (result, expected) = (f64::from(value(activation, x)), value_f64(activation, exact));
                let error = (result - expected).abs() / exact.abs().max(1.0);
                assert!(error < 1e-6, "{activation:?}({x}) = {result}, not {expected}");

                let (result, expected) =
                    (f64::from(derivative(activation, x)), derivative_f64(activation, exact));
                let error = (result - expected).abs() / exact.abs().max(1.0);
                assert!(error < 1e-6, "{activation:?}'({x}) = {result}, not {expected}");
            }
        }
    }

    #[test]
    fn far_ends_are_those_of_the_functions_and_nan_stays() {
        for activation in ALL {
            assert!(value(activation, f32::NAN).is_nan(), "{activation:?}");
            if activation != Activation::Tanh {
                assert_eq!(value(activation, 1e4), 1e4, "{activation:?}");
                assert_eq!(value(activation, -1e4), 0.0, "{activation:?}");
                assert_eq!(derivative(activation, 1e4), 1.0, "{activation:?}");
                assert_eq!(derivative(activation, -1e4), 0.0, "{activation:?}");
            }
        }
    }

    #[test]
    fn slices_of_any_length_get_the_value_of_every_element() {
        for activation in ALL {
            for len in [0, 1, 7, 9, 1000, TASK_ELEMENTS, TASK_ELEMENTS + 1, 3 * TASK_ELEMENTS + 5] {
                let z = inputs(len);
                let dy: Vec<f32> = (0..len).map(|i| (i % 13) as f32 - 6.0).collect();
                let (mut y, mut in_place, mut dz) = (vec![f32::NAN; len], z.clone(), dy.clone());
                vectorized(|| activate_tile(activation, &z, &mut y));
                vectorized(|| activate_tile_in_place(activation, &mut in_place));
                activate_backward_in_place(activation, &z, &mut dz);
                assert_eq!(y, in_place);
                for i in 0..len {
                    assert!((y[i] - value(activation, z[i])).abs() <= 1e-6, "{activation:?} {i} of {len}");
                    let expected = dy[i] * derivative(activation, z[i]);
                    assert!((dz[i] - expected).abs() <= 1e-5, "{activation:?} {i} of {len}");
                }
            }
        }
    }
}
