//! Times of the fused operations compared with the same composed from Burn's, and the share of what the
//! processor could do at most.
//!
//! One line more than criterion's own says how close the best time came to the peak of multiply-adds,
//! measured here, or how many bytes a second went through. `--test` runs everything once.

mod peak;

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use temper_kernels::{
    Activation, AdamW, AdamWTensors, Attention, AttentionHeads, AttentionLayout, AttentionPattern, Norm,
    Precision, Residual, Sequences, adamw_step, attention, composed, cross_entropy, gate, linear, norm,
};

/// What a call does at least.
#[derive(Clone, Copy)]
enum Work {
    /// Additions and multiplications.
    Flops(usize),
    /// Bytes read and written once each.
    Bytes(usize),
}

/// One benchmark and its printed line.
struct Bench<'a> {
    criterion: &'a mut Criterion,
    operation: String,
    work: Work,
}

impl Bench<'_> {
    fn time<R>(&mut self, variant: &str, mut routine: impl FnMut() -> R) {
        let best = Cell::new(f64::INFINITY);
        let mut group = self.criterion.benchmark_group(&self.operation);
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.throughput(match self.work {
            Work::Flops(count) => Throughput::Elements(count as u64),
            Work::Bytes(count) => Throughput::Bytes(count as u64),
        });
        group.bench_function(variant, |bencher| {
            bencher.iter_custom(|calls| {
                let start = Instant::now();
                for _ in 0..calls {
                    let start = Instant::now();
                    black_box(routine());
                    best.set(best.get().min(start.elapsed().as_secs_f64()));
                }
                start.elapsed()
            });
        });
        group.finish();
        if best.get().is_infinite() {
            return; // Left out by the command line's filter.
        }
        let (operation, milliseconds) = (&self.operation, best.get() * 1e3);
        let rate = match self.work {
            Work::Flops(count) => {
                let (rate, peak) = (count as f64 / best.get(), peak::flops_per_second());
                format!("{:.1} GFLOP/s, {:.0} % of {:.0}", rate / 1e9, 100.0 * rate / peak, peak / 1e9)
            }
            Work::Bytes(count) => format!("{:.1} GB/s", count as f64 / best.get() / 1e9),
        };
        println!("{operation}, {variant}: {milliseconds:.3} ms at best, {rate}");
    }
}

