//! Products in int8: a weight is quantised once, symmetrically by column; the other factor when it is used, by row. The
//! products are exact in integers.

use rayon::prelude::*;

use super::super::matrix::{Finish, Matrix, Start};
use super::super::vectorized;
use super::dot::{LANES, PlainInt8};
use super::product::{Panels, Product, Store};

/// The largest quantised number; its opposite is the smallest.
const LARGEST: f32 = 127.0;
/// What a number of the left matrix is stored with, since the instruction multiplies unsigned by signed numbers.
const OFFSET: i32 = 128;
/// Numbers that are quantised at a time: [`LANES`] words.
const BLOCK: usize = 4 * LANES;
/// 1.5 times 2^23: numbers from there on are integers, and the last bits of small sums are theirs.
const ROUNDER: f32 = 12_582_912.0;
/// Rows of the left matrix that a task quantises.
const TASK_ROWS: usize = 16;

/// A quantised right matrix.
#[derive(Clone, Debug)]
pub struct Int8Matrix {
    pub panels: Panels,
    /// What a quantised number is multiplied by, for each column.
    scales: Vec<f32>,
    /// Sums of the quantised numbers of each column.
    sums: Vec<i32>,
}

impl Int8Matrix {
    /// Quantises a matrix, `[depth, columns]`.
    pub fn quantized([depth, columns]: [usize; 2], right: Matrix<'_>) -> Self {
        let (panels, of_panels) = Panels::new(columns, depth.div_ceil(4), |first, words| {
            let values = &right.values[first * right.column_stride..];
            vectorized(
                #[inline(always)]
                || quantize_panel(values, right, [depth, LANES.min(columns - first)], words),
            )
        });
        let (mut scales, mut sums) = (vec![0.0; columns], vec![0; columns]);
        let parts = scales.chunks_mut(LANES).zip(sums.chunks_mut(LANES)).zip(of_panels);
        for ((scales, sums), (of_panel, sums_of_panel)) in parts {
            scales.copy_from_slice(&of_panel[..scales.len()]);
            sums.copy_from_slice(&sums_of_panel[..sums.len()]);
        }
        Self { panels, scales, sums }
    }
}

/// Writes a panel of zeros; gives the scales of its columns and the sums of their numbers.
#[inline(always)]
fn quantize_panel(
    values: &[f32],
    strides: Matrix<'_>,
    [depth, width]: [usize; 2],
    words: &mut [[u32; LANES]],
) -> ([f32; LANES], [i32; LANES]) {
    let at = |row: usize, column: usize| values[row * strides.row_stride + column * strides.column_stride];
    let mut largest = [0.0_f32; LANES];
    for row in 0..depth {
        for (column, largest) in largest[..width].iter_mut().enumerate() {
            let size = at(row, column).abs();
            // A NaN stays, and makes the scale one.
            *largest = if size.is_nan() || size > *largest { size } else { *largest };
        }
    }
    let scales = largest.map(|largest| largest / LARGEST);
    let inverses = scales.map(inverse);
    let mut sums = [0; LANES];
    for row in 0..depth {
        for column in 0..width {
            let number = (at(row, column) * inverses[column]).round_ties_even() as i8;
            sums[column] += i32::from(number);
            words[row / 4][column] |= u32::from(number.cast_unsigned()) << (8 * (row % 4));
        }
    }
    (scales, sums)
}

/// What numbers are multiplied by; 0 where the reciprocal of the scale could be infinite.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 }
}

/// A left matrix, quantised by row.
pub struct QuantizedRows {
    /// `[rows, steps]`
    words: Vec<u32>,
    /// Of each row.
    scales: Vec<f32>,
}

impl QuantizedRows {
    /// Quantises `[rows, depth]`, row-major. A row with a number that is not finite has a scale that is not.
    pub fn new(values: &[f32], rows: usize) -> Self {
        let depth = values.len().checked_div(rows).unwrap_or(0);
        let steps = depth.div_ceil(4);
        let (mut words, mut scales) = (vec![0; rows * steps], vec![0.0; rows]);
        if steps > 0 {
            let tasks = words.par_chunks_mut(TASK_ROWS * steps).zip(scales.par_chunks_mut(TASK_ROWS));
            let tasks = tasks.zip(values.par_chunks(TASK_ROWS * depth));
            tasks.for_each(|((words, scales), values)| {
                let rows = words.chunks_exact_mut(steps).zip(values.chunks_exact(depth));
                for ((words, values), scale) in rows.zip(scales) {
                    *scale = vectorized(
                        #[inline(always)]
                        || quantize_row(values, words),
                    );
                }
            });
        }
        Self { words, scales }
    }
}

