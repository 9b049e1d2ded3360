//! Layer norm and RMS norm after a residual sum with dropout: a plane of units has a row.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{empty, lanes, plane_a_row, unused, vector_size};
use super::random::{Masks, mask_vector, row_mask};
use super::reduce::{COLUMNS, SHARING, by_columns, over_units, sum_of_parts};
use crate::Norm;
use crate::cpu::Dropout;

/// What a kernel does, known when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    /// The mean is taken off.
    centred: bool,
    residual: bool,
    bias: bool,
    drops: bool,
    /// The sum is not x itself: it is written for the backward pass.
    keeps_sum: bool,
    /// The gradient of x is not that of the sum: it is written by itself.
    parts: bool,
    /// Vectors a row.
    width: usize,
    /// Units that share a row.
    lanes: usize,
}

#[cube]
fn added_up<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut total = 0.0f32;
    #[unroll]
    for index in 0..N::value() {
        total += vector.extract(index);
    }
    plane_sum(total)
}

#[cube(launch)]
fn forward_kernel<X: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    residual: &Tensor<Vector<f32, N>>,
    gain: &Tensor<Vector<f32, N>>,
    bias: &Tensor<Vector<f32, N>>,
    sum: &mut Tensor<Vector<f32, N>>,
    statistics: &mut Tensor<f32>,
    output: &mut Tensor<Vector<f32, N>>,
    masks: &Masks,
    epsilon: f32,
    rows: u32,
    #[comptime] form: Form,
    #[define(X)] _dtype: ElemType,
) {
    let row = CUBE_POS as u32 * CUBE_DIM_Y + UNIT_POS_Y;
    if row < rows {
        let elements = (form.width * N::value()) as f32;
        let start = row as usize * form.width;
        let mask = row_mask(masks, row);
        let mut total = Vector::<f32, N>::new(0.0);
        let mut place = UNIT_POS_X as usize;
        while place < form.width {
            let mut value = Vector::<f32, N>::cast_from(x[start + place]);
            if comptime!(form.drops) {
                value *= mask_vector::<N>(&mask, place);
            }
            if comptime!(form.residual) {
                value += residual[start + place];
            }
            if comptime!(form.keeps_sum) {
                sum[start + place] = value;
            }
            total += value;
            place += form.lanes;
        }
        let mut mean = 0.0f32;
        if comptime!(form.centred) {
            mean = added_up::<N>(total) / elements;
        }
        let mut squares = Vector::<f32, N>::new(0.0);
        place = UNIT_POS_X as usize;
        while place < form.width {
            let mut distance = Vector::<f32, N>::cast_from(x[start + place]);
            if comptime!(form.keeps_sum) {
                distance = sum[start + place];
            }
            distance -= Vector::new(mean);
            squares += distance * distance;
            place += form.lanes;
        }
        let scale = 1.0f32 / (added_up::<N>(squares) / elements + epsilon).sqrt();
        place = UNIT_POS_X as usize;
        while place < form.width {
            let mut distance = Vector::<f32, N>::cast_from(x[start + place]);
            if comptime!(form.keeps_sum) {
                distance = sum[start + place];
            }
            distance -= Vector::new(mean);
            let mut value = distance * Vector::new(scale) * gain[place];
            if comptime!(form.bias) {
                value += bias[place];
            }
            output[start + place] = value;
            place += form.lanes;
        }
        if UNIT_POS_X == 0 {
            statistics[row as usize * 2] = mean;
            statistics[row as usize * 2 + 1] = scale;
        }
    }
}

/// A norm with what it saw.
pub(crate) struct NormForward {
    /// `[rows, width]`
    pub(crate) output: CubeTensor,
    /// `residual + dropout(x)`, `[rows, width]`
    pub(crate) sum: CubeTensor,
    /// Mean and reciprocal spread, `[rows, 2]`
    pub(crate) statistics: CubeTensor,
}

/// Whether the mean is taken off, and what is added to the spread.
fn kind(norm: Norm) -> (bool, f32) {
    match norm {
        Norm::Layer { epsilon } => (true, epsilon),
        Norm::Rms { epsilon } => (false, epsilon),
    }
}

