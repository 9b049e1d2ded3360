//! The product of split factors: on hardware that does not round it is the plain one, gradients included.
#![allow(clippy::disallowed_methods)] // What the split product is compared with.

use burn::tensor::Tensor;
use temper_kernels::composed::split_product;

use super::Pair;
use super::common::{Layout, Operand};

#[test]
fn a_split_product_agrees_with_the_plain_one() {
    let pair = Pair {
        name: "split_product".into(),
        fused: |tensors: &[Tensor<2>]| split_product(tensors[0].clone(), tensors[1].clone()),
        composed: |tensors: &[Tensor<2>]| tensors[0].clone().matmul(tensors[1].clone()),
    };
    for [rows, inner, columns] in [[1, 7, 3], [33, 130, 20]] {
        pair.agree_for_every_choice(&[Operand::new(rows, inner), Operand::new(inner, columns)]);
        let transposed = Operand { layout: Layout::Transposed, ..Operand::new(inner, columns) };
        pair.agree(&[Operand::new(rows, inner), transposed]);
    }
}

#[test]
fn batches_of_matrices_are_multiplied_each() {
    let operands = [Operand::new(6, 20), Operand::new(10, 15)];
    let batched = |tensors: &[Tensor<2>]| {
        // [6, 20] -> [2, 3, 4, 5]; [10, 15] -> [2, 3, 5, 5]
        let [left, right] =
            [tensors[0].clone().reshape([2, 3, 4, 5]), tensors[1].clone().reshape([2, 3, 5, 5])];
        [left, right]
    };
    Pair {
        name: "split_product of batches".into(),
        fused: |tensors: &[Tensor<2>]| {
            let [left, right] = batched(tensors);
            split_product(left, right).reshape([6, 20])
        },
        composed: |tensors: &[Tensor<2>]| {
            let [left, right] = batched(tensors);
            left.matmul(right).reshape([6, 20])
        },
    }
    .agree_for_every_choice(&operands);
}
