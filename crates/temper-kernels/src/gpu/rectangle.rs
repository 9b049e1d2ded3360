//! Packed rows laid out as a rectangle for products of batches, and back.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{each_vector, empty, integers, vector_size};

/// How packed rows and a rectangle belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) sequences: usize,
    /// Rows of the longest sequence.
    pub(crate) longest: usize,
    /// Rows of the rectangle for each sequence.
    pub(crate) rows: usize,
    /// Rows that are packed.
    pub(crate) packed: usize,
    /// Heads of the rectangle.
    pub(crate) heads: usize,
    /// Heads of the rectangle for each head of the packed rows.
    pub(crate) group: usize,
    /// Numbers a head.
    pub(crate) head: usize,
}

impl Layout {
    fn packed_width(self) -> usize {
        self.heads / self.group * self.head
    }
}

/// The sizes that a kernel knows when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sizes {
    heads: usize,
    group: usize,
    /// Vectors a head.
    head: usize,
}

fn sizes(layout: Layout, vector: usize) -> Sizes {
    Sizes { heads: layout.heads, group: layout.group, head: layout.head / vector }
}

#[cube(launch)]
fn spread_kernel<X: Float, T: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    bounds: &Tensor<i32>,
    output: &mut Tensor<Vector<T, N>>,
    rows: u32,
    #[comptime] sizes: Sizes,
    #[define(X, T)] _dtypes: [ElemType; 2],
) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let rows = rows as usize;
        let part = place % sizes.head;
        let row = place / sizes.head % rows;
        let head = place / (sizes.head * rows) % sizes.heads;
        let sequence = place / (sizes.head * rows * sizes.heads);
        let start = bounds[sequence] as usize;
        let end = bounds[sequence + 1] as usize;
        let mut value = Vector::<T, N>::new(T::new(0.0));
        if start + row < end {
            let width = sizes.heads / sizes.group * sizes.head;
            let from = (start + row) * width + head / sizes.group * sizes.head + part;
            value = Vector::cast_from(x[from]);
        }
        output[place] = value;
    }
}

/// Packed rows as a rectangle; zeros for padding.
///
/// # Shapes
/// - x: `[packed, heads / group * head]`, bounds: `[sequences + 1]`
/// - output: `[sequences, heads, rows, head]`
pub(crate) fn spread(x: CubeTensor, bounds: CubeTensor, layout: Layout, dtype: DType) -> CubeTensor {
    let x = into_contiguous(x);
    let Layout { sequences, rows, heads, head, .. } = layout;
    let size = vector_size(&x, head);
    let output = empty(&x, [sequences, heads, rows, head], dtype);
    let (count, dim) = each_vector(sequences * heads * rows * head / size);
    spread_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        size,
        x.clone().into_tensor_arg(),
        integers(bounds).into_tensor_arg(),
        output.clone().into_tensor_arg(),
        rows as u32,
        sizes(layout, size),
        [x.dtype, dtype].map(dtype_to_elem_type),
    );
    output
}

#[cube(launch)]
fn gather_kernel<T: Float, O: Float, N: Size>(
    x: &Tensor<Vector<T, N>>,
    bounds: &Tensor<i32>,
    output: &mut Tensor<Vector<O, N>>,
    rows: u32,
    places: u32,
    #[comptime] sizes: Sizes,
    #[define(T, O)] _dtypes: [ElemType; 2],
) {
    let place = ABSOLUTE_POS;
    if place < places as usize {
        let rows = rows as usize;
        let width = sizes.heads / sizes.group * sizes.head;
        let column = place % width;
        let row = place / width % rows;
        let sequence = place / (width * rows);
        let start = bounds[sequence] as usize;
        let end = bounds[sequence + 1] as usize;
        if start + row < end {
            let first = column / sizes.head * sizes.group;
            let part = column % sizes.head;
            let mut sum = Vector::<f32, N>::new(0.0);
            #[unroll]
            for member in 0..sizes.group {
                let from = ((sequence * sizes.heads + first + member) * rows + row) * sizes.head + part;
                sum += Vector::cast_from(x[from]);
            }
            output[(start + row) * width + column] = Vector::cast_from(sum);
        }
    }
}

/// The rows of a rectangle that are no padding, packed; heads of a group are added up. It is the backward pass
/// of [`spread`], and that one is its.
///
/// # Shapes
/// - x: `[sequences, heads, rows, head]`, bounds: `[sequences + 1]`
/// - output: `[packed, heads / group * head]`
pub(crate) fn gather(x: CubeTensor, bounds: CubeTensor, layout: Layout, dtype: DType) -> CubeTensor {
    let x = into_contiguous(x);
    let Layout { sequences, rows, packed, head, .. } = layout;
    let (size, width) = (vector_size(&x, head), layout.packed_width());
    let output = empty(&x, [packed, width], dtype);
    let places = sequences * rows * width / size;
    let (count, dim) = each_vector(places);
    gather_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        size,
        x.clone().into_tensor_arg(),
        integers(bounds).into_tensor_arg(),
        output.clone().into_tensor_arg(),
        rows as u32,
        places as u32,
        sizes(layout, size),
        [x.dtype, dtype].map(dtype_to_elem_type),
    );
    output
}