/// `[rows, width]`
fn matrix(rows: usize, width: usize, device: &Device) -> Tensor<2> {
    let tensor = Tensor::random([rows, width], Distribution::Normal(0.0, 1.0), device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

fn vector(width: usize, device: &Device) -> Tensor<1> {
    let tensor = Tensor::random([width], Distribution::Normal(0.0, 1.0), device);
    if device.is_autodiff() { tensor.require_grad() } else { tensor }
}

/// A form's name and what it computes.
type Form<'a, I> = (&'a str, &'a dyn Fn(&I) -> Tensor<2>);

/// Times both forms of an operation: forward without gradients, and both passes with them.
///
/// `work`: of the forward pass and of both passes.
fn both_passes<I>(
    criterion: &mut Criterion,
    operation: &str,
    [forward, both]: [Work; 2],
    inputs: impl Fn(&Device) -> I,
    forms: [Form<'_, I>; 2],
) {
    let (plain, tracked) = (inputs(&Device::flex()), inputs(&Device::flex().autodiff()));
    for (form, compute) in forms {
        let operation = operation.to_owned();
        let mut bench = Bench { criterion, operation: format!("{operation} forward"), work: forward };
        bench.time(form, || compute(&plain));
        bench.operation = format!("{operation} forward and backward");
        bench.work = both;
        bench.time(form, || compute(&tracked).backward());
    }
}

struct LinearInputs {
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
}

type LinearForm = fn(Tensor<2>, Tensor<2>, Option<Tensor<1>>, Option<Activation>, Precision) -> Tensor<2>;

fn bench_linear(criterion: &mut Criterion) {
    let shapes = [[2048, 384, 384], [2048, 384, 1536], [2048, 1536, 384], [1024, 768, 3072]];
    let gelu = Some(Activation::Gelu);
    let calls = shapes.into_iter().map(|shape| (shape, None)).chain([([2048, 384, 1536], gelu)]);
    for ([rows, width, outputs], activation) in calls {
        let call = |form: LinearForm| {
            move |inputs: &LinearInputs| {
                let LinearInputs { x, weight, bias } = inputs;
                form(x.clone(), weight.clone(), Some(bias.clone()), activation, Precision::F32)
            }
        };
        let flops = 2 * rows * width * outputs;
        both_passes(
            criterion,
            &format!(
                "linear {rows}x{width}x{outputs} {}",
                if activation.is_some() { "gelu" } else { "plain" }
            ),
            [Work::Flops(flops), Work::Flops(3 * flops)],
            |device| LinearInputs {
                x: matrix(rows, width, device),
                weight: matrix(width, outputs, device),
                bias: vector(outputs, device),
            },
            [("fused", &call(linear)), ("composed", &call(composed::linear))],
        );
    }
}

fn bench_attention(criterion: &mut Criterion) {
    for (sequences, length, heads, head) in [(16, 128, 12, 32), (8, 128, 12, 64), (2, 512, 12, 64)] {
        let call = Attention {
            heads: AttentionHeads { query_heads: heads, key_heads: heads, head },
            pattern: AttentionPattern {
                causal: false,
                window: None,
                alibi: None,
                alibi_in_bfloat16: false,
                soft_cap: None,
                relative: None,
                scale: 1.0 / (head as f32).sqrt(),
            },
            layout: AttentionLayout::full(Sequences::of_lengths(&vec![length; sequences])),
            dropout: None,
            precision: Precision::F32,
        };
        let (rows, width) = (sequences * length, heads * head);
        // Two products forward, five backward.
        let product = 2 * rows * length * width;
        both_passes(
            criterion,
            &format!("attention {sequences} of {length}, {heads} heads of {head}"),
            [Work::Flops(2 * product), Work::Flops(7 * product)],
            |device| [0; 3].map(|_| matrix(rows, width, device)),
            [
                ("fused", &|[query, key, value]: &[Tensor<2>; 3]| {
                    attention(query.clone(), key.clone(), value.clone(), None, call.clone())
                }),
                ("composed", &|[query, key, value]: &[Tensor<2>; 3]| {
                    composed::attention(query.clone(), key.clone(), value.clone(), None, &call)
                }),
            ],
        );
    }
}

struct NormInputs {
    x: Tensor<2>,
    residual: Residual,
    gain: Tensor<1>,
    bias: Tensor<1>,
}

type NormForm = fn(Tensor<2>, Option<Residual>, Tensor<1>, Option<Tensor<1>>, Norm) -> Tensor<2>;

fn bench_norm(criterion: &mut Criterion) {
    let (rows, width) = (2048, 384);
    let call = |form: NormForm| {
        move |inputs: &NormInputs| {
            let NormInputs { x, residual, gain, bias } = inputs;
            let kind = Norm::Layer { epsilon: 1e-12 };
            form(x.clone(), Some(residual.clone()), gain.clone(), Some(bias.clone()), kind)
        }
    };
    let bytes = 4 * rows * width;
    both_passes(
        criterion,
        &format!("layer norm of a residual sum {rows}x{width}"),
        // Forward: x, residual, output. Backward: the sum, the gradients of the output and of the sum.
        [Work::Bytes(3 * bytes), Work::Bytes(6 * bytes)],
        |device| NormInputs {
            x: matrix(rows, width, device),
            residual: Residual { tensor: matrix(rows, width, device), dropout: None },
            gain: vector(width, device),
            bias: vector(width, device),
        },
        [("fused", &call(norm)), ("composed", &call(composed::norm))],
    );
}

fn bench_gate(criterion: &mut Criterion) {
    let (rows, width) = (2048, 1536);
    let bytes = 4 * rows * width;
    both_passes(
        criterion,
        &format!("GELU gate {rows}x{width}"),
        // Forward: gate, up, output. Backward: gate, up and three gradients.
        [Work::Bytes(3 * bytes), Work::Bytes(8 * bytes)],
        |device| [0; 2].map(|_| matrix(rows, width, device)),
        [
            ("fused", &|[left, right]: &[Tensor<2>; 2]| gate(left.clone(), right.clone(), Activation::Gelu)),
            ("composed", &|[left, right]: &[Tensor<2>; 2]| {
                composed::gate(left.clone(), right.clone(), Activation::Gelu)
            }),
        ],
    );
}

fn bench_cross_entropy(criterion: &mut Criterion) {
    for (rows, classes) in [(2048, 2), (256, 30_522)] {
        let targets: Vec<i32> = (0..rows).map(|row| (row * 7919 % classes) as i32).collect();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), &Device::flex());
        let bytes = 4 * rows * classes;
        both_passes(
            criterion,
            &format!("cross-entropy {rows}x{classes}"),
            // Forward: the logits. Backward: the logits and their gradient.
            [Work::Bytes(bytes), Work::Bytes(3 * bytes)],
            |device| matrix(rows, classes, device),
            [
                ("fused", &|logits: &Tensor<2>| {
                    cross_entropy(logits.clone(), targets.clone()).unsqueeze_dim(1)
                }),
                ("composed", &|logits: &Tensor<2>| {
                    composed::cross_entropy(logits.clone(), targets.clone()).unsqueeze_dim(1)
                }),
            ],
        );
    }
}

fn bench_adamw(criterion: &mut Criterion) {
    let (rows, width, device) = (4096, 768, Device::flex());
    let adamw = AdamW { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    let [parameter, gradient] = [0; 2].map(|_| matrix(rows, width, &device));
    let (first_moment, second_moment) = (parameter.zeros_like(), parameter.zeros_like());
    let mut tensors = Some(AdamWTensors { parameter, first_moment, second_moment });
    // Parameter and moments read and written, the gradient read.
    let work = Work::Bytes(7 * 4 * rows * width);
    let operation = format!("AdamW {rows}x{width}");
    Bench { criterion, operation, work }.time("fused", || {
        let before = tensors.take().expect("put back below");
        tensors = Some(adamw_step(before, gradient.clone(), &adamw, 10, None));
    });
}

criterion_group!(
    operations,
    bench_linear,
    bench_attention,
    bench_norm,
    bench_gate,
    bench_cross_entropy,
    bench_adamw
);
criterion_main!(operations);