/// `norm(s) gain + bias`, where `s` is x or `residual + dropout(x)`.
///
/// # Shapes
/// - x, in f32 or bf16, and residual: `[rows, width]`; gain and bias: `[width]`
pub(crate) fn norm_forward(
    x: CubeTensor,
    residual: Option<CubeTensor>,
    gain: CubeTensor,
    bias: Option<CubeTensor>,
    norm: Norm,
    dropout: Option<Dropout>,
) -> NormForward {
    let x = into_contiguous(x);
    let [rows, width] = x.shape().dims();
    let vector_size = vector_size(&x, width);
    let (centred, epsilon) = kind(norm);
    let form = Form {
        centred,
        residual: residual.is_some(),
        bias: bias.is_some(),
        drops: dropout.is_some(),
        keeps_sum: residual.is_some() || x.dtype != DType::F32,
        parts: false,
        width: width / vector_size,
        lanes: lanes(&x.client),
    };
    let output = empty(&x, [rows, width], DType::F32);
    let statistics = empty(&x, [rows, 2], DType::F32);
    let sum = if form.keeps_sum { empty(&x, [rows, width], DType::F32) } else { x.clone() };
    let gain = into_contiguous(gain);
    let (count, dim) = plane_a_row(form.lanes, rows);
    forward_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        vector_size,
        x.clone().into_tensor_arg(),
        residual.map_or_else(|| gain.clone(), into_contiguous).into_tensor_arg(),
        gain.clone().into_tensor_arg(),
        bias.map_or(gain, into_contiguous).into_tensor_arg(),
        if form.keeps_sum { sum.clone() } else { unused(&x, vector_size) }.into_tensor_arg(),
        statistics.clone().into_tensor_arg(),
        output.clone().into_tensor_arg(),
        Masks::of(dropout),
        epsilon,
        rows as u32,
        form,
        dtype_to_elem_type(x.dtype),
    );
    NormForward { output, sum, statistics }
}

#[cube(launch)]
fn backward_kernel<X: Float, N: Size>(
    sum: &Tensor<Vector<f32, N>>,
    statistics: &Tensor<f32>,
    gradient: &Tensor<Vector<f32, N>>,
    gain: &Tensor<Vector<f32, N>>,
    of_sum: &mut Tensor<Vector<f32, N>>,
    of_x: &mut Tensor<Vector<X, N>>,
    masks: &Masks,
    rows: u32,
    #[comptime] form: Form,
    #[define(X)] _dtype: ElemType,
) {
    let row = CUBE_POS as u32 * CUBE_DIM_Y + UNIT_POS_Y;
    if row < rows {
        let elements = (form.width * N::value()) as f32;
        let start = row as usize * form.width;
        let mask = row_mask(masks, row);
        let mean = Vector::<f32, N>::new(statistics[row as usize * 2]);
        let scale = Vector::<f32, N>::new(statistics[row as usize * 2 + 1]);
        let mut plain = Vector::<f32, N>::new(0.0);
        let mut along = Vector::<f32, N>::new(0.0);
        let mut place = UNIT_POS_X as usize;
        while place < form.width {
            let scaled = gradient[start + place] * gain[place];
            plain += scaled;
            along += scaled * (sum[start + place] - mean) * scale;
            place += form.lanes;
        }
        let mut shift = 0.0f32;
        if comptime!(form.centred) {
            shift = added_up::<N>(plain) / elements;
        }
        let slope = added_up::<N>(along) / elements;
        place = UNIT_POS_X as usize;
        while place < form.width {
            let scaled = gradient[start + place] * gain[place];
            let normal = (sum[start + place] - mean) * scale;
            let value = scale * (scaled - Vector::new(shift) - normal * Vector::new(slope));
            if comptime!(form.residual || !form.parts) {
                of_sum[start + place] = value;
            }
            if comptime!(form.parts) {
                let mut dropped = value;
                if comptime!(form.drops) {
                    dropped *= mask_vector::<N>(&mask, place);
                }
                of_x[start + place] = Vector::cast_from(dropped);
            }
            place += form.lanes;
        }
    }
}

