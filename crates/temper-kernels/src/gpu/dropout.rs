//! Dropout, alone or before a residual sum: a unit has a vector.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, unused, vector_size};
use super::random::{Masks, mask_vector, row_mask};
use crate::cpu::Dropout;

#[cube(launch)]
fn dropout_kernel<X: Float, T: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    residual: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<T, N>>,
    masks: &Masks,
    width: u32,
    #[comptime] has_residual: bool,
    #[define(X, T)] _dtypes: [ElemType; 2],
) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let width = width as usize;
        let mask = row_mask(masks, (place / width) as u32);
        let mut value = Vector::<f32, N>::cast_from(x[place]) * mask_vector::<N>(&mask, place % width);
        if comptime!(has_residual) {
            value += residual[place];
        }
        output[place] = Vector::cast_from(value);
    }
}

/// `dropout(x)`, or `residual + dropout(x)`, in the given type.
///
/// # Shapes
/// - x, residual (in f32) and output: `[rows, width]`
pub(crate) fn dropout(
    x: CubeTensor,
    residual: Option<CubeTensor>,
    dropout: Dropout,
    dtype: DType,
) -> CubeTensor {
    let x = into_contiguous(x);
    let [rows, width] = x.shape().dims();
    let output = empty(&x, [rows, width], dtype);
    let size = vector_size(&x, width);
    let (count, dim) = each_vector(rows * width / size);
    let has_residual = residual.is_some();
    let residual = residual.map_or_else(|| unused(&x, size), into_contiguous);
    dropout_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        size,
        x.clone().into_tensor_arg(),
        residual.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        Masks::of(Some(dropout)),
        (width / size) as u32,
        has_residual,
        [x.dtype, dtype].map(dtype_to_elem_type),
    );
    output
}
