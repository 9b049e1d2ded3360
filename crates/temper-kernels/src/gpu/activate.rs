//! Activation functions element by element, after a product with its bias or as a gate.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, exclusive, unused, vector_size};
use crate::Activation;

/// `1 / sqrt(2)`
const ROOT_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// `1 / sqrt(2 pi)`
const DENSITY_AT_0: f32 = 0.398_942_3;
/// `2 sqrt(2 / pi)`, and the factor of the cube in the tanh form of GELU.
const TANH_SLOPE: f32 = 1.595_769;
const TANH_CUBIC: f32 = 0.044_715;

/// The function's value, as `cpu::activate::value`.
#[allow(unstable_name_collisions)] // `erf` is CubeCL's.
#[cube]
fn value(x: f32, #[comptime] activation: Activation) -> f32 {
    match activation {
        Activation::Gelu => 0.5f32 * x * (1.0f32 + (x * ROOT_HALF).erf()),
        Activation::GeluTanh => x * sigmoid(TANH_SLOPE * (x + TANH_CUBIC * x * x * x)),
        // Not max: that would turn a NaN into a zero.
        Activation::Relu => select(x < 0.0f32, 0.0f32, x),
        Activation::Silu => x * sigmoid(x),
        Activation::Tanh => x.tanh(),
    }
}

/// The function's derivative, as `cpu::activate::derivative`.
#[allow(unstable_name_collisions)] // As above.
#[cube]
fn derivative(x: f32, #[comptime] activation: Activation) -> f32 {
    match activation {
        Activation::Gelu => {
            let distribution = 0.5f32 * (1.0f32 + (x * ROOT_HALF).erf());
            distribution + x * DENSITY_AT_0 * (-0.5f32 * x * x).exp()
        }
        Activation::GeluTanh => {
            let s = sigmoid(TANH_SLOPE * (x + TANH_CUBIC * x * x * x));
            s + x * s * (1.0f32 - s) * TANH_SLOPE * (1.0f32 + 3.0f32 * TANH_CUBIC * x * x)
        }
        Activation::Relu => select(x <= 0.0f32, 0.0f32, 1.0f32),
        Activation::Silu => {
            let s = sigmoid(x);
            s + x * s * (1.0f32 - s)
        }
        Activation::Tanh => {
            let t = x.tanh();
            1.0f32 - t * t
        }
    }
}

#[cube]
fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (-x).exp())
}

/// The function's values for a vector.
#[cube]
pub(super) fn activated<N: Size>(x: Vector<f32, N>, #[comptime] activation: Activation) -> Vector<f32, N> {
    let mut found = Vector::<f32, N>::new(0.0);
    #[unroll]
    for index in 0..N::value() {
        found.insert(index, value(x.extract(index), activation));
    }
    found
}

#[cube]
fn derivatives<N: Size>(x: Vector<f32, N>, #[comptime] activation: Activation) -> Vector<f32, N> {
    let mut found = Vector::<f32, N>::new(0.0);
    #[unroll]
    for index in 0..N::value() {
        found.insert(index, derivative(x.extract(index), activation));
    }
    found
}

#[cube(launch)]
fn finish_kernel<T: Float, N: Size>(
    sums: &mut Tensor<Vector<T, N>>,
    bias: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<T, N>>,
    columns: u32,
    #[comptime] activation: Option<Activation>,
    #[comptime] has_bias: bool,
    #[define(T)] _dtype: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < sums.len() {
        let mut x = Vector::<f32, N>::cast_from(sums[place]);
        if comptime!(has_bias) {
            x += bias[place % columns as usize];
            sums[place] = Vector::cast_from(x);
        }
        if comptime!(activation.is_some()) {
            output[place] = Vector::cast_from(activated::<N>(x, comptime!(activation.unwrap())));
        }
    }
}

/// `activation(product + bias)`, and `product + bias`; they are one without an activation.
///
/// # Shapes
/// - product: `[rows, width]`, bias: `[width]`; both outputs: `[rows, width]`
pub(crate) fn finish(
    product: CubeTensor,
    bias: Option<CubeTensor>,
    activation: Option<Activation>,
) -> [CubeTensor; 2] {
    if bias.is_none() && activation.is_none() {
        return [product.clone(), product];
    }
    let sums = exclusive(product);
    let [rows, width] = sums.shape().dims();
    let size = vector_size(&sums, width);
    let output = match activation {
        Some(_) => empty(&sums, [rows, width], sums.dtype),
        None => unused(&sums, size),
    };
    let (count, dim) = each_vector(rows * width / size);
    let has_bias = bias.is_some();
    // What is not there is not looked at.
    let bias = bias.map_or_else(|| unused(&sums, size), into_contiguous);
    finish_kernel::launch(
        &sums.client.clone(),
        count,
        dim,
        size,
        sums.clone().into_tensor_arg(),
        bias.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        (width / size) as u32,
        activation,
        has_bias,
        dtype_to_elem_type(sums.dtype),
    );
    if activation.is_some() { [output, sums] } else { [sums.clone(), sums] }
}

