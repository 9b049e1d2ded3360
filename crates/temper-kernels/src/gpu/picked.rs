//! Sums of picked rows: the backward pass of a lookup.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;

use super::launch::{each_vector, empty, integers, vector_size};

#[cube(launch)]
fn picked_kernel<X: Float, T: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    bounds: &Tensor<i32>,
    picked: &Tensor<i32>,
    sums: &mut Tensor<Vector<T, N>>,
    width: u32,
    #[comptime] is_picked: bool,
    #[define(X, T)] _dtypes: [ElemType; 2],
) {
    let place = ABSOLUTE_POS;
    if place < sums.len() {
        let width = width as usize;
        let (row, column) = (place / width, place % width);
        let mut sum = Vector::<f32, N>::new(0.0);
        for index in bounds[row]..bounds[row + 1] {
            let mut from = index;
            if comptime!(is_picked) {
                from = picked[index as usize];
            }
            sum += Vector::cast_from(x[from as usize * width + column]);
        }
        sums[place] = Vector::cast_from(sum);
    }
}

/// The sum of rows `picked[bounds[i]..bounds[i + 1]]` for each `i`; of the rows themselves where nothing is
/// picked.
///
/// # Shapes
/// - x: `[rows, width]`, bounds: `[sums + 1]`; output: `[sums, width]`
pub(crate) fn sum_picked(
    x: CubeTensor,
    bounds: CubeTensor,
    picked: Option<CubeTensor>,
    dtype: DType,
) -> CubeTensor {
    let x = into_contiguous(x);
    let [_, width] = x.shape().dims();
    let bounds = integers(bounds);
    let count = bounds.meta.num_elements() - 1;
    let sums = empty(&x, [count, width], dtype);
    let size = vector_size(&x, width);
    let (cubes, dim) = each_vector(count * width / size);
    let is_picked = picked.is_some();
    picked_kernel::launch(
        &x.client.clone(),
        cubes,
        dim,
        size,
        x.clone().into_tensor_arg(),
        bounds.clone().into_tensor_arg(),
        picked.map_or(bounds, integers).into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        (width / size) as u32,
        is_picked,
        [x.dtype, dtype].map(dtype_to_elem_type),
    );
    sums
}
