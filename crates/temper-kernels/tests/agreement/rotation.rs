//! Rotary positions.

use burn::tensor::Tensor;
use temper_kernels::{composed, rotate};

use super::common::Operand;
use super::{Pair, ROWS};

/// Sines and cosines of no angle in particular: the operation does not ask.
fn tables(x: &Tensor<2>, pairs: usize) -> [Tensor<2>; 2] {
    let table = |seed| {
        let operand = Operand { tracked: false, ..Operand::new(x.dims()[0], pairs) };
        operand.tensor(seed, &x.device())
    };
    [table(11), table(12)]
}

#[test]
fn rotations_agree() {
    for rows in ROWS {
        for (heads, head, pairs) in [(1, 2, 1), (3, 8, 4), (2, 10, 3), (12, 64, 32)] {
            let pair = Pair {
                name: format!("rotation of {pairs} pairs of {head}"),
                fused: |tensors: &[Tensor<2>]| {
                    let [cosine, sine] = tables(&tensors[0], pairs);
                    rotate(tensors[0].clone(), &cosine, &sine, head)
                },
                composed: |tensors: &[Tensor<2>]| {
                    let [cosine, sine] = tables(&tensors[0], pairs);
                    composed::rotate(tensors[0].clone(), &cosine, &sine, head)
                },
            };
            pair.agree_for_every_choice(&[Operand::new(rows, heads * head)]);
        }
    }
}
