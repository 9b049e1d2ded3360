//! Matrix products: the largest part of every training step.
//!
//! The layout of the loops follows BLIS (Van Zee and van de Geijn 2015): a panel of 16 columns of
//! the right matrix stays in the first cache while tiles of 6 rows of the left one pass by.
//! A 6 x 16 tile fills 12 of the 16 vector registers of AVX2 with sums; with AVX-512 two panels side by
//! side and twice the rows make it 12 x 32, which is 24 of 32 registers.

mod few_rows;
mod inner_products;
mod left_block;
mod pack;
#[cfg(test)]
mod tests;
mod tile;

pub(in crate::cpu) use few_rows::add_rows;
use few_rows::{is_for_few_rows, multiply_few_rows};
use pack::{pack_left, pack_right};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use tile::{Left, RowMajor, Target, Tiles, tile};

use super::activate::{activate_tile, activate_tile_in_place};
use super::vectorized;
use crate::activation::Activation;

/// Columns of a tile.
const TILE_COLUMNS: usize = 16;
/// Rows of a tile.
const TILE_ROWS: usize = 6;
/// Depth of a block: a panel of `DEPTH x 16` values takes 24 of the 32 KB of a first cache. Half of it
/// was slower with AVX-512, too, where two panels are read side by side.
const DEPTH: usize = 384;
/// Columns of the right matrix that are packed at once.
const COLUMNS: usize = 3072;
/// Rows of the left matrix that a task works on.
const TASK_ROWS: usize = 48;

/// A matrix whose element (row, column) is `values[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T = f32> {
    /// Where the elements are.
    pub values: &'a [T],
    /// From a row to the next.
    pub row_stride: usize,
    /// From a column to the next; either this or `row_stride` is 1.
    pub column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix.
    pub fn new(values: &'a [T], columns: usize) -> Self {
        Self { values, row_stride: columns, column_stride: 1 }
    }

    /// The transpose of a row-major matrix with `columns` columns.
    pub fn transposed(values: &'a [T], columns: usize) -> Self {
        Self { values, row_stride: 1, column_stride: columns }
    }
}

/// What happens to a product before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Sums start at zero.
    Zero,
    /// Sums start at a row vector, `[columns]`: the bias of a linear map.
    Row(&'a [f32]),
    /// Sums are added to what is there.
    Add,
}

/// What happens to a product while it is still in the cache.
#[derive(Debug)]
pub enum Finish<'a> {
    /// It is stored as it is.
    Plain,
    /// The activation takes its place.
    Activate(Activation),
    /// The activation goes to a second matrix of the same shape.
    ActivateInto(Activation, &'a mut [f32]),
}

/// `out = left right`, followed by an activation, on the current rayon pool.
///
/// # Shapes
/// - sizes: rows and depth of the left matrix, columns of the right one
/// - left: `[rows, depth]`, right: `[depth, columns]`, out: `[rows, columns]`, row-major
pub fn multiply(
    [rows, depth, columns]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    start: Start<'_>,
    mut finish: Finish<'_>,
    out: &mut [f32],
) {
    assert_eq!(out.len(), rows * columns, "the output of a matrix product has {rows} x {columns} values");
    if out.is_empty() {
        return;
    }
    if depth == 0 {
        begin(start, columns, out);
    } else if is_for_few_rows(rows, right) {
        multiply_few_rows([rows, depth, columns], left, right, start, out);
    } else {
        return multiply_packed([rows, depth, columns], left, right, start, finish, out);
    }
    finish.apply(out);
}

/// The same in panels of the right matrix that are packed first.
fn multiply_packed(
    [rows, depth, columns]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    start: Start<'_>,
    mut finish: Finish<'_>,
    out: &mut [f32],
) {
    let arch = Arch::new();
    for first_column in (0..columns).step_by(COLUMNS) {
        let width = COLUMNS.min(columns - first_column);
        let blocks: Vec<Block<'_>> = (0..depth)
            .step_by(DEPTH)
            .map(|first_depth| Block {
                first_column,
                width,
                first_depth,
                depth: DEPTH.min(depth - first_depth),
                start: if first_depth == 0 { start } else { Start::Add },
            })
            .collect();
        let packed = pack_right(&blocks, right);
        let is_last = first_column + width == columns;
        let finish = if is_last { std::mem::replace(&mut finish, Finish::Plain) } else { Finish::Plain };
        let chunk = TASK_ROWS * columns;
        let tasks = out.par_chunks_mut(chunk).zip(finish.chunks(chunk, rows.div_ceil(TASK_ROWS)));
        tasks.enumerate().for_each(|(task, (out, mut finish))| {
            let first = task * TASK_ROWS;
            // The task's part of the output stays in the second cache from block to block.
            for (block, packed) in blocks.iter().zip(packed.chunks(block_len(&blocks[0]))) {
                arch.dispatch(Rows { first, block, left, packed, columns, out: &mut *out });
            }
            finish.apply(out);
        });
    }
}

/// Values of a packed block of the right matrix.
fn block_len(block: &Block<'_>) -> usize {
    block.width.div_ceil(TILE_COLUMNS) * TILE_COLUMNS * block.depth
}

