//! Rotary positions: a unit has a vector of a head.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, vector_size};
use crate::cpu::Turn;

#[cube(launch)]
fn rotate_kernel<T: Float, N: Size>(
    x: &Tensor<Vector<T, N>>,
    cosine: &Tensor<Vector<f32, N>>,
    sine: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<T, N>>,
    width: u32,
    head: u32,
    pairs: u32,
    sign: f32,
    #[define(T)] _dtype: ElemType,
) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let (row, column) = (place / width as usize, place % width as usize);
        let number = column % head as usize;
        let pairs = pairs as usize;
        let own = Vector::<f32, N>::cast_from(x[place]);
        let mut found = own;
        if number < pairs {
            let other = Vector::<f32, N>::cast_from(x[place + pairs]);
            let angle = row * pairs + number;
            found = own * cosine[angle] - other * sine[angle] * Vector::new(sign);
        } else if number < 2 * pairs {
            let other = Vector::<f32, N>::cast_from(x[place - pairs]);
            let angle = row * pairs + number - pairs;
            found = own * cosine[angle] + other * sine[angle] * Vector::new(sign);
        }
        output[place] = Vector::cast_from(found);
    }
}

/// Every head of every row turned, as [`crate::cpu::rotate`] does.
///
/// # Shapes
/// - x and output: `[rows, width]`, cosine and sine: `[rows, pairs]`
pub(crate) fn rotate(x: CubeTensor, cosine: CubeTensor, sine: CubeTensor, turn: Turn) -> CubeTensor {
    let [x, cosine, sine] = [x, cosine, sine].map(into_contiguous);
    let ([_, width], [_, pairs]) = (x.shape().dims(), cosine.shape().dims());
    let output = empty(&x, x.shape(), x.dtype);
    // A vector has numbers of one half of one head.
    let size = vector_size(&x, pairs).min(vector_size(&x, turn.head)).min(vector_size(&cosine, pairs));
    let (cubes, dim) = each_vector(x.meta.num_elements() / size);
    rotate_kernel::launch(
        &output.client.clone(),
        cubes,
        dim,
        size,
        x.clone().into_tensor_arg(),
        cosine.into_tensor_arg(),
        sine.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        (width / size) as u32,
        (turn.head / size) as u32,
        (pairs / size) as u32,
        if turn.is_backwards { -1.0 } else { 1.0 },
        dtype_to_elem_type(x.dtype),
    );
    output
}
