//! The loops of a product whose right matrix is packed.
//!
//! A tile has 6 rows and 32 columns, or 12 rows where there are 32 vector registers. It takes the whole depth, or a block of it: its columns come from the second cache,
//! which is fast enough for instructions that multiply 32 or 64 pairs at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::super::matrix::Finish;
use super::dot::{Dot, LANES};

/// Rows of a tile.
const TILE_ROWS: usize = 6;
/// Panels of a tile.
const TILE_PANELS: usize = 2;
/// Rows of a task, where there are many.
const TASK_ROWS: usize = 48;
/// Columns of a task, where there are few rows.
const TASK_COLUMNS: Range<usize> = 64..1024;
/// Tasks of a small matrix with few rows.
const TASKS: usize = 8;

/// Words of a right matrix: panels of [`LANES`] columns, `[panels, steps, LANES]`, filled up with zeros. A step is a word
/// of each column.
#[derive(Clone, Debug)]
pub struct Panels {
    pub columns: usize,
    /// Words of a column.
    pub steps: usize,
    words: Vec<u32>,
}

impl Panels {
    /// Panels that `fill` writes, each for its first column, and what it returns.
    pub fn new<R: Send>(
        columns: usize,
        steps: usize,
        fill: impl Fn(usize, &mut [[u32; LANES]]) -> R + Sync,
    ) -> (Self, Vec<R>) {
        let mut words = vec![0; columns.div_ceil(LANES) * steps * LANES];
        let mut results = Vec::new();
        if steps > 0 {
            let panels = words.par_chunks_mut(steps * LANES).enumerate();
            results = panels.map(|(panel, words)| fill(panel * LANES, words.as_chunks_mut().0)).collect();
        }
        (Self { columns, steps, words }, results)
    }

    fn panel(&self, panel: usize, steps: &Range<usize>) -> &[[u32; LANES]] {
        let (words, _) = self.words[panel * self.steps * LANES..].as_chunks();
        &words[steps.clone()]
    }
}

/// What becomes of finished sums.
pub trait Store<N>: Sync {
    /// Stores the sums of a row from a column on, as many as `out` has room for. `is_first`: they are of the first block
    /// of the depth; later ones are added.
    fn store(&self, row: usize, column: usize, is_first: bool, sums: &[N; LANES], out: &mut [f32]);

    /// Whether sums are added to what is there before. Otherwise that is never read: it may be memory not yet written.
    fn adds(&self) -> bool;
}

/// A product.
pub struct Product<'a, S> {
    pub rows: usize,
    /// `[rows, steps]`
    pub left: &'a [u32],
    pub right: &'a Panels,
    /// Steps of a block of the depth.
    pub block: usize,
    pub store: S,
}

