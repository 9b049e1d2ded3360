//! Numbers of f32 as sums of two that TF32 holds (`crate::split` says why).

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, exclusive, vector_size};

/// `2^13`: leaves 11 of the 24 bits of an f32.
const SHIFT: f32 = 8192.0;

#[cube(launch)]
fn split_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    upper: &mut Tensor<Vector<f32, N>>,
    rest: &mut Tensor<Vector<f32, N>>,
) {
    let place = ABSOLUTE_POS;
    if place < x.len() {
        let value = x[place];
        let shifted = value * Vector::new(SHIFT);
        let high = shifted - (shifted - value);
        upper[place] = high;
        rest[place] = value - high;
    }
}

/// The upper 11 bits of each number, rounded, and the rest, which is exact; both have the strides of x.
pub(super) fn split(x: CubeTensor) -> [CubeTensor; 2] {
    // A transposed matrix is read in the order of its memory: nothing is copied.
    let x = if x.is_contiguous_buffer() { x } else { into_contiguous(x) };
    let len = x.meta.num_elements();
    let parts = [(); 2].map(|()| CubeTensor { meta: x.meta.clone(), ..empty(&x, [len], DType::F32) });
    if len == 0 {
        return parts;
    }
    let [upper, rest] = &parts;
    let size = vector_size(&x, len);
    let (count, dim) = each_vector(len / size);
    split_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        size,
        flat(&x).into_tensor_arg(),
        flat(upper).into_tensor_arg(),
        flat(rest).into_tensor_arg(),
    );
    parts
}

/// The numbers of a tensor in the order of its memory, `[len]`.
fn flat(tensor: &CubeTensor) -> CubeTensor {
    let CubeTensor { client, device, handle, dtype, meta, .. } = tensor.clone();
    CubeTensor::new_contiguous(client, device, [meta.num_elements()].into(), handle, dtype)
}

#[cube(launch)]
fn sum_kernel<N: Size>(
    large: &mut Tensor<Vector<f32, N>>,
    small: &Tensor<Vector<f32, N>>,
    other: &Tensor<Vector<f32, N>>,
) {
    let place = ABSOLUTE_POS;
    if place < large.len() {
        large[place] += small[place] + other[place];
    }
}

/// `large + (small + other)`, all of one shape.
pub(super) fn sum_of_parts([large, small, other]: [CubeTensor; 3]) -> CubeTensor {
    let [large, small, other] = [exclusive(large), into_contiguous(small), into_contiguous(other)];
    let len = large.meta.num_elements();
    if len == 0 {
        return large;
    }
    let size = vector_size(&large, len);
    let (count, dim) = each_vector(len / size);
    sum_kernel::launch(
        &large.client.clone(),
        count,
        dim,
        size,
        large.clone().into_tensor_arg(),
        small.into_tensor_arg(),
        other.into_tensor_arg(),
    );
    large
}
