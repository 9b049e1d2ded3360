//! Products of a few rows with columns that are contiguous in memory, as those of a vocabulary are when text is generated.
//!
//! A sum is a chain of its own, in the order of the packed product. The sums of 16 columns grow side by side; with AVX-512,
//! 16 numbers of each are read at once and transposed in registers.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m512;

use pulp::Arch;
#[cfg(target_arch = "x86_64")]
use pulp::{NullaryFnOnce, x86::V4};

use super::super::vectorized;
use super::TILE_COLUMNS;
use super::left_block::LeftBlock;

/// Columns that are contiguous: number `i` begins at `i * stride`.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    /// Numbers of a column.
    pub depth: usize,
}

impl<'a> Columns<'a> {
    #[inline(always)]
    fn from<const N: usize>(self, first: usize) -> [&'a [f32]; N] {
        std::array::from_fn(
            #[inline(always)]
            |index| &self.values[(first + index) * self.stride..][..self.depth],
        )
    }
}

/// The products of rows with the first columns, `[rows, width]`.
pub fn columns_sums(left: LeftBlock<'_>, columns: Columns<'_>, width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; left.rows().count() * width];
    let whole = width / TILE_COLUMNS * TILE_COLUMNS;
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => {
            simd.vectorize(TransposedTiles { simd, left, columns, whole, width, sums: &mut sums })
        }
        _ => vectorized(
            #[inline(always)]
            || {
                for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                    for (tile, sums) in sums.as_chunks_mut::<TILE_COLUMNS>().0.iter_mut().enumerate() {
                        *sums = inner_products(left, columns.from(tile * TILE_COLUMNS));
                    }
                }
            },
        ),
    }
    vectorized(
        #[inline(always)]
        || {
            for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                for (index, sum) in sums[whole..].iter_mut().enumerate() {
                    [*sum] = inner_products(left, columns.from(whole + index));
                }
            }
        },
    );
    sums
}

/// The products of a row with `N` columns. Each sum is a chain of its own; together they keep the processor busy.
#[inline(always)]
fn inner_products<const N: usize>(left: &[f32], columns: [&[f32]; N]) -> [f32; N] {
    let mut sums = [0.0; N];
    add_products(left, columns, &mut sums);
    sums
}

/// Adds the products of a row with `N` columns.
#[inline(always)]
fn add_products<const N: usize>(left: &[f32], columns: [&[f32]; N], sums: &mut [f32; N]) {
    let columns = columns.map(|column| &column[..left.len()]);
    for (depth, left) in left.iter().enumerate() {
        for (sum, column) in sums.iter_mut().zip(&columns) {
            *sum = left.mul_add(column[depth], *sum);
        }
    }
}

/// Writes the sums of whole tiles.
#[cfg(target_arch = "x86_64")]
struct TransposedTiles<'a> {
    simd: V4,
    left: LeftBlock<'a>,
    columns: Columns<'a>,
    /// Columns of whole tiles.
    whole: usize,
    /// From a row of the sums to the next.
    width: usize,
    /// `[rows, width]`
    sums: &'a mut [f32],
}

#[cfg(target_arch = "x86_64")]
impl NullaryFnOnce for TransposedTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, left, columns, whole, width, sums } = self;
        for first in (0..whole).step_by(TILE_COLUMNS) {
            let columns: [&[f32]; TILE_COLUMNS] = columns.from(first);
            let blocks = columns.map(|column| column.as_chunks::<TILE_COLUMNS>().0);
            for block in 0..blocks[0].len() {
                let mut numbers = [simd.avx512f._mm512_setzero_ps(); TILE_COLUMNS];
                for (numbers, column) in numbers.iter_mut().zip(&blocks) {
                    *numbers = bytemuck::cast(column[block]);
                }
                let numbers = transposed(simd, numbers);
                for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                    let (sums, _) =
                        sums[first..].split_first_chunk_mut::<TILE_COLUMNS>().expect("a whole tile");
                    let (left, _) =
                        left[block * TILE_COLUMNS..].split_first_chunk::<TILE_COLUMNS>().expect("a block");
                    let mut sum: __m512 = bytemuck::cast(*sums);
                    for (numbers, left) in numbers.iter().zip(left) {
                        sum = simd.avx512f._mm512_fmadd_ps(
                            bytemuck::cast([*left; TILE_COLUMNS]),
                            *numbers,
                            sum,
                        );
                    }
                    *sums = bytemuck::cast(sum);
                }
            }
            let read = blocks[0].len() * TILE_COLUMNS;
            for (sums, left) in sums.chunks_exact_mut(width).zip(left.rows()) {
                let (sums, _) = sums[first..].split_first_chunk_mut().expect("a whole tile");
                add_products(&left[read..], columns.map(|column| &column[read..]), sums);
            }
        }
    }
}

/// Exchanges rows and columns of 16 x 16 numbers, in four steps: pairs of rows, fours of rows, and then the quarters of
/// registers among eight rows and among all.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transposed(simd: V4, rows: [__m512; 16]) -> [__m512; 16] {
    let f = simd.avx512f;
    let (mut pairs, mut fours, mut eights, mut all) = (rows, rows, rows, rows);
    for i in (0..16).step_by(2) {
        pairs[i] = f._mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = f._mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // Number 4 g + c: of rows 4 g to 4 g + 3, the columns c, 4 + c, 8 + c and 12 + c.
    for i in (0..16).step_by(4) {
        for pair in 0..2 {
            let first = f._mm512_castps_pd(pairs[i + pair]);
            let second = f._mm512_castps_pd(pairs[i + pair + 2]);
            fours[i + 2 * pair] = f._mm512_castpd_ps(f._mm512_unpacklo_pd(first, second));
            fours[i + 2 * pair + 1] = f._mm512_castpd_ps(f._mm512_unpackhi_pd(first, second));
        }
    }
    // Of the rows from 8 g on, number 8 g + c: columns c and 8 + c, number 8 g + 4 + c: columns 4 + c and 12 + c.
    for i in (0..16).step_by(8) {
        for c in 0..4 {
            let (first, second) = (fours[i + c], fours[i + 4 + c]);
            eights[i + c] = f._mm512_shuffle_f32x4::<0b10_00_10_00>(first, second);
            eights[i + 4 + c] = f._mm512_shuffle_f32x4::<0b11_01_11_01>(first, second);
        }
    }
    for c in 0..8 {
        let (first, second) = (eights[c], eights[8 + c]);
        all[c] = f._mm512_shuffle_f32x4::<0b10_00_10_00>(first, second);
        all[8 + c] = f._mm512_shuffle_f32x4::<0b11_01_11_01>(first, second);
    }
    all
}