impl<S> Product<'_, S> {
    /// Writes the product, `[rows, columns]`. How the work is divided depends on sizes only, and a value on its row and
    /// column only.
    pub fn compute<D: Dot>(&self, dot: D, mut finish: Finish<'_>, out: &mut [f32])
    where
        S: Store<D::Number>,
    {
        let columns = self.right.columns;
        assert_eq!(out.len(), self.rows * columns, "a product of {} x {columns} values", self.rows);
        assert_eq!(self.left.len(), self.rows * self.right.steps, "words of the left matrix");
        if out.is_empty() {
            return;
        }
        if self.rows < 2 * TASK_ROWS {
            self.compute_columns(dot, out);
            return finish.apply(out);
        }
        let chunk = TASK_ROWS * columns;
        let tasks = out.par_chunks_mut(chunk).zip(finish.chunks(chunk, self.rows.div_ceil(TASK_ROWS)));
        tasks.enumerate().for_each(|(task, (out, mut finish))| {
            let first = task * TASK_ROWS;
            let part = Part { rows: first..first + out.len() / columns, columns: 0..columns };
            self.part(dot, &part, out);
            finish.apply(out);
        });
    }

    /// With few rows, a task is a range of columns: its part of the right matrix is read once.
    fn compute_columns<D: Dot>(&self, dot: D, out: &mut [f32])
    where
        S: Store<D::Number>,
    {
        let columns = self.right.columns;
        let width = columns.div_ceil(TASKS).next_multiple_of(TILE_PANELS * LANES);
        let width = width.clamp(TASK_COLUMNS.start, TASK_COLUMNS.end);
        let compute = |first: usize| {
            let part = Part { rows: 0..self.rows, columns: first..columns.min(first + width) };
            let mut values: Vec<f32> = match self.store.adds() {
                true => {
                    out.chunks_exact(columns).flat_map(|row| &row[part.columns.clone()]).copied().collect()
                }
                false => vec![0.0; self.rows * part.columns.len()],
            };
            self.part(dot, &part, &mut values);
            (part.columns, values)
        };
        let starts: Vec<usize> = (0..columns).step_by(width).collect();
        let parts: Vec<(Range<usize>, Vec<f32>)> = match starts.len() {
            1 => vec![compute(0)],
            // A thread that waits for the last tasks takes them one by one.
            _ => starts.into_par_iter().with_max_len(1).map(compute).collect(),
        };
        for (range, values) in parts {
            for (out, values) in out.chunks_exact_mut(columns).zip(values.chunks_exact(range.len())) {
                out[range.clone()].copy_from_slice(values);
            }
        }
    }

    /// A part of the product, in a matrix of its own.
    fn part<D: Dot>(&self, dot: D, part: &Part, out: &mut [f32])
    where
        S: Store<D::Number>,
    {
        let steps = self.right.steps;
        // A depth of zero is a block, too: it stores what sums start at.
        for first in (0..steps.max(1)).step_by(self.block) {
            let steps = first..steps.min(first + self.block);
            let left = self.tiles_of_left::<D>(part.rows.clone(), &steps);
            dot.run(
                #[inline(always)]
                || self.block(dot, part, &steps, &left, out),
            );
        }
    }

    /// Rows of the left matrix as tiles read them: for each tile `[steps, rows]`, one after the other.
    fn tiles_of_left<D: Dot>(&self, rows: Range<usize>, steps: &Range<usize>) -> Vec<u32> {
        let mut words = vec![0; rows.len() * steps.len()];
        let mut rest = words.as_mut_slice();
        let mut row = rows.start;
        while row < rows.end {
            let count = tile_rows::<D>(rows.end - row);
            let (tile, after) = rest.split_at_mut(count * steps.len());
            for index in 0..count {
                let left = &self.left[(row + index) * self.right.steps..][steps.clone()];
                tile.iter_mut().skip(index).step_by(count).zip(left).for_each(|(to, word)| *to = *word);
            }
            (row, rest) = (row + count, after);
        }
        words
    }

    #[inline(always)]
    fn block<D: Dot>(&self, dot: D, part: &Part, steps: &Range<usize>, left: &[u32], out: &mut [f32])
    where
        S: Store<D::Number>,
    {
        let panels = part.columns.start / LANES..part.columns.end.div_ceil(LANES);
        let whole = panels.len() / TILE_PANELS * TILE_PANELS;
        for panel in (panels.start..panels.start + whole).step_by(TILE_PANELS) {
            self.tiles::<D, TILE_PANELS>(dot, part, panel, steps, left, out);
        }
        for panel in panels.start + whole..panels.end {
            self.tiles::<D, 1>(dot, part, panel, steps, left, out);
        }
    }

    /// All rows of `P` panels.
    #[inline(always)]
    fn tiles<D: Dot, const P: usize>(
        &self,
        dot: D,
        part: &Part,
        panel: usize,
        steps: &Range<usize>,
        left: &[u32],
        out: &mut [f32],
    ) where
        S: Store<D::Number>,
    {
        let right = std::array::from_fn(|index| self.right.panel(panel + index, steps));
        let mut row = part.rows.start;
        while row < part.rows.end {
            let count = tile_rows::<D>(part.rows.end - row);
            let left = &left[(row - part.rows.start) * steps.len()..][..count * steps.len()];
            let place = Place { row, panel, is_first: steps.start == 0 };
            match count {
                12 => self.tile::<D, P, 12>(dot, part, place, left, right, out),
                6 => self.tile::<D, P, 6>(dot, part, place, left, right, out),
                5 => self.tile::<D, P, 5>(dot, part, place, left, right, out),
                4 => self.tile::<D, P, 4>(dot, part, place, left, right, out),
                3 => self.tile::<D, P, 3>(dot, part, place, left, right, out),
                2 => self.tile::<D, P, 2>(dot, part, place, left, right, out),
                _ => self.tile::<D, P, 1>(dot, part, place, left, right, out),
            }
            row += count;
        }
    }

    #[inline(always)]
    fn tile<D: Dot, const P: usize, const ROWS: usize>(
        &self,
        dot: D,
        part: &Part,
        Place { row, panel, is_first }: Place,
        left: &[u32],
        right: [&[[u32; LANES]]; P],
        out: &mut [f32],
    ) where
        S: Store<D::Number>,
    {
        let sums = sums::<D, P, ROWS>(dot, left.as_chunks().0, right);
        let width = part.columns.len();
        for (index, sums) in sums.into_iter().enumerate() {
            for (side, sums) in sums.into_iter().enumerate() {
                let column = (panel + side) * LANES;
                let end = part.columns.end.min(column + LANES);
                let start = (row + index - part.rows.start) * width;
                let out = &mut out[start..][column - part.columns.start..end - part.columns.start];
                self.store.store(row + index, column, is_first, &dot.numbers(sums), out);
            }
        }
    }
}

/// Rows of the next tile, where so many are left.
fn tile_rows<D: Dot>(rest: usize) -> usize {
    if D::HAS_32_REGISTERS && rest >= 2 * TILE_ROWS { 2 * TILE_ROWS } else { rest.min(TILE_ROWS) }
}

/// Where a tile begins.
struct Place {
    row: usize,
    panel: usize,
    /// Whether its sums are of the first block of the depth.
    is_first: bool,
}

/// Rows and columns of a part of a product; the columns begin at a panel.
struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
}

#[inline(always)]
fn sums<D: Dot, const P: usize, const ROWS: usize>(
    dot: D,
    left: &[[u32; ROWS]],
    right: [&[[u32; LANES]]; P],
) -> [[D::Sums; P]; ROWS] {
    let right = right.map(|panel| &panel[..left.len()]);
    let mut sums = [[dot.zero(); P]; ROWS];
    for (step, left) in left.iter().enumerate() {
        for (sums, left) in sums.iter_mut().zip(left) {
            for (sums, right) in sums.iter_mut().zip(&right) {
                *sums = dot.add(*sums, *left, &right[step]);
            }
        }
    }
    sums
}
