//! Products of bfloat16 matrices on tensor cores, written for the sizes of a transformer's linear maps.
//!
//! A cube computes a tile of the output. Tiles of both factors go through shared memory in stages that are filled
//! ahead, by asynchronous copies; a plane multiplies its part of the tile from there. Where there are too few tiles
//! for the GPU's multiprocessors, as in gradients of weights, several cubes share the inner dimension of a tile, and a
//! second kernel adds up their parts in order.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::Activation;

use super::activate::activated;
use super::launch::{each_vector, empty, unused, vector_size};
use super::tensor_cores::{
    CHUNK, COLUMNS, INNER, LANES, ROWS, Tile, Window, commit, fill, half, has_tensor_cores, load, multiply,
    places, wait, zeros,
};

/// The sizes that a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// Rows and columns of a cube's tile.
    pub tile: [usize; 2],
    /// Planes that share its rows, and its columns.
    pub planes: [usize; 2],
    /// Inner elements of a stage.
    pub inner: usize,
    /// Stages that are filled ahead, and the one that is read.
    pub stages: usize,
}

/// For large products.
pub const LARGE: Tiling = Tiling { tile: [128, 128], planes: [2, 2], inner: 32, stages: 4 };
/// Where large tiles would leave multiprocessors idle.
pub const SMALL: Tiling = Tiling { tile: [64, 64], planes: [2, 2], inner: 64, stages: 3 };

impl Tiling {
    const fn units(self) -> usize {
        self.planes[0] * self.planes[1] * LANES
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    tiling: Tiling,
    /// The left factor lies in memory as `[inner, rows]`.
    left_transposed: bool,
    /// The right factor lies in memory as `[columns, inner]`.
    right_transposed: bool,
    has_bias: bool,
    activation: Option<Activation>,
    /// The sums of the right factor's columns follow the product, as one more row.
    sums_columns: bool,
}

impl Form {
    fn left(self) -> Tile {
        let (rows, inner) = (self.tiling.tile[0], self.tiling.inner);
        if self.left_transposed {
            Tile { lines: inner, chunks: rows / CHUNK }
        } else {
            Tile { lines: rows, chunks: inner / CHUNK }
        }
    }

    fn right(self) -> Tile {
        let (columns, inner) = (self.tiling.tile[1], self.tiling.inner);
        if self.right_transposed {
            Tile { lines: columns, chunks: inner / CHUNK }
        } else {
            Tile { lines: inner, chunks: columns / CHUNK }
        }
    }
}

/// Sizes that are known at launch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Sizes {
    rows: u32,
    columns: u32,
    inner: u32,
    /// Inner elements of a part, a multiple of a stage's.
    part: u32,
    /// Chunks from a line of a factor to the next.
    left_pitch: u32,
    right_pitch: u32,
}

/// Lines, and elements along them: where a tile begins, and where the matrix ends.
#[cube]
fn window(first_line: u32, first: u32, end_line: u32, end: u32, pitch: u32) -> Window {
    Window { line: first_line, chunk: first / CHUNK as u32, end_line, end_chunk: end / CHUNK as u32, pitch }
}

#[cube]
fn fill_stage<T: Float, N: Size>(
    left: &Tensor<Vector<T, N>>,
    right: &Tensor<Vector<T, N>>,
    left_stage: &mut Shared<[Vector<T, N>]>,
    right_stage: &mut Shared<[Vector<T, N>]>,
    slot: u32,
    first: u32,
    sizes: &Sizes,
    #[comptime] form: Form,
) {
    let [tile_rows, tile_columns] = comptime!(form.tiling.tile);
    let units = comptime!(form.tiling.units());
    let end = min(sizes.inner, (CUBE_POS_Z + 1) * sizes.part);
    let (row, column) = (CUBE_POS_Y * tile_rows as u32, CUBE_POS_X * tile_columns as u32);
    let of_left = if comptime!(form.left_transposed) {
        window(first, row, end, sizes.rows, sizes.left_pitch)
    } else {
        window(row, first, sizes.rows, end, sizes.left_pitch)
    };
    let of_right = if comptime!(form.right_transposed) {
        window(column, first, sizes.columns, end, sizes.right_pitch)
    } else {
        window(first, column, end, sizes.columns, sizes.right_pitch)
    };
    let (left_tile, right_tile) = comptime!((form.left(), form.right()));
    let left_start = slot as usize * comptime!(left_tile.len());
    let right_start = slot as usize * comptime!(right_tile.len());
    fill::<T, N>(left, left_stage, left_start, &of_left, left_tile, units);
    fill::<T, N>(right, right_stage, right_start, &of_right, right_tile, units);
}

