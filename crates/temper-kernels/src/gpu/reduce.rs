//! Sums over a whole tensor.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{UNITS, cubes, each_vector, empty, vector_size};

/// Elements that a unit adds up before another cube is worth its launch.
const ELEMENTS_PER_UNIT: usize = 32;
/// Cubes at most, so that one cube can add up what they leave.
const MOST_CUBES: usize = 512;

/// A sum for each cube, of the elements or of their squares.
#[cube(launch)]
fn sum_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    sums: &mut Tensor<f32>,
    #[comptime] units: usize,
    #[comptime] squares: bool,
) {
    let mut sum = Vector::<f32, N>::new(0.0);
    for place in range_stepped(ABSOLUTE_POS, x.len(), CUBE_COUNT * units) {
        let element = x[place];
        if comptime!(squares) {
            sum += element * element;
        } else {
            sum += element;
        }
    }
    let total = over_cube::<N>(sum, units);
    if UNIT_POS == 0 {
        sums[CUBE_POS] = total;
    }
}

/// The sum over all units of a cube, for its first unit.
#[cube]
fn over_cube<N: Size>(sum: Vector<f32, N>, #[comptime] units: usize) -> f32 {
    let mut total = 0.0f32;
    #[unroll]
    for index in 0..N::value() {
        total += sum.extract(index);
    }
    sum_over_cube(total, units)
}

/// The sum of a number of each unit of a cube, for its first unit.
#[cube]
pub(super) fn sum_over_cube(own: f32, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    let mut shared = Shared::new_slice(units);
    shared[unit] = own;
    #[unroll]
    for level in 1..comptime!(units.ilog2() + 1) {
        let width = units >> level as usize;
        sync_cube();
        if unit < width {
            let other = shared[unit + width];
            shared[unit] += other;
        }
    }
    shared[0]
}

/// Tensors whose squares are added up in one launch.
pub(crate) const GROUP: usize = 8;
/// Cubes for each of them.
const CUBES_OF_GROUP: usize = 128;

/// For each tensor a sum of squares of each cube.
#[cube(launch)]
fn group_kernel<N: Size>(
    tensors: &Sequence<Box<[Vector<f32, N>]>>,
    lens: &Sequence<u32>,
    sums: &mut Tensor<f32>,
    #[comptime] units: usize,
) {
    let mut sum = Vector::<f32, N>::new(0.0);
    #[unroll]
    for index in 0..tensors.len() {
        if CUBE_POS_Y as usize == index {
            let x = tensors.index(index);
            let start = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
            // Not `x.len()`: a buffer may be longer than its tensor.
            let len = *lens.index(index) as usize;
            for place in range_stepped(start, len, CUBE_COUNT_X as usize * units) {
                let element = x[place];
                sum += element * element;
            }
        }
    }
    let total = over_cube::<N>(sum, units);
    if UNIT_POS == 0 {
        sums[(CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) as usize] = total;
    }
}

/// The sums of the squares of each of [`GROUP`] tensors, `[GROUP]`.
pub(crate) fn sums_of_squares(tensors: [CubeTensor; GROUP]) -> CubeTensor {
    let tensors = tensors.map(into_contiguous);
    let first = &tensors[0];
    let client = first.client.clone();
    let size = tensors.iter().map(|x| vector_size(x, x.meta.num_elements())).min().unwrap_or(1);
    let parts = empty(first, [GROUP, CUBES_OF_GROUP], DType::F32);
    let sums = empty(first, [GROUP], DType::F32);
    let lens = tensors.iter().map(|x| (x.meta.num_elements() / size) as u32).collect();
    let arguments = tensors.into_iter().map(CubeTensor::into_buffer_arg).collect();
    group_kernel::launch(
        &client,
        CubeCount::new_2d(CUBES_OF_GROUP as u32, GROUP as u32),
        CubeDim::new_1d(UNITS),
        size,
        arguments,
        lens,
        parts.clone().into_tensor_arg(),
        UNITS as usize,
    );
    parts_kernel::launch(
        &client,
        cubes(1),
        CubeDim::new_1d(GROUP as u32),
        parts.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        CUBES_OF_GROUP as u32,
    );
    sums
}