impl<'a> Finish<'a> {
    /// What each of `tasks` chunks of rows has to do.
    pub(in crate::cpu) fn chunks(self, chunk: usize, tasks: usize) -> Vec<Finish<'a>> {
        match self {
            Self::Plain => (0..tasks).map(|_| Finish::Plain).collect(),
            Self::Activate(activation) => (0..tasks).map(|_| Finish::Activate(activation)).collect(),
            Self::ActivateInto(activation, out) => {
                out.chunks_mut(chunk).map(|out| Finish::ActivateInto(activation, out)).collect()
            }
        }
    }

    /// Finishes rows of a product.
    pub(in crate::cpu) fn apply(&mut self, out: &mut [f32]) {
        match self {
            Self::Plain => {}
            Self::Activate(activation) => vectorized(
                #[inline(always)]
                || activate_tile_in_place(*activation, out),
            ),
            Self::ActivateInto(activation, target) => vectorized(
                #[inline(always)]
                || activate_tile(*activation, out, target),
            ),
        }
    }
}

fn begin(start: Start<'_>, columns: usize, out: &mut [f32]) {
    match start {
        Start::Zero => out.fill(0.0),
        Start::Row(row) => out.chunks_exact_mut(columns).for_each(|out| out.copy_from_slice(row)),
        Start::Add => {}
    }
}

/// The part of the depth and of the columns that is computed at a time.
struct Block<'a> {
    first_column: usize,
    width: usize,
    first_depth: usize,
    depth: usize,
    start: Start<'a>,
}

/// The rows that one task computes.
struct Rows<'a> {
    first: usize,
    block: &'a Block<'a>,
    left: Matrix<'a>,
    packed: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            4 => self.compute::<S, 4, 1>(simd),
            8 => self.compute::<S, 2, 1>(simd),
            16 => self.compute::<S, 1, 2>(simd),
            _ => self.compute::<S, TILE_COLUMNS, 1>(simd),
        }
    }
}

impl Rows<'_> {
    /// `V` vectors make up the 16 columns of a panel; `P` panels are computed side by side.
    #[inline(always)]
    fn compute<S: Simd, const V: usize, const P: usize>(self, simd: S) {
        let first = self.first * self.left.row_stride + self.block.first_depth * self.left.column_stride;
        let (values, depth) = (&self.left.values[first..], self.block.depth);
        if self.left.column_stride == 1 {
            let left = RowMajor { values, stride: self.left.row_stride };
            return self.panels::<S, V, P, _>(simd, &left);
        }
        let rows = self.out.len() / self.columns;
        let mut tiles = vec![0.0; rows * depth];
        for (first, count) in tiles_of(P, rows) {
            let tile = &mut tiles[first * depth..][..count * depth];
            pack_left(&values[first..], self.left.column_stride, count, tile);
        }
        self.panels::<S, V, P, _>(simd, &Tiles { values: &tiles });
    }

    #[inline(always)]
    fn panels<S: Simd, const V: usize, const P: usize, L: Left>(mut self, simd: S, left: &L) {
        let panel = self.block.depth * TILE_COLUMNS;
        let groups = self.packed.chunks_exact(P * panel);
        let rest = groups.remainder();
        let grouped = self.packed.len() - rest.len();
        for (group, packed) in groups.enumerate() {
            self.group::<S, V, P, L>(simd, left, (P, group * P * TILE_COLUMNS), packed);
        }
        // What is left over: nothing where a group is a single panel.
        for (index, packed) in rest.chunks_exact(panel).enumerate() {
            let offset = (grouped / panel + index) * TILE_COLUMNS;
            self.group::<S, V, 1, L>(simd, left, (P, offset), packed);
        }
    }

    /// `P` panels, the first of which has the column `offset` of the block. Tiles have as many rows as `panels` panels
    /// side by side allow.
    #[inline(always)]
    fn group<S: Simd, const V: usize, const P: usize, L: Left>(
        &mut self,
        simd: S,
        left: &L,
        (panels, offset): (usize, usize),
        packed: &[f32],
    ) {
        let panel = self.block.depth * TILE_COLUMNS;
        let right: [&[[S::f32s; V]]; P] = std::array::from_fn(|index| {
            S::as_simd_f32s(&packed[index * panel..][..panel]).0.as_chunks::<V>().0
        });
        let width = (P * TILE_COLUMNS).min(self.block.width - offset);
        let column = self.block.first_column + offset;
        for (first, count) in tiles_of(panels, self.out.len() / self.columns) {
            let out = &mut self.out[first * self.columns + column..];
            let target = Target { out, stride: self.columns, width, start: self.block.start, column };
            match count {
                12 => tile::<S, V, P, 12, L>(simd, left, first, right, target),
                6 => tile::<S, V, P, 6, L>(simd, left, first, right, target),
                5 => tile::<S, V, P, 5, L>(simd, left, first, right, target),
                4 => tile::<S, V, P, 4, L>(simd, left, first, right, target),
                3 => tile::<S, V, P, 3, L>(simd, left, first, right, target),
                2 => tile::<S, V, P, 2, L>(simd, left, first, right, target),
                _ => tile::<S, V, P, 1, L>(simd, left, first, right, target),
            }
        }
    }
}

/// First row and number of rows of each tile. With AVX-512, whose tiles have two panels, twice as many rows fit: their
/// sums take 24 of its 32 registers.
#[inline(always)]
fn tiles_of(panels: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(
        #[inline(always)]
        move || {
            let rest = rows - first;
            let most = if panels > 1 && rest >= 2 * TILE_ROWS { 2 * TILE_ROWS } else { TILE_ROWS };
            let tile = (first, rest.min(most));
            first += tile.1;
            (tile.1 > 0).then_some(tile)
        },
    )
}
