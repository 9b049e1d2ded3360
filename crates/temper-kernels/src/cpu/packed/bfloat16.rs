//! Products in bfloat16: factors are rounded to it, sums are f32.

use std::borrow::Cow;

use rayon::prelude::*;

use super::super::matrix::{Finish, Matrix, Start};
use super::super::vectorized;
use super::dot::{LANES, WidenedBf16};
use super::product::{Panels, Product, Store};

/// Steps of a block of the depth: 4,096 factors, so that two panels have 256 KiB.
const BLOCK: usize = 2048;
/// Rows of the left matrix that a task packs.
const TASK_ROWS: usize = 48;

/// The bits of the nearest number in bfloat16, of two the even one; a NaN stays one.
#[inline(always)]
pub fn to_bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded }) as u16
}

/// The number that bits of bfloat16 stand for.
#[inline(always)]
pub fn from_bfloat16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// What a factor may be stored as: f32, or the bits of bfloat16.
pub trait Stored: Copy + Sync {
    /// The bits of the nearest number in bfloat16.
    fn bits(self) -> u16;
}

impl Stored for f32 {
    #[inline(always)]
    fn bits(self) -> u16 {
        to_bfloat16(self)
    }
}

impl Stored for u16 {
    #[inline(always)]
    fn bits(self) -> u16 {
        self
    }
}

#[inline(always)]
fn word(first: impl Stored, second: impl Stored) -> u32 {
    u32::from(first.bits()) | u32::from(second.bits()) << 16
}

/// `[depth, columns]` as panels.
pub fn pack_right<T: Stored>([depth, columns]: [usize; 2], right: Matrix<'_, T>) -> Panels {
    let (panels, _) = Panels::new(columns, depth.div_ceil(2), |column, words| {
        let width = LANES.min(columns - column);
        let values = &right.values[column * right.column_stride..];
        vectorized(
            #[inline(always)]
            || pack_panel(values, right, [depth, width], words),
        );
    });
    panels
}

#[inline(always)]
fn pack_panel<T: Stored>(
    values: &[T],
    strides: Matrix<'_, T>,
    [depth, width]: [usize; 2],
    words: &mut [[u32; LANES]],
) {
    let (pairs, last) = words.split_at_mut(depth / 2);
    if width == LANES && strides.column_stride == 1 {
        for (pair, words) in pairs.iter_mut().enumerate() {
            let rows = [0, 1].map(|row| &values[(2 * pair + row) * strides.row_stride..][..LANES]);
            for (lane, column) in words.iter_mut().enumerate() {
                *column = word(rows[0][lane], rows[1][lane]);
            }
        }
    } else if width == LANES && strides.row_stride == 1 {
        let columns: [&[T]; LANES] =
            std::array::from_fn(|column| &values[column * strides.column_stride..][..depth]);
        pack_columns(columns, pairs);
    } else {
        let at =
            |row: usize, column: usize| values[row * strides.row_stride + column * strides.column_stride];
        for (pair, words) in pairs.iter_mut().enumerate() {
            for (column, packed) in words[..width].iter_mut().enumerate() {
                *packed = word(at(2 * pair, column), at(2 * pair + 1, column));
            }
        }
    }
    if let [last] = last {
        for (column, packed) in last[..width].iter_mut().enumerate() {
            *packed = word(values[(depth - 1) * strides.row_stride + column * strides.column_stride], 0_u16);
        }
    }
}

/// Columns that are contiguous, so that a word is two values side by side.
#[inline(always)]
fn pack_columns<T: Stored>(columns: [&[T]; LANES], words: &mut [[u32; LANES]]) {
    for (block, words) in words.chunks_mut(LANES).enumerate() {
        let mut rows = [[0_u32; LANES]; LANES];
        for (row, column) in rows.iter_mut().zip(&columns) {
            let values = &column[2 * LANES * block..][..2 * words.len()];
            for (packed, pair) in row.iter_mut().zip(values.as_chunks::<2>().0) {
                *packed = word(pair[0], pair[1]);
            }
        }
        for (step, words) in words.iter_mut().enumerate() {
            for (packed, row) in words.iter_mut().zip(&rows) {
                *packed = row[step];
            }
        }
    }
}

