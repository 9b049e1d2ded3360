//! Kernels for GPUs compute what the CPU computes, masks of dropout included.
//!
//! Any device will do, a software one, too: `cargo test --release -p temper-kernels --features wgpu --test gpu`.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use std::sync::LazyLock;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use temper_kernels::{
    Activation, AdamW, AdamWTask, AdamWTensors, Attention, AttentionHeads, Dropout, Elements, Norm,
    Precision, Residual, RowIndex, VocabularyTargets, VocabularyWeights, adamw_step, adamw_steps, dropout,
    gate, linear, linear_transposed, look_up, norm, rotate, steps_in_groups, sum_of_squares, sums_of_squares,
    vocabulary_loss,
};

#[path = "common/attention.rs"]
mod attention;
use attention::{Change, Lengths, attend};
#[path = "common/vocabulary.rs"]
mod vocabulary;
use vocabulary::{CASES, mapped_to_vocabulary};

/// Sizes around those of vectors, planes and cubes.
const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 5], [7, 32], [40, 36], [70, 384], [130, 1030]];
const HEADS: AttentionHeads = AttentionHeads { query_heads: 4, key_heads: 4, head: 12 };
const DROPOUT: Dropout = Dropout { probability: 0.3, seed: 0x1234_5678_9abc_def0 };

/// Set up once a process.
static GPU: LazyLock<Device> = LazyLock::new(device);

#[cfg(feature = "cuda")]
fn device() -> Device {
    Device::cuda(0)
}

#[cfg(not(feature = "cuda"))]
fn device() -> Device {
    Device::wgpu_options().init().expect("a driver for Vulkan")
}

fn gpu() -> Device {
    GPU.clone()
}

/// Numbers that look drawn, the same on every device.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|place| (((place + seed * 7919) * 7907 % 2003) as f32 / 1000.0) - 1.0).collect()
}

fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(shape.iter().product(), seed), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().iter::<f32>().collect()
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_within(2e-5, what, found, expected);
}

/// By so much of the largest number or of 1.
#[track_caller]
fn assert_within(tolerance: f32, what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1.0_f32, |size, value| size.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * size;
        assert!(close, "{what}, element {place}: {found}, not {expected}; the largest is {size}");
    }
}

