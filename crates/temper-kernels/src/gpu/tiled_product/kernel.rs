//! The kernel: tiles of both factors in stages, sums of a tile in registers.

use cubecl::prelude::*;

use super::plan::Tiling;
use crate::Activation;
use crate::gpu::activate::activated;
use crate::gpu::tensor_cores::{
    CHUNK, COLUMNS, INNER, LANES, ROWS, Tile, Window, commit, fill, half, load, multiply, places, wait, zeros,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub(super) tiling: Tiling,
    /// The left factor lies in memory as `[inner, rows]`.
    pub(super) left_transposed: bool,
    /// The right factor lies in memory as `[columns, inner]`.
    pub(super) right_transposed: bool,
    pub(super) has_bias: bool,
    pub(super) activation: Option<Activation>,
    /// The sums of the right factor's columns follow the product, as one more row.
    pub(super) sums_columns: bool,
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
pub(super) struct Sizes {
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

#[allow(clippy::collapsible_if)] // The outer ones are decided when the kernel is compiled.
#[cube(launch_unchecked)]
pub(super) fn product_kernel<T: Float, O: Float, N: Size, P: Size>(
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
