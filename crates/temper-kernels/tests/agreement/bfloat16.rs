//! Products in bfloat16: near the f32 ones, not the same, with f32 gradients; and everything else stays f32.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
use temper_kernels::{
    Activation, Attention, AttentionHeads, AttentionLayout, AttentionPattern, Dropout, Norm, Precision,
    Residual, Sequences, attention, cross_entropy, dropout, gate, linear, linear_transposed, norm, widen,
};

use super::common::{Operand, Outcome, outcome};
use super::vector;

/// Of a result relative to the largest one: factors, result and incoming gradient are rounded.
const BOUND: f64 = 4.0 / 256.0;

/// Compares an operation in bfloat16 with the same in f32.
fn near(name: &str, operands: &[Operand], operation: impl Fn(&[Tensor<2>], Precision) -> Tensor<2>) {
    let device = Device::flex().autodiff();
    let [exact, rounded] = [Precision::F32, Precision::Bf16]
        .map(|precision| outcome(operands, &device, |tensors| widen(operation(tensors, precision))));
    let Outcome { output, gradients } = rounded;
    close(name, &output, &exact.output);
    for (index, (ours, exact)) in gradients.into_iter().zip(exact.gradients).enumerate() {
        close(&format!("gradient {index} of {name}"), &ours.expect("tracked"), &exact.expect("tracked"));
    }
}

fn close(name: &str, rounded: &[f64], exact: &[f64]) {
    let size = exact.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let differences = rounded.iter().zip(exact).map(|(rounded, exact)| (rounded - exact).abs());
    let largest = differences.fold(0.0, f64::max) / size;
    assert!(largest > 1e-5, "{name}: {largest:e} is no rounding to bfloat16");
    assert!(largest < BOUND, "{name}: {largest:e}");
}

fn attention_of_two_heads() -> Attention {
    Attention {
        heads: AttentionHeads { query_heads: 2, key_heads: 2, head: 8 },
        pattern: AttentionPattern {
            causal: true,
            window: None,
            alibi: None,
            alibi_in_bfloat16: false,
            soft_cap: None,
            relative: None,
            scale: 0.35,
        },
        layout: AttentionLayout::full(Sequences::of_lengths(&[5, 9])),
        dropout: None,
        precision: Precision::F32,
    }
}

#[test]
fn products_are_rounded_and_have_gradients() {
    let (x, weight, bias) = (Operand::new(14, 33), Operand::new(33, 20), Operand::new(1, 20));
    near("linear", &[x, weight, bias], |tensors, precision| {
        let bias = Some(vector(&tensors[2]));
        linear(tensors[0].clone(), tensors[1].clone(), bias, Some(Activation::Gelu), precision)
    });
    near("linear_transposed", &[x, Operand::new(20, 33)], |tensors, precision| {
        linear_transposed(tensors[0].clone(), tensors[1].clone(), None, precision)
    });
    near("attention", &[Operand::new(14, 16); 3], |tensors, precision| {
        let [query, key, value] = [0, 1, 2].map(|index| tensors[index].clone());
        attention(query, key, value, None, Attention { precision, ..attention_of_two_heads() })
    });
}

fn bfloat16(rows: usize, width: usize, seed: usize) -> Tensor<2> {
    Operand { tracked: false, ..Operand::new(rows, width) }
        .tensor(seed, &Device::flex())
        .cast(FloatDType::BF16)
}

#[test]
fn what_is_no_product_is_f32() {
    let (x, other) = (bfloat16(7, 8, 1), bfloat16(7, 8, 2));
    let wide = || widen(other.clone());
    let gain = Tensor::<1>::ones([8], &Device::flex());
    let residual = Residual { tensor: wide(), dropout: None };
    let normed = norm(x.clone(), Some(residual), gain.clone(), None, Norm::Layer { epsilon: 1e-5 });
    let residual = Residual { tensor: wide(), dropout: None };
    let exact = norm(widen(x.clone()), Some(residual), gain, None, Norm::Layer { epsilon: 1e-5 });
    assert!((normed - exact).abs().max().into_scalar::<f32>() < 1e-5, "f32 inside, and f32");

    let masks = Dropout { probability: 0.1, seed: 3 };
    assert_eq!(dropout(x.clone(), Some(wide()), masks).dtype(), DType::F32);
    // A tenth dropped is a factor of 1.111, which bfloat16 does not hold: the product is rounded once.
    let kept: Vec<f32> = dropout(x.clone(), None, masks).into_data().iter::<f32>().collect();
    let values: Vec<f32> = x.clone().into_data().iter::<f32>().collect();
    let factors = kept.iter().zip(values).filter(|(kept, _)| **kept != 0.0);
    let worst = factors.map(|(kept, value)| (kept / value * 0.9 - 1.0).abs()).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst <= 1.0 / 256.0, "{worst}");

    let gated = gate(x.clone(), other.clone(), Activation::Silu);
    let exact = gate(widen(x.clone()), wide(), Activation::Silu).cast(FloatDType::BF16);
    assert_eq!(gated.into_data(), exact.into_data(), "rounded once, at the end");

    let targets = Tensor::<1, Int>::from_data([0, 1, 2, 3, 4, 5, -100], &Device::flex());
    let losses = cross_entropy(x.clone(), targets.clone());
    let exact = cross_entropy(widen(x), targets);
    assert!((losses - exact).abs().max().into_scalar::<f32>() < 1e-5);
}