/// Output and gradients of a norm.
fn normed([rows, width]: [usize; 2], with: (bool, bool, bool), kind: Norm, device: &Device) -> Vec<Vec<f32>> {
    let (residual, bias, drops) = with;
    let device = device.clone().autodiff();
    let tracked = |seed| tensor([rows, width], seed, &device).require_grad();
    let vector = |seed| tensor([width], seed, &device).require_grad();
    let (x, other, gain, shift) = (tracked(1), tracked(2), vector(3), vector(4));
    let dropout = drops.then_some(DROPOUT);
    let sum = residual.then(|| Residual { tensor: other.clone(), dropout });
    let output = norm(x.clone(), sum, gain.clone(), bias.then(|| shift.clone()), kind);
    let weights = tensor([rows, width], 5, &device);
    let gradients = (output.clone() * weights).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend([x, other].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found.extend([gain, shift].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found
}

#[test]
fn norms_are_those_of_the_cpu() {
    let [layer, rms] = [Norm::Layer { epsilon: 1e-5 }, Norm::Rms { epsilon: 1e-5 }];
    // So many rows that cubes share the sums of the gradients of gain and bias.
    for size in SIZES.into_iter().chain([[6100, 24]]) {
        for kind in [layer, rms] {
            for with in [(false, true, false), (false, false, false), (true, true, false), (true, true, true)]
            {
                let [found, expected] =
                    [gpu(), Device::flex()].map(|device| normed(size, with, kind, &device));
                assert_eq!(found.len(), expected.len());
                for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert_close(&format!("{size:?} {with:?} {kind:?}, part {part}"), found, expected);
                }
            }
        }
    }
}

/// Output and gradients of a linear map.
fn mapped(
    [rows, width]: [usize; 2],
    outputs: usize,
    (activation, bias, transposed): (Option<Activation>, bool, bool),
    device: &Device,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let x = tensor([rows, width], 1, &device).require_grad();
    let shape = if transposed { [outputs, width] } else { [width, outputs] };
    let weight = (tensor(shape, 2, &device) * 0.2).detach().require_grad();
    let shift = tensor([outputs], 3, &device).require_grad();
    let given = bias.then(|| shift.clone());
    let output = match transposed {
        true => linear_transposed(x.clone(), weight.clone(), given, Precision::F32),
        false => linear(x.clone(), weight.clone(), given, activation, Precision::F32),
    };
    let slopes = tensor([rows, outputs], 5, &device);
    let gradients = (output.clone() * slopes).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend([x, weight].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found.extend(shift.grad(&gradients).map(values));
    found
}

#[test]
fn linear_maps_are_those_of_the_cpu() {
    use Activation::{Gelu, GeluTanh, Relu, Silu, Tanh};
    let mut cases = vec![(None, true, true), (None, false, true), (None, true, false), (None, false, false)];
    for activation in [Gelu, GeluTanh, Relu, Silu, Tanh] {
        cases.extend([(Some(activation), true, false), (Some(activation), false, false)]);
    }
    for size in SIZES {
        for (outputs, &case) in [1, 4, 33].into_iter().cycle().zip(&cases) {
            let [found, expected] =
                [gpu(), Device::flex()].map(|device| mapped(size, outputs, case, &device));
            assert_eq!(found.len(), expected.len());
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{size:?} {case:?}, part {part}"), found, expected);
            }
        }
    }
}

type Computation<'a> = &'a dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>;

/// Output and gradients of what has matrices alone.
fn of_matrices(
    size: [usize; 2],
    compute: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
    device: &Device,
) -> Vec<Vec<f32>> {
    let device = device.clone().autodiff();
    let [left, right] = [1, 2].map(|seed| tensor(size, seed, &device).require_grad());
    let output = compute(left.clone(), right.clone());
    let slopes = tensor(output.dims(), 3, &device);
    let gradients = (output.clone() * slopes).sum().backward();
    let mut found = vec![values(output.inner())];
    found.extend([left, right].iter().filter_map(|x| x.grad(&gradients)).map(values));
    found
}

#[test]
fn gates_dropout_and_lookups_are_those_of_the_cpu() {
    for size in SIZES {
        let [rows, _] = size;
        let device_of = |x: &Tensor<2>| x.device();
        let many = |x: Tensor<2>, _: Tensor<2>| {
            // The first row often, the second never where there are more.
            let picked = (0..90).map(|place| if place % 2 == 0 { 0 } else { (place * 7 % rows) as i32 });
            let picked = picked.map(|row| if row == 1 { 0 } else { row }).collect();
            look_up(x.clone(), &RowIndex::new(picked, &device_of(&x)))
        };
        let computations: [(&str, Computation<'_>); 4] = [
            ("gate", &|left, right| gate(left, right, Activation::Silu)),
            ("dropout", &|left, _| dropout(left, None, DROPOUT)),
            ("sum", &|left, right| dropout(left, Some(right), DROPOUT)),
            ("lookup", &many),
        ];
        for (name, compute) in computations {
            let [found, expected] = [gpu(), Device::flex()].map(|device| of_matrices(size, compute, &device));
            assert_eq!(found.len(), expected.len());
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{name} {size:?}, part {part}"), found, expected);
            }
        }
    }
}

#[test]
fn rotations_are_those_of_the_cpu() {
    for (rows, heads, head, pairs) in
        [(1, 1, 2, 1), (7, 3, 8, 4), (40, 2, 10, 3), (33, 4, 64, 32), (5, 2, 96, 24)]
    {
        let turned = |x: Tensor<2>, _: Tensor<2>| {
            let [cosine, sine] = [4, 5].map(|seed| tensor([rows, pairs], seed, &x.device()));
            rotate(x, &cosine, &sine, head)
        };
        let [found, expected] =
            [gpu(), Device::flex()].map(|device| of_matrices([rows, heads * head], turned, &device));
        for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_close(&format!("{pairs} pairs of {head}, part {part}"), found, expected);
        }
    }
}