#[cube(launch)]
fn gradient_kernel<T: Float, N: Size>(
    sums: &Tensor<Vector<T, N>>,
    gradient: &Tensor<Vector<T, N>>,
    output: &mut Tensor<Vector<T, N>>,
    #[comptime] activation: Activation,
    #[define(T)] _dtype: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let slope = derivatives::<N>(Vector::<f32, N>::cast_from(sums[place]), activation);
        output[place] = Vector::cast_from(Vector::<f32, N>::cast_from(gradient[place]) * slope);
    }
}

/// `activation'(sums) gradient`, all `[rows, width]` and of one type.
pub(crate) fn gradient_before(sums: CubeTensor, gradient: CubeTensor, activation: Activation) -> CubeTensor {
    let [sums, gradient] = [sums, gradient].map(into_contiguous);
    let [rows, width] = sums.shape().dims();
    let size = vector_size(&sums, width);
    let output = empty(&sums, [rows, width], sums.dtype);
    let (count, dim) = each_vector(rows * width / size);
    gradient_kernel::launch(
        &sums.client.clone(),
        count,
        dim,
        size,
        sums.clone().into_tensor_arg(),
        gradient.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        activation,
        dtype_to_elem_type(sums.dtype),
    );
    output
}

#[cube(launch)]
fn gate_kernel<T: Float, N: Size>(
    gate: &Tensor<Vector<T, N>>,
    up: &Tensor<Vector<T, N>>,
    output: &mut Tensor<Vector<T, N>>,
    #[comptime] activation: Activation,
    #[define(T)] _dtype: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let open = activated::<N>(Vector::<f32, N>::cast_from(gate[place]), activation);
        output[place] = Vector::cast_from(open * Vector::<f32, N>::cast_from(up[place]));
    }
}

#[cube(launch)]
fn gate_gradient_kernel<T: Float, N: Size>(
    gate: &Tensor<Vector<T, N>>,
    up: &Tensor<Vector<T, N>>,
    gradient: &Tensor<Vector<T, N>>,
    of_gate: &mut Tensor<Vector<T, N>>,
    of_up: &mut Tensor<Vector<T, N>>,
    #[comptime] activation: Activation,
    #[define(T)] _dtype: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < of_up.len() {
        let x = Vector::<f32, N>::cast_from(gate[place]);
        let slope = Vector::<f32, N>::cast_from(gradient[place]);
        of_gate[place] = Vector::cast_from(
            slope * Vector::<f32, N>::cast_from(up[place]) * derivatives::<N>(x, activation),
        );
        of_up[place] = Vector::cast_from(slope * activated::<N>(x, activation));
    }
}

/// `activation(gate) * up`, all `[rows, width]` and of one type.
pub(crate) fn gate(gate: CubeTensor, up: CubeTensor, activation: Activation) -> CubeTensor {
    let [gate, up] = [gate, up].map(into_contiguous);
    let [rows, width] = gate.shape().dims();
    let size = vector_size(&gate, width);
    let output = empty(&gate, [rows, width], gate.dtype);
    let (count, dim) = each_vector(rows * width / size);
    gate_kernel::launch(
        &gate.client.clone(),
        count,
        dim,
        size,
        gate.clone().into_tensor_arg(),
        up.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        activation,
        dtype_to_elem_type(gate.dtype),
    );
    output
}

/// The gradients of gate and up.
pub(crate) fn gate_backward(
    [gate, up, gradient]: [CubeTensor; 3],
    activation: Activation,
) -> [CubeTensor; 2] {
    let [gate, up, gradient] = [gate, up, gradient].map(into_contiguous);
    let [rows, width] = gate.shape().dims();
    let size = vector_size(&gate, width);
    let of_gate = empty(&gate, [rows, width], gate.dtype);
    let of_up = empty(&gate, [rows, width], gate.dtype);
    let (count, dim) = each_vector(rows * width / size);
    gate_gradient_kernel::launch(
        &gate.client.clone(),
        count,
        dim,
        size,
        gate.clone().into_tensor_arg(),
        up.into_tensor_arg(),
        gradient.into_tensor_arg(),
        of_gate.clone().into_tensor_arg(),
        of_up.clone().into_tensor_arg(),
        activation,
        dtype_to_elem_type(gate.dtype),
    );
    [of_gate, of_up]
}