/// Sums over rows of the gradient times what the gain scaled, and of the gradient; as `sum_rows`. Cubes share the rows.
#[cube(launch)]
fn parameters_kernel(
    sum: &Tensor<f32>,
    statistics: &Tensor<f32>,
    gradient: &Tensor<f32>,
    sums: &mut Tensor<f32>,
    rows: u32,
    rows_of_part: u32,
    width: u32,
) {
    let column = CUBE_POS_X * COLUMNS + UNIT_POS_X;
    let mut along = 0.0f32;
    let mut plain = 0.0f32;
    if column < width {
        let start = CUBE_POS_Y * rows_of_part;
        for row in range_stepped(start + UNIT_POS_Y, min(rows, start + rows_of_part), SHARING) {
            let place = (row * width + column) as usize;
            let value = gradient[place];
            let mean = statistics[row as usize * 2];
            let scale = statistics[row as usize * 2 + 1];
            plain += value;
            along += value * (sum[place] - mean) * scale;
        }
    }
    let along = over_units(along);
    sync_cube();
    let plain = over_units(plain);
    if UNIT_POS_Y == 0 && column < width {
        let start = CUBE_POS_Y * 2 * width + column;
        sums[start as usize] = along;
        sums[(start + width) as usize] = plain;
    }
}

/// Gradients of a norm.
pub(crate) struct NormBackward {
    /// Of the residual, `[rows, width]`
    pub(crate) sum: CubeTensor,
    /// Of x, in its type, `[rows, width]`
    pub(crate) x: CubeTensor,
    /// `[width]`
    pub(crate) gain: CubeTensor,
    /// `[width]`
    pub(crate) bias: CubeTensor,
}

/// The gradients of [`norm_forward`].
///
/// # Shapes
/// - sum, gradient: `[rows, width]`; statistics: `[rows, 2]`; gain: `[width]`
pub(crate) fn norm_backward(
    [sum, statistics, gradient, gain]: [CubeTensor; 4],
    norm: Norm,
    dropout: Option<Dropout>,
    has_residual: bool,
    x_dtype: DType,
) -> NormBackward {
    let gradient = into_contiguous(gradient);
    let [rows, width] = sum.shape().dims();
    let vector_size = vector_size(&sum, width);
    let form = Form {
        centred: kind(norm).0,
        residual: has_residual,
        bias: false,
        drops: dropout.is_some(),
        keeps_sum: false,
        parts: dropout.is_some() || x_dtype != DType::F32,
        width: width / vector_size,
        lanes: lanes(&sum.client),
    };
    let of_sum = empty(&sum, [rows, width], DType::F32);
    let of_x = if form.parts { empty(&sum, [rows, width], x_dtype) } else { of_sum.clone() };
    let (count, dim) = plane_a_row(form.lanes, rows);
    backward_kernel::launch(
        &sum.client.clone(),
        count,
        dim,
        vector_size,
        sum.clone().into_tensor_arg(),
        statistics.clone().into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        into_contiguous(gain).into_tensor_arg(),
        of_sum.clone().into_tensor_arg(),
        if form.parts { of_x.clone() } else { unused(&sum, vector_size) }.into_tensor_arg(),
        Masks::of(dropout),
        rows as u32,
        form,
        dtype_to_elem_type(x_dtype),
    );
    let [gain, bias] = of_parameters(sum, statistics, gradient);
    NormBackward { sum: of_sum, x: of_x, gain, bias }
}

/// Gradients of gain and bias, `[width]`.
fn of_parameters(sum: CubeTensor, statistics: CubeTensor, gradient: CubeTensor) -> [CubeTensor; 2] {
    let [rows, width] = sum.shape().dims();
    let parts = if rows < MANY_ROWS { 1 } else { rows / ROWS_OF_PART };
    let sums = empty(&sum, [parts, 2, width], DType::F32);
    let (count, dim) = by_columns(width);
    let CubeCount::Static(across, _, _) = count else { unreachable!("a number that the host knows") };
    parameters_kernel::launch(
        &sum.client.clone(),
        CubeCount::new_2d(across, parts as u32),
        dim,
        sum.into_tensor_arg(),
        statistics.into_tensor_arg(),
        gradient.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        rows as u32,
        rows.div_ceil(parts) as u32,
        width as u32,
    );
    let sums = if parts > 1 { sum_of_parts(sums) } else { sums };
    let bytes = (width * DType::F32.size()) as u64;
    let [of_gain, of_bias] = [sums.handle.clone().offset_end(bytes), sums.handle.clone().offset_start(bytes)]
        .map(|handle| {
            let (client, device) = (sums.client.clone(), sums.device.clone());
            CubeTensor::new_contiguous(client, device, [width].into(), handle, DType::F32)
        });
    [of_gain, of_bias]
}

/// Rows from which on several cubes share a column's. An estimate: one cube took 33 µs for 4,096 rows of BERT-base and 122
/// for 16,384 on an H200, and a second launch costs a few.
const MANY_ROWS: usize = 6000;
const ROWS_OF_PART: usize = 1024;
