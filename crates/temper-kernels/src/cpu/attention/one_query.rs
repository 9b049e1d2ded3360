//! Products of attention with one query a sequence, as when text is generated: keys and values are read where they are. To
//! pack them first would take longer than the products.

use super::{scores::Block, scores::Head};
use crate::cpu::vectorized;

/// Partial sums of a product of two rows.
const LANES: usize = 16;

/// Writes `scale * query * key^T` for the keys of its block.
pub fn score(head: &Head<'_>, block: &Block, scores: &mut [f32]) {
    let (query, scale) = (head.query.row(0), head.pattern.scale);
    vectorized(
        #[inline(always)]
        || {
            for (score, key) in scores.iter_mut().zip(block.keys.clone()) {
                *score = scale * inner_product(query, head.key.row(key));
            }
        },
    );
}

/// Writes `factor * weights * value`.
pub fn mix(head: &Head<'_>, block: &Block, weights: &[f32], factor: f32, output: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            output.fill(0.0);
            for (weight, key) in weights.iter().zip(block.keys.clone()) {
                for (output, value) in output.iter_mut().zip(head.value.row(key)) {
                    *output = weight.mul_add(*value, *output);
                }
            }
            output.iter_mut().for_each(|output| *output *= factor);
        },
    );
}

#[inline(always)]
fn inner_product(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            sums[lane] = left[lane].mul_add(right[lane], sums[lane]);
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    // Pairs of lanes, so that each step is one instruction.
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0] + rest
}
