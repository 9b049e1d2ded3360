//! Products of attention with one query a sequence, as when text is generated: keys and values are read where they are. To
//! pack them first would take longer than the products.

use pulp::{Arch, Simd, WithSimd};

use super::{scores::Block, scores::Head};
use crate::cpu::matrix::add_rows;

/// Rows of values that are read side by side.
const STEP: usize = 8;

/// Writes `scale * query * key^T` for the keys of its block.
pub fn score(head: &Head<'_>, block: &Block, scores: &mut [f32]) {
    Arch::new().dispatch(Scores { head, block, scores });
}

/// Writes `factor * weights * value`.
pub fn mix(head: &Head<'_>, block: &Block, weights: &[f32], factor: f32, output: &mut [f32]) {
    Arch::new().dispatch(Mix { head, block, weights, factor, output });
}

struct Scores<'a> {
    head: &'a Head<'a>,
    block: &'a Block,
    scores: &'a mut [f32],
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, block, scores } = self;
        let (query, scale) = (head.query.row(0), head.pattern.scale);
        for (score, key) in scores.iter_mut().zip(block.keys.clone()) {
            *score = scale * inner_product(simd, query, head.key.row(key));
        }
    }
}

struct Mix<'a> {
    head: &'a Head<'a>,
    block: &'a Block,
    weights: &'a [f32],
    factor: f32,
    output: &'a mut [f32],
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, block, weights, factor, output } = self;
        output.fill(0.0);
        let first = block.keys.start;
        let (steps, rest) = weights[..block.keys.len()].as_chunks::<STEP>();
        for (step, weights) in steps.iter().enumerate() {
            let key = first + step * STEP;
            add_rows::<S, STEP>(
                simd,
                output,
                weights,
                std::array::from_fn(|index| head.value.row(key + index)),
            );
        }
        let key = first + steps.len() * STEP;
        for (index, weight) in rest.iter().enumerate() {
            add_rows::<S, 1>(simd, output, &[*weight], [head.value.row(key + index)]);
        }
        output.iter_mut().for_each(|output| *output *= factor);
    }
}

#[inline(always)]
fn inner_product<S: Simd>(simd: S, left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = S::as_simd_f32s(left);
    let (right, right_rest) = S::as_simd_f32s(right);
    let mut sums = simd.splat_f32s(0.0);
    for (left, right) in left.iter().zip(right) {
        sums = simd.mul_add_f32s(*left, *right, sums);
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    simd.reduce_sum_f32s(sums) + rest
}
