//! Gated linear units, element by element.

use super::activate::{derivative, value, with_constant};
use super::{TASK_ELEMENTS, run_tasks, vectorized};
use crate::activation::Activation;

/// The gated linear unit `out = activation(g) u` (Shazeer, "GLU Variants Improve Transformer", 2020).
///
/// # Shapes
/// - `g`, `u`, `out`: equally long
pub fn gate(activation: Activation, g: &[f32], u: &[f32], out: &mut [f32]) {
    assert!(g.len() == u.len() && u.len() == out.len(), "gate: lengths differ");
    let inputs = g.chunks(TASK_ELEMENTS).zip(u.chunks(TASK_ELEMENTS));
    run_tasks(out.chunks_mut(TASK_ELEMENTS).zip(inputs).collect(), |(out, (g, u))| {
        vectorized(
            #[inline(always)]
            || {
                with_constant(
                    activation,
                    #[inline(always)]
                    |activation| {
                        for ((out, &g), &u) in out.iter_mut().zip(g).zip(u) {
                            *out = value(activation, g) * u;
                        }
                    },
                )
            },
        )
    });
}

/// The gradients of [`gate`]: `dg = activation'(g) u dy` and `du = activation(g) dy`.
///
/// # Shapes
/// - `g`, `u`, `dy`, `dg`, `du`: equally long
pub fn gate_backward(
    activation: Activation,
    g: &[f32],
    u: &[f32],
    dy: &[f32],
    dg: &mut [f32],
    du: &mut [f32],
) {
    let len = g.len();
    assert!(u.len() == len && dy.len() == len && dg.len() == len && du.len() == len, "gate: lengths differ");
    let inputs = g.chunks(TASK_ELEMENTS).zip(u.chunks(TASK_ELEMENTS)).zip(dy.chunks(TASK_ELEMENTS));
    let outputs = dg.chunks_mut(TASK_ELEMENTS).zip(du.chunks_mut(TASK_ELEMENTS));
    run_tasks(inputs.zip(outputs).collect(), |(((g, u), dy), (dg, du))| {
        vectorized(
            #[inline(always)]
            || {
                with_constant(
                    activation,
                    #[inline(always)]
                    |activation| {
                        let outputs = dg.iter_mut().zip(du.iter_mut());
                        for (((&g, &u), &dy), (dg, du)) in g.iter().zip(u).zip(dy).zip(outputs) {
                            *dg = derivative(activation, g) * u * dy;
                            *du = value(activation, g) * dy;
                        }
                    },
                )
            },
        )
    });
}

#[cfg(test)]
mod tests {
    use super::super::activate::tests::{ALL, derivative_f64, value_f64};
    use super::*;

    #[test]
    fn value_and_gradients_agree_with_the_definition() {
        for activation in ALL {
            for len in [0, 1, 7, 1001, TASK_ELEMENTS + 3] {
                let g: Vec<f32> = (0..len).map(|i| (i * 7919 % 10_007) as f32 / 1000.0 - 5.0).collect();
                let u: Vec<f32> = (0..len).map(|i| (i * 31 % 17) as f32 / 8.0 - 1.0).collect();
                let dy: Vec<f32> = (0..len).map(|i| (i % 13) as f32 / 6.0 - 1.0).collect();
                let (mut y, mut dg, mut du) = (vec![f32::NAN; len], vec![f32::NAN; len], vec![f32::NAN; len]);
                gate(activation, &g, &u, &mut y);
                gate_backward(activation, &g, &u, &dy, &mut dg, &mut du);
                for i in 0..len {
                    let [g, u, dy] = [g[i], u[i], dy[i]].map(f64::from);
                    let value = value_f64(activation, g);
                    let expected = [value * u, derivative_f64(activation, g) * u * dy, value * dy];
                    for (result, expected) in [y[i], dg[i], du[i]].into_iter().zip(expected) {
                        let error = (f64::from(result) - expected).abs();
                        assert!(error < 5e-6, "{activation:?} {i} of {len}: {result}, not {expected}");
                    }
                }
            }
        }
    }
}
