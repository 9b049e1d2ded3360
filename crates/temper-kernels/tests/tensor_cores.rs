//! Products and attention in bfloat16 on tensor cores compute what the CPU computes in f32.
//!
//! On an NVIDIA GPU: `cargo test --release -p temper-kernels --features cuda --test tensor_cores`.
#![cfg(feature = "cuda")]

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use temper_kernels::{Activation, Attention, AttentionHeads, Dropout, Precision, linear, linear_transposed};

#[path = "common/attention.rs"]
mod attention;
use attention::{Change, Lengths, attend};
#[path = "common/vocabulary.rs"]
mod vocabulary;
use vocabulary::{CASES, mapped_to_vocabulary};

const DROPOUT: Dropout = Dropout { probability: 0.3, seed: 0x1234_5678_9abc_def0 };

/// Sixteenths between -1 and 1: bfloat16 holds them, and f32 every sum of their products that is computed here.
fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let len = shape.iter().product();
    let numbers = (0..len).map(|place| ((place + seed * 7919) * 7907 % 2003 % 33) as f32 / 16.0 - 1.0);
    Tensor::from_data(TensorData::new(numbers.collect::<Vec<_>>(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().iter::<f32>().collect()
}

/// Within some roundings to bfloat16 of the largest.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], roundings: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    // Sums of terms about 1 that nearly cancel are as inexact as these.
    let size = expected.iter().fold(0.25_f32, |size, value| size.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= roundings * size / 256.0;
        assert!(close, "{what}, element {place}: {found}, not {expected}; the largest is {size}");
    }
}

/// Output and gradients of a linear map, in bfloat16 on the GPU.
fn mapped(
    [rows, width, outputs]: [usize; 3],
    transposed: bool,
    activation: Option<Activation>,
    device: &Device,
    precision: Precision,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let x = tensor([rows, width], 1, &device).require_grad();
    let shape = if transposed { [outputs, width] } else { [width, outputs] };
    let weight = tensor(shape, 2, &device).require_grad();
    let shift = tensor([outputs], 3, &device).require_grad();
    let output = match transposed {
        true => linear_transposed(x.clone(), weight.clone(), Some(shift.clone()), precision),
        false => linear(x.clone(), weight.clone(), Some(shift.clone()), activation, precision),
    };
    let slopes = tensor([rows, outputs], 5, &device);
    let gradients = (output.clone().cast(FloatDType::F32) * slopes).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend([x, weight].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found.extend(shift.grad(&gradients).map(values));
    found
}

#[test]
fn linear_maps_are_those_of_the_cpu() {
    let gelu = Some(Activation::Gelu);
    // Around the sizes of tiles; gradients of weights with many rows are sums of parts.
    let cases: [([usize; 3], bool, Option<Activation>); 10] = [
        ([8, 8, 8], false, None),
        ([16, 32, 64], true, None),
        ([72, 40, 136], false, None),
        ([130, 128, 128], false, gelu),
        ([1200, 136, 72], false, None),
        ([1100, 64, 200], true, None),
        ([64, 600, 24], false, gelu),
        // So many tiles that they are large ones.
        ([1500, 64, 1500], false, gelu),
        ([1500, 72, 1544], true, None),
        // These do not suit the kernels: a line is no multiple of 16 bytes.
        ([9, 12, 10], false, None),
    ];
    for (sizes, transposed, activation) in cases {
        let gpu = mapped(sizes, transposed, activation, &Device::cuda(0), Precision::Bf16);
        let cpu = mapped(sizes, transposed, activation, &Device::flex(), Precision::F32);
        assert_eq!((gpu.len(), cpu.len()), (4, 4));
        for (part, (found, expected)) in gpu.iter().zip(&cpu).enumerate() {
            let what = format!("{sizes:?}, transposed: {transposed}, part {part}");
            assert_close(&what, found, expected, 2.0);
        }
    }
}

#[test]
fn maps_to_a_vocabulary_are_those_of_the_cpu() {
    // Of a padded vocabulary, and of one that needs no padding.
    for sizes in [[40, 64, 1001], [200, 128, 640]] {
        for case in CASES {
            let gpu = mapped_to_vocabulary(sizes, case, Precision::Bf16, tensor, &Device::cuda(0));
            let cpu = mapped_to_vocabulary(sizes, case, Precision::F32, tensor, &Device::flex());
            let parts = 4 + usize::from(case.1);
            assert_eq!((gpu.len(), cpu.len()), (parts, parts));
            // Logits between 32 and 64 are rounded to quarters: losses of rows differ by that, and hits by whole numbers.
            let [losses, expected] = [&gpu[1], &cpu[1]].map(|scores| &scores[..sizes[0]]);
            for (found, expected) in losses.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 0.25,
                    "{sizes:?} {case:?}: a loss of {found}, not {expected}"
                );
            }
            for part in [0, 2, 3] {
                assert_close(&format!("{sizes:?} {case:?}, part {part}"), &gpu[part], &cpu[part], 16.0);
            }
        }
    }
}

#[test]
fn attention_is_that_of_the_cpu() {
    let causal = |call: &mut Attention| call.pattern.causal = true;
    let window = |call: &mut Attention| (call.pattern.causal, call.pattern.window) = (true, Some(70));
    let local = |call: &mut Attention| call.pattern.window = Some(70);
    let alibi = |call: &mut Attention| {
        call.pattern.causal = true;
        call.pattern.alibi = Some([0.5, 0.25].into());
    };
    let drops = |call: &mut Attention| call.dropout = Some(DROPOUT);
    let drops_causal = |call: &mut Attention| {
        call.dropout = Some(DROPOUT);
        call.pattern.causal = true;
    };
    let changes: [(&str, Change<'_>); 7] = [
        ("full", &|_| ()),
        ("causal", &causal),
        ("window", &window),
        ("local", &local),
        ("alibi", &alibi),
        ("dropout", &drops),
        ("causal dropout", &drops_causal),
    ];
    let whole: Lengths<'_> = &[(5, 5, 0), (64, 64, 0), (1, 1, 0), (150, 150, 0), (65, 65, 0)];
    let continued: Lengths<'_> = &[(1, 90, 89), (2, 64, 62)];
    let crossed: Lengths<'_> = &[(3, 70, 0), (66, 2, 0)];
    for (lengths, kind) in [(whole, "whole"), (continued, "continued"), (crossed, "crossed")] {
        for (name, change) in changes {
            for (head, key_heads) in [(16, 2), (32, 1), (64, 2), (128, 1), (128, 2)] {
                let heads = AttentionHeads { query_heads: 2, key_heads, head };
                let [gpu, cpu] = [Precision::Bf16, Precision::F32].map(|precision| {
                    let device = if precision == Precision::Bf16 { Device::cuda(0) } else { Device::flex() };
                    let change = |call: &mut Attention| {
                        call.precision = precision;
                        change(call);
                    };
                    attend(lengths, heads, change, tensor, &device)
                });
                assert_eq!((gpu.len(), cpu.len()), (4, 4));
                for (part, (found, expected)) in gpu.iter().zip(&cpu).enumerate() {
                    let what = format!("{kind}, {name}, {heads:?}, part {part}");
                    assert_close(&what, found, expected, 8.0);
                }
            }
        }
    }
}