/// The sum of each row, a unit a row.
#[cube(launch)]
fn parts_kernel(parts: &Tensor<f32>, sums: &mut Tensor<f32>, width: u32) {
    if ABSOLUTE_POS < sums.len() {
        let mut sum = 0.0f32;
        for column in 0..width {
            sum += parts[ABSOLUTE_POS * width as usize + column as usize];
        }
        sums[ABSOLUTE_POS] = sum;
    }
}

/// The sum of the squares of all elements, `[1]`.
pub(crate) fn sum_of_squares(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let len = x.meta.num_elements();
    let count = len.div_ceil(UNITS as usize * ELEMENTS_PER_UNIT).clamp(1, MOST_CUBES);
    let sums = sums(x, count, true);
    if count == 1 { sums } else { self::sums(sums, 1, false) }
}

/// `[cubes]`
fn sums(x: CubeTensor, count: usize, squares: bool) -> CubeTensor {
    let sums = empty(&x, [count], DType::F32);
    let vector_size = vector_size(&x, x.meta.num_elements());
    sum_kernel::launch(
        &x.client.clone(),
        cubes(count),
        CubeDim::new_1d(UNITS),
        vector_size,
        x.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        UNITS as usize,
        squares,
    );
    sums
}

/// Columns of a cube, and units that share one: few columns, so that a narrow matrix has many cubes.
pub(super) const COLUMNS: u32 = 16;
pub(super) const SHARING: u32 = 32;

/// Sums over rows. The units of a column take turns with the rows; then one adds up what they have.
#[cube(launch)]
fn rows_kernel<T: Float>(
    x: &Tensor<T>,
    sums: &mut Tensor<f32>,
    rows: u32,
    width: u32,
    #[define(T)] _dtype: ElemType,
) {
    let column = CUBE_POS_X * COLUMNS + UNIT_POS_X;
    let mut sum = 0.0f32;
    if column < width {
        for row in range_stepped(UNIT_POS_Y, rows, SHARING) {
            sum += f32::cast_from(x[(row * width + column) as usize]);
        }
    }
    let total = over_units(sum);
    if UNIT_POS_Y == 0 && column < width {
        sums[column as usize] = total;
    }
}

/// The sum over the units of a column, for its first unit.
#[cube]
pub(super) fn over_units(sum: f32) -> f32 {
    let mut shared = Shared::new_slice(comptime!((COLUMNS * SHARING) as usize));
    shared[(UNIT_POS_Y * COLUMNS + UNIT_POS_X) as usize] = sum;
    sync_cube();
    let mut total = 0.0f32;
    if UNIT_POS_Y == 0 {
        #[unroll]
        for unit in 0..SHARING {
            total += shared[(unit * COLUMNS + UNIT_POS_X) as usize];
        }
    }
    total
}

/// Cubes and units for sums of so many columns.
pub(super) fn by_columns(width: usize) -> (CubeCount, CubeDim) {
    (cubes(width.div_ceil(COLUMNS as usize)), CubeDim::new_2d(COLUMNS, SHARING))
}

/// The sums over rows: `[rows, width]` -> `[width]`, in f32
pub(crate) fn sum_rows(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let [rows, width] = x.shape().dims();
    let sums = empty(&x, [width], DType::F32);
    let (count, dim) = by_columns(width);
    rows_kernel::launch(
        &x.client.clone(),
        count,
        dim,
        x.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        rows as u32,
        width as u32,
        dtype_to_elem_type(x.dtype),
    );
    sums
}

#[cube(launch)]
fn stacked_kernel<N: Size>(parts: &Tensor<Vector<f32, N>>, output: &mut Tensor<Vector<f32, N>>, count: u32) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let mut sum = parts[place];
        for part in 1..count {
            sum += parts[part as usize * output.len() + place];
        }
        output[place] = sum;
    }
}

/// The sum of matrices in their order: `[parts, rows, columns]` -> `[rows, columns]`, in f32
pub(super) fn sum_of_parts(parts: CubeTensor) -> CubeTensor {
    let [count, rows, columns] = parts.shape().dims();
    let output = empty(&parts, [rows, columns], DType::F32);
    let size = vector_size(&output, rows * columns);
    let (cubes, dim) = each_vector(rows * columns / size);
    stacked_kernel::launch(
        &output.client.clone(),
        cubes,
        dim,
        size,
        parts.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        count as u32,
    );
    output
}
