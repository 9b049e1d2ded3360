//! Random tensors, and the comparison of an operation's output and gradients.
#![allow(dead_code)] // Each test file uses its own part.

use burn::tensor::{Device, Tensor, TensorData};

/// The layout of a tensor's values in memory.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Row after row.
    Contiguous,
    /// A view of the transposed matrix.
    Transposed,
    /// A view of the inner part of a larger matrix.
    Sliced,
}

/// A random matrix that an operation gets.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    pub shape: [usize; 2],
    pub layout: Layout,
    pub tracked: bool,
}

impl Operand {
    pub fn new(rows: usize, width: usize) -> Self {
        Self { shape: [rows, width], layout: Layout::Contiguous, tracked: true }
    }

    pub fn tensor(&self, seed: usize, device: &Device) -> Tensor<2> {
        let [rows, width] = self.shape;
        let matrix = |values, shape| Tensor::from_data(TensorData::new(values, shape), device);
        let values = random(rows * width, seed);
        let tensor: Tensor<2> = match self.layout {
            Layout::Contiguous => matrix(values, [rows, width]),
            Layout::Transposed => matrix(values, [width, rows]).transpose(),
            Layout::Sliced => {
                let larger = matrix(random((rows + 3) * (width + 5), seed), [rows + 3, width + 5]);
                larger.slice([1..rows + 1, 2..width + 2])
            }
        };
        if self.tracked { tensor.require_grad() } else { tensor }
    }
}

/// Numbers between -1 and 1, with all 24 bits in use.
pub fn random(len: usize, seed: usize) -> Vec<f32> {
    let mut state = seed as u64;
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) >> 40
    };
    (0..len).map(|_| draw() as f32 / 8_388_608.0 - 1.0).collect()
}

/// What an operation gave: its output, and the gradient of every operand that has one.
#[derive(Debug)]
pub struct Outcome {
    pub output: Vec<f64>,
    pub gradients: Vec<Option<Vec<f64>>>,
}

/// Calls the operation on random operands. The gradient that comes in is random, too.
pub fn outcome(
    operands: &[Operand],
    device: &Device,
    operation: impl Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Outcome {
    let seeds = 1..;
    let operands: Vec<_> =
        operands.iter().zip(seeds).map(|(operand, seed)| operand.tensor(seed, device)).collect();
    let output = operation(&operands);
    if !output.is_tracked() {
        return Outcome { output: numbers(output), gradients: vec![None; operands.len()] };
    }
    let [rows, width] = output.dims();
    let weights = Tensor::from_data(TensorData::new(random(rows * width, 99), [rows, width]), device);
    let gradients = (output.clone() * weights).sum().backward();
    let gradients = operands.iter().map(|operand| operand.grad(&gradients).map(numbers)).collect();
    Outcome { output: numbers(output), gradients }
}

pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Within 1e-5 of the largest value. Where all are zero in exact arithmetic, only the rounding of
/// terms of order one is left, some hundred of them in a sum: no more than 1e-5.
pub fn assert_close(name: &str, actual: &[f64], expected: &[f64]) {
    let largest = largest(expected);
    let scale = if largest < 1e-3 { 1.0 } else { largest.max(0.1) };
    assert_within(name, actual, expected, 1e-5 * scale);
}

/// Within 1e-5 of the largest value, however small.
pub fn assert_close_by_size(name: &str, actual: &[f64], expected: &[f64]) {
    assert_within(name, actual, expected, 1e-5 * largest(expected));
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

fn assert_within(name: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let close = (actual - expected).abs() <= tolerance;
        assert!(close, "{name}[{index}] is {actual}, not {expected} within {tolerance:e}");
    }
}
