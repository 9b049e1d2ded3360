//! Softmax of one row of scores, and its gradient.

use pulp::{Arch, Simd, WithSimd};

use super::{DropoutRow, exp::exp_f32s, panels::PANEL};
use crate::cpu::{tanh::tanh, vectorized};

/// Largest score of a row, and the sum of the exponentials of the others' distances below it.
#[derive(Clone, Copy)]
pub struct RowStatistics {
    pub largest: f32,
    pub sum: f32,
}

impl RowStatistics {
    pub fn log_sum_exp(&self) -> f32 {
        self.largest + self.sum.ln()
    }
}

/// Replaces scores by `exp(score + bias - largest)`. The row is whole panels, with minus infinity where
/// no weight may go, and a number somewhere.
pub fn exponentials(row: &mut [f32], bias: Option<&[f32]>) -> RowStatistics {
    Arch::new().dispatch(Exponentials { row, bias })
}

/// Replaces scores by `exp(score + bias - log_sum_exp)`.
pub fn weights(row: &mut [f32], bias: Option<&[f32]>, log_sum_exp: f32) {
    Arch::new().dispatch(Weights { row, bias, log_sum_exp });
}

/// Caps the scores of one query: `cap * tanh(score / cap)`.
pub fn cap_scores(scores: &mut [f32], cap: f32) {
    vectorized(
        #[inline(always)]
        || scores.iter_mut().for_each(|score| *score = cap * tanh(*score / cap)),
    );
}

/// The same, with the slope of the cap at each score.
pub fn cap_scores_and_slopes(scores: &mut [f32], slopes: &mut [f32], cap: f32) {
    vectorized(
        #[inline(always)]
        || {
            for (score, slope) in scores.iter_mut().zip(slopes.iter_mut()) {
                let share = tanh(*score / cap);
                (*score, *slope) = (cap * share, 1.0 - share * share);
            }
        },
    );
}

/// Multiplies the weights of one query, from the key `first` on, by its mask.
pub fn drop_out(weights: &mut [f32], mask: DropoutRow, first: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (key, weight) in weights.iter_mut().enumerate() {
                *weight *= mask.factor(first + key);
            }
        },
    );
}

/// The gradient of the scores of one query, in place of that of its weights after dropout:
/// `weight * (mask * gradient - total)`, where `total` is the sum of `weight * mask * gradient`. Multiplies
/// the weights by the mask. The row begins at the key `first`.
pub fn score_gradients(
    gradient: &mut [f32],
    weights: &mut [f32],
    total: f32,
    mask: Option<DropoutRow>,
    first: usize,
) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let pairs = gradient.iter_mut().zip(weights);
            if let Some(mask) = mask {
                for (key, (gradient, weight)) in pairs.enumerate() {
                    let factor = mask.factor(first + key);
                    *gradient = *weight * (factor * *gradient - total);
                    *weight *= factor;
                }
            } else {
                for (gradient, weight) in pairs {
                    *gradient = *weight * (*gradient - total);
                }
            }
        },
    );
}

/// Sum of the products.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let (left, left_rest) = left.as_chunks::<PANEL>();
            let (right, right_rest) = right.as_chunks::<PANEL>();
            let mut sums = [0.0; PANEL];
            for (left, right) in left.iter().zip(right) {
                for lane in 0..PANEL {
                    sums[lane] += left[lane] * right[lane];
                }
            }
            let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
            sums.iter().sum::<f32>() + rest
        },
    )
}

struct Exponentials<'a> {
    row: &'a mut [f32],
    bias: Option<&'a [f32]>,
}

impl WithSimd for Exponentials<'_> {
    type Output = RowStatistics;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> RowStatistics {
        add_bias(simd, self.row, self.bias);
        let (row, _) = S::as_mut_simd_f32s(self.row);
        let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
        for score in row.iter() {
            largest = simd.max_f32s(largest, *score);
        }
        let largest = simd.reduce_max_f32s(largest);

        let below = simd.splat_f32s(-largest);
        let mut sum = simd.splat_f32s(0.0);
        for score in row {
            *score = exp_f32s(simd, simd.add_f32s(*score, below));
            sum = simd.add_f32s(sum, *score);
        }
        RowStatistics { largest, sum: simd.reduce_sum_f32s(sum) }
    }
}

struct Weights<'a> {
    row: &'a mut [f32],
    bias: Option<&'a [f32]>,
    log_sum_exp: f32,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        add_bias(simd, self.row, self.bias);
        let below = simd.splat_f32s(-self.log_sum_exp);
        let (row, _) = S::as_mut_simd_f32s(self.row);
        for weight in row {
            *weight = exp_f32s(simd, simd.add_f32s(*weight, below));
        }
    }
}

#[inline(always)]
fn add_bias<S: Simd>(simd: S, row: &mut [f32], bias: Option<&[f32]>) {
    let Some(bias) = bias else { return };
    let (row, _) = S::as_mut_simd_f32s(row);
    let (bias, _) = S::as_simd_f32s(bias);
    for (score, bias) in row.iter_mut().zip(bias) {
        *score = simd.add_f32s(*score, *bias);
    }
}
