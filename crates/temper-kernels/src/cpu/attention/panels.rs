//! The right side of a product, packed in panels of columns.

use std::ops::Range;

use super::rows::Rows;

/// Columns of a panel: two AVX2 vectors, one cache line.
pub const PANEL: usize = 16;

/// The right side of a product: a matrix cut into panels of `PANEL` columns, each stored row after
/// row, the last padded with zeros.
#[derive(Clone)]
pub struct Panels<'a> {
    /// `[panels, height, PANEL]`
    lines: &'a [[f32; PANEL]],
    /// Rows of the whole matrix.
    height: usize,
    /// Rows that take part.
    pub rows: Range<usize>,
    /// Panels that take part.
    panels: Range<usize>,
}

impl<'a> Panels<'a> {
    /// Number of panels that take part.
    pub fn count(&self) -> usize {
        self.panels.len()
    }

    /// Columns of the panels that take part, padding included.
    pub fn width(&self) -> usize {
        self.count() * PANEL
    }

    /// Rows of the `index`-th panel that takes part.
    pub fn panel(&self, index: usize) -> &'a [[f32; PANEL]] {
        &self.lines[(self.panels.start + index) * self.height..][self.rows.clone()]
    }

    /// Only these rows of the matrix.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self { rows, ..self.clone() }
    }

    /// Only these panels.
    pub fn panels(&self, panels: Range<usize>) -> Self {
        Self { panels, ..self.clone() }
    }
}

/// Memory for packed panels, kept between tasks.
#[derive(Default)]
pub struct PanelBuffer {
    values: Vec<f32>,
}

impl PanelBuffer {
    /// `scale * matrix` in panels.
    pub fn pack(&mut self, matrix: Rows<'_>, scale: f32) -> Panels<'_> {
        let panels = matrix.width.div_ceil(PANEL);
        // [panels, matrix.count, PANEL]
        let lines = aligned(&mut self.values, panels * matrix.count * PANEL).as_chunks_mut().0;
        for row in 0..matrix.count {
            for (panel, values) in matrix.row(row).chunks(PANEL).enumerate() {
                fill(&mut lines[panel * matrix.count + row], values, scale);
            }
        }
        Panels { lines, height: matrix.count, rows: 0..matrix.count, panels: 0..panels }
    }

    /// `scale * matrix^T` in panels.
    pub fn pack_transposed(&mut self, matrix: Rows<'_>, scale: f32) -> Panels<'_> {
        let panels = matrix.count.div_ceil(PANEL);
        // [panels, matrix.width, PANEL]
        let lines = aligned(&mut self.values, panels * matrix.width * PANEL).as_chunks_mut().0;
        for panel in 0..panels {
            let first = panel * PANEL;
            let lines = &mut lines[panel * matrix.width..][..matrix.width];
            transpose(matrix.slice(first..(first + PANEL).min(matrix.count)), scale, lines);
        }
        Panels { lines, height: matrix.width, rows: 0..matrix.width, panels: 0..panels }
    }
}

#[inline(always)]
fn fill(line: &mut [f32; PANEL], values: &[f32], scale: f32) {
    match values.as_array::<PANEL>() {
        Some(values) => *line = values.map(|value| value * scale),
        None => {
            line.fill(0.0);
            for (place, value) in line.iter_mut().zip(values) {
                *place = value * scale;
            }
        }
    }
}

/// Writes `scale` times column `j` of at most `PANEL` rows to line `j`.
fn transpose(rows: Rows<'_>, scale: f32, lines: &mut [[f32; PANEL]]) {
    let whole = rows.count / 4 * 4;
    for first in (0..whole).step_by(4) {
        transpose_four([0, 1, 2, 3].map(|row| rows.row(first + row)), scale, lines, first);
    }
    for row in whole..rows.count {
        for (line, value) in lines.iter_mut().zip(rows.row(row)) {
            line[row] = value * scale;
        }
    }
    for line in lines {
        line[rows.count..].fill(0.0);
    }
}

/// Writes four rows to columns of the lines, from the column `first` on; by four columns at a time, which
/// compiles to shuffles.
fn transpose_four(rows: [&[f32]; 4], scale: f32, lines: &mut [[f32; PANEL]], first: usize) {
    let (blocks, rest) = lines.as_chunks_mut::<4>();
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<4>().0);
    for ((((lines, a), b), c), d) in blocks.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let scaled = [a, b, c, d].map(|row| row.map(|value| value * scale));
        for (column, line) in lines.iter_mut().enumerate() {
            line[first..first + 4].copy_from_slice(&scaled.map(|row| row[column]));
        }
    }
    let done = blocks.len() * 4;
    for (column, line) in rest.iter_mut().enumerate() {
        line[first..first + 4].copy_from_slice(&rows.map(|row| row[done + column] * scale));
    }
}

/// `len` values of the buffer that begin at a cache line, so that no vector load spans two of them.
/// They hold what the last use left.
pub fn aligned(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len + PANEL {
        *buffer = vec![0.0; len + PANEL];
    }
    let skip = buffer.as_ptr().align_offset(size_of::<[f32; PANEL]>()).min(PANEL);
    &mut buffer[skip..skip + len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_transposes_any_size_over_what_was_there() {
        let (mut plain, mut transposed) = (PanelBuffer::default(), PanelBuffer::default());
        plain.pack(Rows { values: &[9.0; 4000], stride: 50, count: 80, width: 50 }, 1.0);
        transposed.pack(Rows { values: &[9.0; 4000], stride: 50, count: 80, width: 50 }, 1.0);
        for (count, width) in [(1, 1), (3, 5), (4, 4), (16, 16), (18, 6), (7, 33), (33, 7), (0, 4)] {
            let stride = width + 2;
            let values: Vec<f32> = (0..count * stride).map(|i| i as f32 + 1.0).collect();
            let matrix = Rows { values: &values, stride, count, width };
            let at = |row: usize, column: usize| {
                if row < count && column < width { 0.5 * values[row * stride + column] } else { 0.0 }
            };
            let packed = plain.pack(matrix, 0.5);
            assert_eq!((packed.count(), packed.rows.len()), (width.div_ceil(PANEL), count));
            for panel in 0..packed.count() {
                for (row, line) in packed.panel(panel).iter().enumerate() {
                    assert_eq!(*line, std::array::from_fn(|lane| at(row, panel * PANEL + lane)));
                }
            }
            let packed = transposed.pack_transposed(matrix, 0.5);
            assert_eq!((packed.count(), packed.rows.len()), (count.div_ceil(PANEL), width));
            for panel in 0..packed.count() {
                for (column, line) in packed.panel(panel).iter().enumerate() {
                    assert_eq!(*line, std::array::from_fn(|lane| at(panel * PANEL + lane, column)));
                }
            }
        }
    }

    #[test]
    fn memory_begins_at_a_cache_line_and_is_kept() {
        let mut buffer = Vec::new();
        let first = aligned(&mut buffer, 100).as_ptr();
        assert_eq!(first.align_offset(64), 0);
        assert_eq!(aligned(&mut buffer, 40).len(), 40);
        assert_eq!(aligned(&mut buffer, 100).as_ptr(), first);
    }
}