/// Writes the words of a row and gives its scale.
#[inline(always)]
fn quantize_row(values: &[f32], words: &mut [u32]) -> f32 {
    // Zero, or NaN where a number is not finite.
    let (mut most, mut odd) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (lanes, rest) = values.as_chunks::<LANES>();
    for values in lanes {
        for lane in 0..LANES {
            most[lane] = most[lane].max(values[lane].abs());
            odd[lane] += values[lane] * 0.0;
        }
    }
    let largest = rest.iter().chain(&most).fold(0.0_f32, |most, value| most.max(value.abs()));
    let odd: f32 = rest.iter().map(|value| value * 0.0).chain(odd).sum();
    let scale = largest / LARGEST + odd;
    let inverse = inverse(scale);
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    let (whole, words_of_rest) = words.split_at_mut(blocks.len() * LANES);
    for (words, values) in whole.as_chunks_mut().0.iter_mut().zip(blocks) {
        quantize_block(values, inverse, words);
    }
    // What a word lacks of four numbers is multiplied by zeros.
    let (mut block, mut words) = ([0.0; BLOCK], [0; LANES]);
    block[..rest.len()].copy_from_slice(rest);
    quantize_block(&block, inverse, &mut words);
    words_of_rest.copy_from_slice(&words[..words_of_rest.len()]);
    scale
}

/// Writes the words of some values, each times `inverse`, which are 127 in size at most.
#[inline(always)]
fn quantize_block(values: &[f32; BLOCK], inverse: f32, words: &mut [u32; LANES]) {
    let mut numbers = [0_u8; BLOCK];
    for (number, value) in numbers.iter_mut().zip(values) {
        // The last byte of the sum is the nearest integer, of two the even one; a cast would first look for NaN.
        *number = ((value * inverse + ROUNDER).to_bits() as u8).wrapping_add(OFFSET as u8);
    }
    let (numbers, _) = numbers.as_chunks();
    words.iter_mut().zip(numbers).for_each(|(word, numbers)| *word = u32::from_le_bytes(*numbers));
}

/// What integers become.
struct Scaled<'a> {
    rows: &'a [f32],
    right: &'a Int8Matrix,
    start: Start<'a>,
}

impl Store<i32> for Scaled<'_> {
    #[inline(always)]
    fn store(&self, row: usize, column: usize, _: bool, sums: &[i32; LANES], out: &mut [f32]) {
        let (width, scale) = (out.len(), self.rows[row]);
        let (scales, offsets) = (&self.right.scales[column..][..width], &self.right.sums[column..][..width]);
        let mut values = [0.0_f32; LANES];
        for (((value, sum), of_column), offset) in values.iter_mut().zip(sums).zip(scales).zip(offsets) {
            *value = (sum - OFFSET * offset) as f32 * (scale * of_column);
        }
        if let (Start::Zero, Ok(out)) = (self.start, <&mut [f32; LANES]>::try_from(&mut *out)) {
            *out = values; // A copy of a length that is not known is a call.
            return;
        }
        match self.start {
            Start::Zero => out.copy_from_slice(&values[..width]),
            Start::Row(start) => {
                let start = &start[column..][..width];
                out.iter_mut().zip(values).zip(start).for_each(|((out, value), start)| *out = value + start);
            }
            Start::Add => out.iter_mut().zip(values).for_each(|(out, value)| *out += value),
        }
    }

    fn adds(&self) -> bool {
        matches!(self.start, Start::Add)
    }
}

/// `out = left right`, followed by an activation.
///
/// # Shapes
/// - out: `[rows, columns]`
///
/// # Panics
/// If the depth is so large that a sum could leave 32 bits: more than 65,536.
pub fn multiply(
    left: &QuantizedRows,
    right: &Int8Matrix,
    start: Start<'_>,
    finish: Finish<'_>,
    out: &mut [f32],
) {
    let panels = &right.panels;
    assert!(panels.steps <= 16_384, "int8: a depth of {} is too large", 4 * panels.steps);
    let store = Scaled { rows: &left.scales, right, start };
    // Integers have to be summed before they are scaled: one block.
    let block = panels.steps.max(1);
    let product = Product { rows: left.scales.len(), left: &left.words, right: panels, block, store };
    #[cfg(target_arch = "x86_64")]
    if let Some(dot) = super::x86::Avx512Vnni::detect() {
        return product.compute(dot, finish, out);
    } else if let Some(dot) = super::x86::AvxVnni::detect() {
        return product.compute(dot, finish, out);
    }
    product.compute(PlainInt8, finish, out);
}