#[cube(launch_unchecked)]
fn product_kernel<T: Float, O: Float, N: Size, P: Size>(
    left: &Tensor<Vector<T, N>>,
    right: &Tensor<Vector<T, N>>,
    bias: &Tensor<Vector<f32, P>>,
    sums_output: &mut Tensor<Vector<O, P>>,
    output: &mut Tensor<Vector<O, P>>,
    sizes: &Sizes,
    #[comptime] form: Form,
    #[define(T, O)] _dtypes: [ElemType; 2],
) {
    let Tiling { tile, planes, inner, stages } = comptime!(form.tiling);
    let (left_tile, right_tile) = comptime!((form.left(), form.right()));
    let mut left_stage =
        Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(stages * left_tile.len()), 128usize);
    let mut right_stage =
        Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(stages * right_tile.len()), 128usize);
    let begin = CUBE_POS_Z * sizes.part;
    let end = min(sizes.inner, begin + sizes.part);
    let steps = (end - begin).div_ceil(inner as u32);

    #[unroll]
    for stage in 0..comptime!(stages - 1) {
        let first = begin + (stage * inner) as u32;
        fill_stage::<T, N>(left, right, &mut left_stage, &mut right_stage, stage as u32, first, sizes, form);
        commit();
    }

    let plane = UNIT_POS / LANES as u32;
    let [plane_rows, plane_columns] = comptime!([tile[0] / planes[0], tile[1] / planes[1]]);
    let plane_row = plane / planes[1] as u32 * plane_rows as u32;
    let plane_column = plane % planes[1] as u32 * plane_columns as u32;
    let [down, across] = comptime!([plane_rows / ROWS, plane_columns / COLUMNS]);
    let mut sums = Sequence::<Array<Vector<f32, P>>>::new();
    #[unroll]
    for _ in 0..comptime!(down * across) {
        sums.push(zeros::<P>());
    }

    // Sixteen columns a place: along the inner dimension, or along a plane's part of the tile.
    let left_blocks = comptime!((if form.left_transposed { plane_rows } else { inner }) / INNER);
    let right_blocks = comptime!((if form.right_transposed { inner } else { plane_columns }) / INNER);
    let left_places = if comptime!(form.left_transposed) {
        places(0u32, plane_row / CHUNK as u32, left_blocks, left_tile, true)
    } else {
        places(plane_row, 0u32, left_blocks, left_tile, false)
    };
    let right_places = if comptime!(form.right_transposed) {
        places(plane_column, 0u32, right_blocks, right_tile, true)
    } else {
        places(0u32, plane_column / CHUNK as u32, right_blocks, right_tile, false)
    };

    // Ones times the right factor are the sums of its columns; the uppermost planes compute them.
    let has_sums = CUBE_POS_Y == 0 && plane_row == 0;
    let mut ones = Array::<Vector<T, P>>::new(4usize);
    let mut column_sums = Sequence::<Array<Vector<f32, P>>>::new();
    if comptime!(form.sums_columns) {
        #[unroll]
        for index in 0..4usize {
            ones[index] = Vector::new(T::new(1.0));
        }
        #[unroll]
        for _ in 0..across {
            column_sums.push(zeros::<P>());
        }
    }

    for step in 0..steps {
        wait(comptime!(stages - 2));
        sync_cube();
        let next = step + (stages - 1) as u32;
        if next < steps {
            let first = begin + next * inner as u32;
            let slot = next % stages as u32;
            fill_stage::<T, N>(left, right, &mut left_stage, &mut right_stage, slot, first, sizes, form);
        }
        commit();
        let slot = (step % stages as u32) as usize;
        let left_start = slot * comptime!(left_tile.len());
        let right_start = slot * comptime!(right_tile.len());
        #[unroll]
        for part in 0..comptime!(inner / INNER) {
            let mut lefts = Sequence::<Array<Vector<T, P>>>::new();
            #[unroll]
            for index in 0..down {
                let [block, column] =
                    comptime!(if form.left_transposed { [part, index] } else { [index, part] });
                let place = left_start + *left_places.index(column) as usize;
                lefts.push(load::<T, N, P>(
                    &left_stage,
                    place,
                    block,
                    left_tile,
                    comptime!(form.left_transposed),
                ));
            }
            #[unroll]
            for pair in 0..comptime!(across / 2) {
                let [block, column] =
                    comptime!(if form.right_transposed { [pair, part] } else { [part, pair] });
                let place = right_start + *right_places.index(column) as usize;
                let rights = load::<T, N, P>(
                    &right_stage,
                    place,
                    block,
                    right_tile,
                    comptime!(!form.right_transposed),
                );
                #[unroll]
                for number in 0..2usize {
                    let right = half::<T, P>(&rights, number);
                    if comptime!(form.sums_columns) {
                        if has_sums {
                            multiply::<T, P>(
                                &ones,
                                &right,
                                column_sums.index_mut(comptime!(2 * pair + number)),
                            );
                        }
                    }
                    #[unroll]
                    for index in 0..down {
                        let sum = comptime!(index * across + 2 * pair + number);
                        multiply::<T, P>(lefts.index(index), &right, sums.index_mut(sum));
                    }
                }
            }
        }
    }

    let row = CUBE_POS_Y * tile[0] as u32 + plane_row + UNIT_POS_PLANE / 4;
    let column = CUBE_POS_X * tile[1] as u32 + plane_column + UNIT_POS_PLANE % 4 * 2;
    let lines = sizes.rows + comptime!(form.sums_columns as u32);
    let start = CUBE_POS_Z as usize * lines as usize;
    if comptime!(form.sums_columns) {
        if has_sums && UNIT_POS_PLANE / 4 == 0 {
            #[unroll]
            for number in 0..across {
                let column = column + (number * COLUMNS) as u32;
                if column < sizes.columns {
                    let line = start + sizes.rows as usize;
                    let place = line * (sizes.columns / 2) as usize + (column / 2) as usize;
                    sums_output[place] = Vector::cast_from(column_sums.index(number)[0]);
                }
            }
        }
    }
    #[unroll]
    for index in 0..down {
        #[unroll]
        for number in 0..across {
            let sum = sums.index(comptime!(index * across + number));
            #[unroll]
            for upper in 0..2usize {
                let row = row + (index * ROWS + upper * 8) as u32;
                let column = column + (number * COLUMNS) as u32;
                if row < sizes.rows && column < sizes.columns {
                    let place = (start + row as usize) * (sizes.columns / 2) as usize + (column / 2) as usize;
                    let mut x = sum[upper];
                    if comptime!(form.has_bias) {
                        x += bias[(column / 2) as usize];
                    }
                    sums_output[place] = Vector::cast_from(x);
                    if comptime!(form.activation.is_some()) {
                        output[place] =
                            Vector::cast_from(activated::<P>(x, comptime!(form.activation.unwrap())));
                    }
                }
            }
        }
    }
}

