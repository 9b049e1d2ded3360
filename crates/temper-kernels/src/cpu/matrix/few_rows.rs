//! Products with few rows, as when text is generated: each value of the right matrix is read from memory once.
//!
//! Such a product is bound by memory. To pack the whole right matrix first would write it and read it a second time.
//! The sums are those of the packed product, bit for bit: the output for a text does not depend on the texts
//! in the same batch.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::inner_products::{Columns, columns_sums};
use super::left_block::{LeftBlock, row_major};
use super::{DEPTH, Matrix, Start, TILE_COLUMNS, begin};

/// Columns of a task at most, where rows of the right matrix are contiguous: long runs of memory are fast ones.
const MOST_COLUMNS: usize = 1024;
/// Tasks of a small matrix.
const TASKS: usize = 8;
/// Columns of a task at least, unless the matrix has fewer.
const LEAST_COLUMNS: usize = 128;
/// Rows of the right matrix that are read side by side.
const STEP: usize = 8;

/// Rows of a product that is computed here, at most.
#[cfg(test)]
pub const MOST_FEW_ROWS: usize = 64;

/// Whether a product has so few rows that this is faster than packed panels. Those for AVX-512 were measured on an Emerald
/// Rapids, with two threads, for weights in the cache and in memory.
pub fn is_for_few_rows(rows: usize, right: Matrix<'_>) -> bool {
    let most = match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) if right.column_stride == 1 => 16,
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => 64,
        _ if right.column_stride == 1 => 8,
        _ => 2,
    };
    rows <= most
}

/// As [`multiply`](super::multiply).
pub fn multiply_few_rows(
    [rows, depth, columns]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    start: Start<'_>,
    out: &mut [f32],
) {
    begin(start, columns, out);
    let parts = match right.column_stride {
        1 => parts_of_rows([rows, depth, columns], left, right),
        _ => parts_of_columns([rows, depth, columns], left, right),
    };
    // Block after block of the depth, as in the packed product.
    for Part { first, width, sums } in parts {
        for (out, sums) in out.chunks_exact_mut(columns).zip(sums.chunks_exact(width)) {
            out[first..][..width].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// What a task adds to the columns from `first`.
struct Part {
    first: usize,
    width: usize,
    /// `[rows, width]`
    sums: Vec<f32>,
}

/// Where rows of the right matrix are contiguous: tasks are blocks of its rows and columns.
fn parts_of_rows([rows, depth, columns]: [usize; 3], left: Matrix<'_>, right: Matrix<'_>) -> Vec<Part> {
    let (arch, left) = (Arch::new(), row_major(left, rows, depth));
    let blocks = depth.div_ceil(DEPTH);
    // Some tasks, of which none is narrow.
    let task_columns = columns.div_ceil(TASKS.div_ceil(blocks)).next_multiple_of(TILE_COLUMNS);
    let task_columns = task_columns.clamp(LEAST_COLUMNS, MOST_COLUMNS);
    let part = |task: usize| {
        let (first, first_depth) = (task / blocks * task_columns, task % blocks * DEPTH);
        let width = task_columns.min(columns - first);
        let right = Matrix { values: &right.values[first_depth * right.row_stride + first..], ..right };
        let left =
            LeftBlock { values: &left, stride: depth, first_depth, depth: DEPTH.min(depth - first_depth) };
        Part { first, width, sums: arch.dispatch(Rows { left, right, width }) }
    };
    // A thread that waits for the last tasks takes them one by one.
    (0..columns.div_ceil(task_columns) * blocks).into_par_iter().with_max_len(1).map(part).collect()
}

/// Where columns of the right matrix are contiguous: the sums of some columns grow side by side.
fn parts_of_columns([rows, depth, columns]: [usize; 3], left: Matrix<'_>, right: Matrix<'_>) -> Vec<Part> {
    let left = row_major(left, rows, depth);
    let blocks = depth.div_ceil(DEPTH);
    let part = |task: usize| {
        let (first, first_depth) = (task / blocks * LEAST_COLUMNS, task % blocks * DEPTH);
        let width = LEAST_COLUMNS.min(columns - first);
        let depth_of_block = DEPTH.min(depth - first_depth);
        let left = LeftBlock { values: &left, stride: depth, first_depth, depth: depth_of_block };
        let columns = Columns {
            values: &right.values[first * right.column_stride + first_depth..],
            stride: right.column_stride,
            depth: depth_of_block,
        };
        Part { first, width, sums: columns_sums(left, columns, width) }
    };
    (0..columns.div_ceil(LEAST_COLUMNS) * blocks).into_par_iter().with_max_len(1).map(part).collect()
}

/// A block of the left matrix times the first columns of the right one.
struct Rows<'a> {
    left: LeftBlock<'a>,
    right: Matrix<'a>,
    width: usize,
}

impl WithSimd for Rows<'_> {
    /// `[rows, width]`
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { left, right, width } = self;
        let mut sums = vec![0.0; left.rows().count() * width];
        let row = |depth: usize| &right.values[depth * right.row_stride..][..width];
        let whole = left.depth - left.depth % STEP;
        // The rows of a step stay in the first cache for all rows of the left matrix.
        for depth in (0..whole).step_by(STEP) {
            let right = std::array::from_fn(|step| row(depth + step));
            for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                add_rows::<S, STEP>(simd, sums, &left[depth..], right);
            }
        }
        for depth in whole..left.depth {
            for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                add_rows::<S, 1>(simd, sums, &left[depth..], [row(depth)]);
            }
        }
        sums
    }
}

/// `sums += left right`, for `N` values of a row and as many rows of the right matrix, one after the other.
#[inline(always)]
pub fn add_rows<S: Simd, const N: usize>(simd: S, sums: &mut [f32], left: &[f32], right: [&[f32]; N]) {
    let vectors = right.map(|row| S::as_simd_f32s(row));
    let (sums, rest) = S::as_mut_simd_f32s(sums);
    let factors: [S::f32s; N] = std::array::from_fn(|step| simd.splat_f32s(left[step]));
    let right = vectors.map(|(vectors, _)| &vectors[..sums.len()]);
    for (column, sum) in sums.iter_mut().enumerate() {
        for (factor, right) in factors.iter().zip(&right) {
            *sum = simd.mul_add_f32s(*factor, right[column], *sum);
        }
    }
    for (column, sum) in rest.iter_mut().enumerate() {
        for (left, (_, right)) in left.iter().zip(&vectors) {
            *sum = left.mul_add(right[column], *sum);
        }
    }
}