#[test]
fn attention_is_that_of_the_cpu() {
    let causal = |call: &mut Attention| call.pattern.causal = true;
    let window = |call: &mut Attention| (call.pattern.causal, call.pattern.window) = (true, Some(3));
    let local = |call: &mut Attention| call.pattern.window = Some(3);
    let alibi = |call: &mut Attention| {
        call.pattern.causal = true;
        call.pattern.alibi = Some([0.5, 0.25, 0.125, 0.0625].into());
    };
    let grouped = |call: &mut Attention| call.heads.key_heads = 2;
    let drops = |call: &mut Attention| {
        call.dropout = Some(DROPOUT);
        call.pattern.causal = true;
    };
    let changes: [(&str, Change<'_>); 7] = [
        ("full", &|_| ()),
        ("causal", &causal),
        ("window", &window),
        ("local", &local),
        ("alibi", &alibi),
        ("grouped", &grouped),
        ("dropout", &drops),
    ];
    let whole: Lengths<'_> = &[(5, 5, 0), (1, 1, 0), (40, 40, 0), (33, 33, 0)];
    let continued: Lengths<'_> = &[(1, 9, 8), (1, 4, 3)];
    let crossed: Lengths<'_> = &[(3, 70, 0), (6, 2, 0)];
    for (lengths, kind) in [(whole, "whole"), (continued, "continued"), (crossed, "crossed")] {
        for (name, change) in changes {
            let [found, expected] =
                [gpu(), Device::flex()].map(|device| attend(lengths, HEADS, change, tensor, &device));
            assert_eq!((found.len(), expected.len()), (4, 4));
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{kind}, {name}, part {part}"), found, expected);
            }
        }
    }
}

#[test]
fn maps_to_a_vocabulary_are_those_of_the_cpu() {
    // The last one has more logits than are computed at once.
    let sizes = [[1, 1, 1], [7, 12, 65], [40, 36, 1000], [3, 8, 64], [1600, 2, 65_001]];
    for size in sizes {
        for case in CASES {
            let map = |device: Device| mapped_to_vocabulary(size, case, Precision::F32, tensor, &device);
            let [found, expected] = [gpu(), Device::flex()].map(map);
            assert_eq!(found.len(), expected.len());
            assert_eq!(found.len(), 4 + usize::from(case.1));
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                // A sum over 65,001 tokens rounds more.
                let tolerance = if size[2] > 1000 { 2e-4 } else { 2e-5 };
                assert_within(tolerance, &format!("{size:?} {case:?}, part {part}"), found, expected);
            }
        }
    }
}

#[test]
fn a_frozen_map_to_a_vocabulary_has_no_gradients() {
    let device = gpu().autodiff();
    let x = tensor([5, 8], 1, &device).require_grad();
    let weight = tensor([70, 8], 2, &device);
    let map = VocabularyWeights {
        weight,
        is_transposed: true,
        bias: None,
        precision: Precision::F32,
        soft_cap: None,
    };
    let targets = VocabularyTargets { ids: [1, 2, 3, 4, 69].into(), smoothing: 0.0 };
    let gradients = vocabulary_loss(x.clone(), map, &targets).backward();
    assert!(values(x.grad(&gradients).expect("x is tracked")).iter().any(|value| *value != 0.0));
}

/// Parameter and moments after steps with some factors.
fn stepped(size: [usize; 2], factors: &[f32], device: &Device) -> Vec<Vec<f32>> {
    let adamw = AdamW { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };
    let parameter = tensor(size, 1, device);
    let mut tensors = AdamWTensors {
        first_moment: parameter.zeros_like(),
        second_moment: parameter.zeros_like(),
        parameter,
    };
    for (step, &factor) in (1..).zip(factors) {
        let gradient = match factor {
            0.0 => tensors.parameter.full_like(f32::NAN),
            // As the gradient of a product comes.
            _ => tensor([size[1], size[0]], 10 + step as usize, device).transpose(),
        };
        let factor = Tensor::from_floats([factor], device);
        tensors = adamw_step(tensors, gradient, &adamw, step, Some(factor));
    }
    [tensors.parameter, tensors.first_moment, tensors.second_moment].map(values).into()
}

#[test]
fn optimiser_steps_are_those_of_the_cpu() {
    for size in SIZES {
        for factors in [&[1.0, 0.25, 1.0][..], &[0.5, 0.0, 0.5]] {
            let [found, expected] = [gpu(), Device::flex()].map(|device| stepped(size, factors, &device));
            for (part, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(&format!("{size:?} {factors:?}, part {part}"), found, expected);
            }
        }
    }
}

