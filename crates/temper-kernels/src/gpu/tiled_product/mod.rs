//! Products of bfloat16 matrices on tensor cores, written for the sizes of a transformer's linear maps.
//!
//! A cube computes a tile of the output. Tiles of both factors go through shared memory in stages that are filled
//! ahead, by asynchronous copies; a plane multiplies its part of the tile from there. Where there are too few tiles
//! for the GPU's multiprocessors, as in gradients of weights, several cubes share the inner dimension of a tile, and a
//! second kernel adds up their parts in order.

mod kernel;
mod plan;

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{empty, unused};
use super::reduce::sum_of_parts;
use super::tensor_cores::{CHUNK, has_tensor_cores};
use crate::Activation;
use kernel::{Form, SizesLaunch, product_kernel};
pub use plan::Tiling;
use plan::{multiprocessors, plan};

/// How a factor lies in memory: whether its lines are columns, and elements from a line to the next. None where a
/// chunk would not be 16 aligned bytes of one line.
fn lines(factor: &CubeTensor) -> Option<(bool, usize)> {
    let [rows, columns] = factor.meta.shape().dims::<2>();
    let strides = factor.meta.strides();
    let (transposed, pitch, width) = match [strides[0], strides[1]] {
        [pitch, 1] => (false, pitch, columns),
        [1, pitch] => (true, pitch, rows),
        _ => return None,
    };
    let offset = factor.handle.offset_start.unwrap_or(0) as usize;
    let aligned = [width, pitch].iter().all(|len| len.is_multiple_of(CHUNK)) && offset.is_multiple_of(16);
    aligned.then_some((transposed, pitch))
}

/// What is done with a product before it is written.
#[derive(Clone, Default)]
pub(crate) struct Finish {
    /// Added to each row, `[columns]`.
    pub(crate) bias: Option<CubeTensor>,
    pub(crate) activation: Option<Activation>,
}

/// The product of two matrices of bfloat16 with its finish; none where the device or the matrices do not suit these
/// kernels. Returned are the output and the sums before the activation, which are one without an activation.
///
/// # Shapes
/// - left: `[rows, inner]`, right: `[inner, columns]`; outputs: `[rows, columns]`, bf16 or f32
pub(super) fn tiled_product(
    left: &CubeTensor,
    right: &CubeTensor,
    finish: Finish,
    dtype: DType,
) -> Option<[CubeTensor; 2]> {
    let sizes = sizes_of(left, right)?;
    let may_split = dtype == DType::F32 && finish.bias.is_none() && finish.activation.is_none();
    let Finish { bias, activation } = finish;
    let call = Call {
        bias,
        activation,
        dtype,
        sums_columns: false,
        plan: plan(sizes, may_split, multiprocessors(&left.client)),
    };
    launch(left, right, call)
}

/// The product in f32, and the sums of the right factor's columns; none as [`tiled_product`].
///
/// # Shapes
/// - left: `[rows, inner]`, right: `[inner, columns]`; outputs: `[rows, columns]`, `[columns]`
pub(crate) fn product_and_column_sums(left: &CubeTensor, right: &CubeTensor) -> Option<[CubeTensor; 2]> {
    let sizes = sizes_of(left, right)?;
    let plan = plan(sizes, true, multiprocessors(&left.client));
    let call = Call { bias: None, activation: None, dtype: DType::F32, sums_columns: true, plan };
    let [both, _] = launch(left, right, call)?;
    let [rows, _, columns] = sizes;
    let start = (rows * columns * DType::F32.size()) as u64;
    let part = |shape: &[usize], handle| {
        CubeTensor::new_contiguous(both.client.clone(), both.device.clone(), shape.into(), handle, DType::F32)
    };
    let product =
        part(&[rows, columns], both.handle.clone().offset_end((columns * DType::F32.size()) as u64));
    Some([product, part(&[columns], both.handle.clone().offset_start(start))])
}

/// The product with a tiling, and so many parts of the inner dimension: only a product in f32 has several.
pub fn tiled_product_with(
    left: &CubeTensor,
    right: &CubeTensor,
    dtype: DType,
    tiling: Tiling,
    parts: usize,
) -> Option<CubeTensor> {
    sizes_of(left, right)?;
    let call = Call { bias: None, activation: None, dtype, sums_columns: false, plan: (tiling, parts) };
    launch(left, right, call).map(|[output, _]| output)
}

/// Rows, inner elements and columns of matrices that these kernels may multiply.
fn sizes_of(left: &CubeTensor, right: &CubeTensor) -> Option<[usize; 3]> {
    let suits = [left, right].iter().all(|factor| factor.dtype == DType::BF16 && factor.meta.num_dims() == 2);
    if !suits || !has_tensor_cores(&left.client) {
        return None;
    }
    let ([rows, inner], [_, columns]) = (left.meta.shape().dims::<2>(), right.meta.shape().dims::<2>());
    (columns.is_multiple_of(2) && ![rows, inner, columns].contains(&0)).then_some([rows, inner, columns])
}

/// All but the factors.
struct Call {
    bias: Option<CubeTensor>,
    activation: Option<Activation>,
    dtype: DType,
    sums_columns: bool,
    /// The tiling, and parts of the inner dimension.
    plan: (Tiling, usize),
}

#[allow(unsafe_code)] // Checks of every access would cost registers.
fn launch(left: &CubeTensor, right: &CubeTensor, call: Call) -> Option<[CubeTensor; 2]> {
    let [rows, inner, columns] = sizes_of(left, right)?;
    let Call { bias, activation, dtype, sums_columns, plan: (tiling, parts) } = call;
    let ((left_transposed, left_pitch), (right_transposed, right_pitch)) = (lines(left)?, lines(right)?);
    let step = inner.div_ceil(parts).next_multiple_of(tiling.inner);
    let parts = inner.div_ceil(step);
    let has_bias = bias.is_some();
    let form = Form { tiling, left_transposed, right_transposed, has_bias, activation, sums_columns };
    let sizes = [rows, columns, inner, step, left_pitch / CHUNK, right_pitch / CHUNK].map(|size| size as u32);
    let shape = [rows + usize::from(sums_columns), columns];
    let sums =
        if parts > 1 { empty(left, [parts, shape[0], columns], dtype) } else { empty(left, shape, dtype) };
    let output = match activation {
        Some(_) => empty(left, shape, dtype),
        None => unused(left, 2),
    };
    let count = CubeCount::new_3d(
        columns.div_ceil(tiling.tile[1]) as u32,
        rows.div_ceil(tiling.tile[0]) as u32,
        parts as u32,
    );
    // SAFETY: the kernel reads within the windows of both factors and writes within rows and columns.
    unsafe {
        product_kernel::launch_unchecked(
            &left.client,
            count,
            CubeDim::new_1d(tiling.units() as u32),
            CHUNK,
            2,
            left.clone().into_tensor_arg(),
            right.clone().into_tensor_arg(),
            bias.map_or_else(|| unused(left, 2), into_contiguous).into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            SizesLaunch::new(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]),
            form,
            [left.dtype, dtype].map(dtype_to_elem_type),
        );
    }
    let sums = if parts > 1 { sum_of_parts(sums) } else { sums };
    Some(if activation.is_some() { [output, sums] } else { [sums.clone(), sums] })
}
