//! The left side of a product: rows of a matrix in memory.

use std::ops::Range;

/// A row-major matrix whose rows may be apart: row `i` begins at `i * stride`.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub count: usize,
    pub width: usize,
}

impl<'a> Rows<'a> {
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..self.width]
    }

    pub fn slice(&self, rows: Range<usize>) -> Rows<'a> {
        // An empty range may begin after the last value.
        let start = (rows.start * self.stride).min(self.values.len());
        Rows { values: &self.values[start..], count: rows.len(), ..*self }
    }
}