/// Two rules alternate, so that one has a group and a rest.
#[test]
fn optimiser_steps_of_groups_are_those_of_the_cpu() {
    let lens = [5, 1, 768, 40_000, 12, 3, 2, 100_001, 7, 8, 64, 640, 33, 34, 35, 36, 16, 4];
    let rule = |place: usize| AdamW {
        learning_rate: 1e-2,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: if place.is_multiple_of(3) { 0.5 } else { 0.0 },
    };
    let device = gpu();
    // Where a kernel may have few tensors, they are done one by one.
    assert!(steps_in_groups(&device) || cfg!(feature = "wgpu"));
    for factor in [1.0, 0.25, 0.0] {
        let spoilt = if factor == 0.0 { f32::NAN } else { 1.0 };
        let made = |seed, device: &Device| {
            lens.iter().map(move |&len| tensor([len], seed, &device.clone())).collect::<Vec<_>>()
        };
        let parts = |device: &Device| {
            let [parameters, first, second, gradients] = [1, 2, 3, 4].map(|seed| made(seed, device));
            let second = second.into_iter().map(|x| x.square());
            let gradients = gradients.into_iter().map(move |x| x * spoilt);
            parameters.into_iter().zip(first).zip(second).zip(gradients).enumerate()
        };
        let tasks = parts(&device).map(|(place, (((parameter, first), second), gradient))| AdamWTask {
            parameter: parameter.into_dispatch(),
            first_moment: first.into_dispatch(),
            second_moment: second.into_dispatch(),
            gradient: gradient.into_dispatch(),
            adamw: rule(place),
            step: 3,
        });
        let found = adamw_steps(tasks.collect(), Some(Tensor::from_floats([factor], &device)));
        let cpu = Device::flex();
        let expected = parts(&cpu).map(|(place, (((parameter, first_moment), second_moment), gradient))| {
            let tensors = AdamWTensors { parameter, first_moment, second_moment };
            adamw_step(tensors, gradient, &rule(place), 3, Some(Tensor::from_floats([factor], &cpu)))
        });
        for (place, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let AdamWTask { parameter, first_moment, second_moment, .. } = found;
            let found =
                [parameter, first_moment, second_moment].map(|x| values(Tensor::<1>::from_dispatch(x)));
            let expected = [expected.parameter, expected.first_moment, expected.second_moment].map(values);
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(
                    &format!("{} elements, tensor {place}, factor {factor}", lens[place]),
                    found,
                    expected,
                );
            }
        }
    }
}

/// A tensor that somebody else holds stays as it was.
#[test]
fn a_step_writes_to_no_tensor_that_is_held_elsewhere() {
    let device = gpu();
    let held = tensor([9, 40], 1, &device);
    let before = values(held.clone());
    let tensors = AdamWTensors {
        parameter: held.clone(),
        first_moment: held.zeros_like(),
        second_moment: held.zeros_like(),
    };
    let adamw = AdamW { learning_rate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };
    let after = adamw_step(tensors, tensor([9, 40], 2, &device), &adamw, 1, None);
    assert_ne!(values(after.parameter), before);
    assert_eq!(values(held), before);
}

#[test]
fn sums_of_squares_are_those_of_the_cpu() {
    for size in SIZES.into_iter().chain([[1500, 1300]]) {
        let [found, expected] =
            [gpu(), Device::flex()].map(|device| values(sum_of_squares(tensor(size, 3, &device))));
        let close = (found[0] - expected[0]).abs() <= 1e-5 * expected[0].max(1.0);
        assert!(close, "{size:?}: {found:?}, not {expected:?}");
    }
}

#[test]
fn sums_of_squares_of_groups_are_in_order() {
    let lens = [5, 1, 768, 40_000, 12, 3, 2, 100_001, 7, 8];
    let of = |device: &Device| -> Vec<f32> {
        let tensors = lens.iter().enumerate().map(|(seed, &len)| Elements::of(tensor([len], seed, device)));
        sums_of_squares(tensors.collect()).into_iter().flat_map(values).collect()
    };
    assert_close("sums", &of(&gpu()), &of(&Device::flex()));
}