/// As [`pack_left`]; a row-major matrix of bits is there already, where rows are pairs.
pub fn pack_left_bits<'a>([rows, depth]: [usize; 2], left: Matrix<'a, u16>) -> Cow<'a, [u32]> {
    let is_contiguous = left.column_stride == 1 && left.row_stride == depth && depth.is_multiple_of(2);
    match bytemuck::try_cast_slice(&left.values[..rows * depth]) {
        Ok(words) if is_contiguous && cfg!(target_endian = "little") => Cow::Borrowed(words),
        _ => Cow::Owned(pack_left([rows, depth], left)),
    }
}

/// `[rows, depth]` as words, `[rows, depth / 2]`.
pub fn pack_left<T: Stored>([rows, depth]: [usize; 2], left: Matrix<'_, T>) -> Vec<u32> {
    let steps = depth.div_ceil(2);
    let mut words = vec![0; rows * steps];
    if words.is_empty() {
        return words;
    }
    words.par_chunks_mut(TASK_ROWS * steps).enumerate().for_each(|(task, words)| {
        let values = &left.values[task * TASK_ROWS * left.row_stride..];
        vectorized(
            #[inline(always)]
            || pack_rows(values, left, depth, words),
        );
    });
    words
}

#[inline(always)]
fn pack_rows<T: Stored>(values: &[T], strides: Matrix<'_, T>, depth: usize, words: &mut [u32]) {
    let steps = depth.div_ceil(2);
    if strides.column_stride == 1 {
        for (row, words) in words.chunks_exact_mut(steps).enumerate() {
            let (pairs, rest) = values[row * strides.row_stride..][..depth].as_chunks::<2>();
            for (packed, pair) in words.iter_mut().zip(pairs) {
                *packed = word(pair[0], pair[1]);
            }
            if let [last] = rest {
                words[steps - 1] = word(*last, 0_u16);
            }
        }
        return;
    }
    let rows = words.len() / steps;
    for step in 0..steps {
        let first = &values[2 * step * strides.column_stride..];
        for row in 0..rows {
            let first = &first[row * strides.row_stride..];
            words[row * steps + step] = match 2 * step + 1 < depth {
                true => word(first[0], first[strides.column_stride]),
                false => word(first[0], 0_u16),
            };
        }
    }
}

/// What sums start at; see [`Start`].
struct Sums<'a>(Start<'a>);

impl Store<f32> for Sums<'_> {
    #[inline(always)]
    fn store(&self, _: usize, column: usize, is_first: bool, sums: &[f32; LANES], out: &mut [f32]) {
        match self.0 {
            Start::Zero if is_first => out.copy_from_slice(&sums[..out.len()]),
            Start::Row(start) if is_first => {
                let start = &start[column..][..out.len()];
                for ((out, sum), start) in out.iter_mut().zip(sums).zip(start) {
                    *out = start + sum;
                }
            }
            _ => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
        }
    }

    fn adds(&self) -> bool {
        matches!(self.0, Start::Add)
    }
}

/// Whether this processor multiplies bfloat16 faster than f32.
pub fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return super::x86::Avx512Bf16::where_fast().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `out = left right`, followed by an activation. Both factors are packed. The instruction is used even where products of f32
/// are as fast: with few rows it has less to do.
///
/// # Shapes
/// - left: `[rows, steps]` of [`pack_left`]; out: `[rows, columns]`
pub fn multiply(left: &[u32], right: &Panels, start: Start<'_>, finish: Finish<'_>, out: &mut [f32]) {
    let rows = out.len().checked_div(right.columns).unwrap_or(0);
    let product = Product { rows, left, right, block: BLOCK, store: Sums(start) };
    #[cfg(target_arch = "x86_64")]
    if let Some(dot) = super::x86::Avx512Bf16::detect() {
        return product.compute(dot, finish, out);
    }
    product.compute(WidenedBf16, finish, out);
}