/// Adds up the parts of a product.
#[cube(launch_unchecked)]
fn parts_kernel<N: Size>(parts: &Tensor<Vector<f32, N>>, output: &mut Tensor<Vector<f32, N>>, count: u32) {
    let place = ABSOLUTE_POS;
    if place < output.len() {
        let mut sum = parts[place];
        for part in 1..count {
            sum += parts[part as usize * output.len() + place];
        }
        output[place] = sum;
    }
}

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

/// Cubes that a GPU should have to do at least.
const ENOUGH_CUBES: usize = 132;
/// Inner elements of a part at least: fewer cost more in adding up than they save.
const LEAST_PART: usize = 512;

/// The tiling for a product, and how many parts the inner dimension has.
fn plan([rows, inner, columns]: [usize; 3], may_split: bool) -> (Tiling, usize) {
    let tiles = |tiling: Tiling| rows.div_ceil(tiling.tile[0]) * columns.div_ceil(tiling.tile[1]);
    if tiles(LARGE) >= ENOUGH_CUBES {
        return (LARGE, 1);
    }
    if !may_split {
        return (SMALL, 1);
    }
    let most = (inner / LEAST_PART).max(1);
    let parts = |tiling| (2 * ENOUGH_CUBES).div_ceil(tiles(tiling)).clamp(1, most);
    if tiles(LARGE) * parts(LARGE) >= ENOUGH_CUBES { (LARGE, parts(LARGE)) } else { (SMALL, parts(SMALL)) }
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
    let call = Call { bias, activation, dtype, sums_columns: false, plan: plan(sizes, may_split) };
    launch(left, right, call)
}

/// The product in f32, and the sums of the right factor's columns; none as [`tiled_product`].
///
/// # Shapes
/// - left: `[rows, inner]`, right: `[inner, columns]`; outputs: `[rows, columns]`, `[columns]`
pub(crate) fn product_and_column_sums(left: &CubeTensor, right: &CubeTensor) -> Option<[CubeTensor; 2]> {
    let sizes = sizes_of(left, right)?;
    let plan = plan(sizes, true);
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
    let sums = if parts > 1 { sum_of_parts(sums, shape) } else { sums };
    Some(if activation.is_some() { [output, sums] } else { [sums.clone(), sums] })
}

/// `[parts, rows, columns]` -> `[rows, columns]`
#[allow(unsafe_code)] // Checks of every access would cost registers.
fn sum_of_parts(parts: CubeTensor, shape: [usize; 2]) -> CubeTensor {
    let output = empty(&parts, shape, DType::F32);
    let size = vector_size(&output, shape[0] * shape[1]);
    let (count, dim) = each_vector(shape[0] * shape[1] / size);
    let number = parts.meta.shape()[0] as u32;
    // SAFETY: every part has as many elements as the output.
    unsafe {
        parts_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            size,
            parts.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            number,
        );
    }
    output
}
