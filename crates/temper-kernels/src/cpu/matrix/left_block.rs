//! Some columns of a left matrix that has few rows.

use std::borrow::Cow;

use super::Matrix;

/// `[rows, depth]`, contiguous.
pub fn row_major(left: Matrix<'_>, rows: usize, depth: usize) -> Cow<'_, [f32]> {
    if left.column_stride == 1 && left.row_stride == depth {
        return Cow::Borrowed(&left.values[..rows * depth]);
    }
    let at = |row, column| left.values[row * left.row_stride + column * left.column_stride];
    Cow::Owned((0..rows).flat_map(|row| (0..depth).map(move |column| at(row, column))).collect())
}

/// Some columns of the left matrix.
#[derive(Clone, Copy)]
pub struct LeftBlock<'a> {
    /// `[rows, stride]`
    pub values: &'a [f32],
    pub stride: usize,
    /// The first column.
    pub first_depth: usize,
    /// Columns.
    pub depth: usize,
}

impl<'a> LeftBlock<'a> {
    /// `[depth]` each.
    pub fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.values.chunks_exact(self.stride).map(move |row| &row[self.first_depth..][..self.depth])
    }
}
