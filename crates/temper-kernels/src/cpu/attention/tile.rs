//! Products of rows with packed panels, tile by tile.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::panels::{PANEL, Panels};
use super::rows::Rows;

/// Rows of a tile: with `N = 2` vectors a panel, 12 of the 16 AVX2 registers are accumulators. With one vector a panel,
/// twice as many rows: fewer sums would wait for each other.
#[inline(always)]
const fn tile_rows(vectors: usize) -> usize {
    if vectors == 1 { 12 } else { 6 }
}

/// Where a product goes: row `i` begins at `i * stride`, panel `j` of columns at `j * PANEL`.
pub struct Target<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    /// Adds to what is there instead of replacing it.
    pub accumulate: bool,
}

/// `left * right`, `[left.count, left.width] x [left.width, panels * PANEL]`.
pub fn multiply(left: Rows<'_>, right: Panels<'_>, target: Target<'_>) {
    assert_eq!(left.width, right.rows.len(), "inner sizes of a product");
    Arch::new().dispatch(Multiply { left, right, target });
}

/// `left^T * right`, `[left.width, left.count] x [left.count, panels * PANEL]`.
pub fn multiply_transposed(left: Rows<'_>, right: Panels<'_>, target: Target<'_>) {
    assert_eq!(left.count, right.rows.len(), "inner sizes of a transposed product");
    Arch::new().dispatch(MultiplyTransposed { left, right, target });
}

struct Multiply<'a> {
    left: Rows<'a>,
    right: Panels<'a>,
    target: Target<'a>,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if 2 * S::F32_LANES <= PANEL { self.run::<S, 2>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(self, simd: S) {
        let Multiply { left, right, mut target } = self;
        for panel in 0..right.count() {
            let lines = right.panel(panel);
            for rows in tiles(left.count, tile_rows(N)) {
                let tile = left.slice(rows.clone());
                let place = Place { row: rows.start, column: panel * PANEL };
                match tile.count {
                    12 => row_tile::<S, 12, N>(simd, tile, lines, &mut target, place),
                    11 => row_tile::<S, 11, N>(simd, tile, lines, &mut target, place),
                    10 => row_tile::<S, 10, N>(simd, tile, lines, &mut target, place),
                    9 => row_tile::<S, 9, N>(simd, tile, lines, &mut target, place),
                    8 => row_tile::<S, 8, N>(simd, tile, lines, &mut target, place),
                    7 => row_tile::<S, 7, N>(simd, tile, lines, &mut target, place),
                    6 => row_tile::<S, 6, N>(simd, tile, lines, &mut target, place),
                    5 => row_tile::<S, 5, N>(simd, tile, lines, &mut target, place),
                    4 => row_tile::<S, 4, N>(simd, tile, lines, &mut target, place),
                    3 => row_tile::<S, 3, N>(simd, tile, lines, &mut target, place),
                    2 => row_tile::<S, 2, N>(simd, tile, lines, &mut target, place),
                    _ => row_tile::<S, 1, N>(simd, tile, lines, &mut target, place),
                }
            }
        }
    }
}

struct MultiplyTransposed<'a> {
    left: Rows<'a>,
    right: Panels<'a>,
    target: Target<'a>,
}

impl WithSimd for MultiplyTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if 2 * S::F32_LANES <= PANEL { self.run::<S, 2>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl MultiplyTransposed<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(self, simd: S) {
        let MultiplyTransposed { left, right, mut target } = self;
        for panel in 0..right.count() {
            let lines = right.panel(panel);
            for rows in tiles(left.width, tile_rows(N)) {
                let place = Place { row: rows.start, column: panel * PANEL };
                match rows.len() {
                    12 => column_tile::<S, 12, N>(simd, left, lines, &mut target, place),
                    11 => column_tile::<S, 11, N>(simd, left, lines, &mut target, place),
                    10 => column_tile::<S, 10, N>(simd, left, lines, &mut target, place),
                    9 => column_tile::<S, 9, N>(simd, left, lines, &mut target, place),
                    8 => column_tile::<S, 8, N>(simd, left, lines, &mut target, place),
                    7 => column_tile::<S, 7, N>(simd, left, lines, &mut target, place),
                    6 => column_tile::<S, 6, N>(simd, left, lines, &mut target, place),
                    5 => column_tile::<S, 5, N>(simd, left, lines, &mut target, place),
                    4 => column_tile::<S, 4, N>(simd, left, lines, &mut target, place),
                    3 => column_tile::<S, 3, N>(simd, left, lines, &mut target, place),
                    2 => column_tile::<S, 2, N>(simd, left, lines, &mut target, place),
                    _ => column_tile::<S, 1, N>(simd, left, lines, &mut target, place),
                }
            }
        }
    }
}

/// Cuts `rows` into the fewest tiles of `most` rows or fewer, of sizes as even as possible: a last tile of one row would
/// leave most of the arithmetic units idle.
#[inline(always)]
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(most);
    let (small, larger) = (rows / count.max(1), rows % count.max(1));
    (0..count).map(move |tile| {
        let start = tile * small + tile.min(larger);
        start..start + small + usize::from(tile < larger)
    })
}

/// First row and column of a tile in the target.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
}

/// `M` rows of `left` times one panel.
#[inline(always)]
fn row_tile<S: Simd, const M: usize, const N: usize>(
    simd: S,
    left: Rows<'_>,
    panel: &[[f32; PANEL]],
    target: &mut Target<'_>,
    place: Place,
) {
    let depth = left.width;
    let panel = &panel[..depth];
    let mut rows = [panel.as_flattened(); M];
    for (m, row) in rows.iter_mut().enumerate() {
        *row = &left.values[m * left.stride..][..depth];
    }
    for part in parts::<S, N>() {
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        for k in 0..depth {
            let right = load::<S, N>(simd, &panel[k], part);
            for m in 0..M {
                let factor = simd.splat_f32s(rows[m][k]);
                for n in 0..N {
                    sums[m][n] = simd.mul_add_e_f32s(factor, right[n], sums[m][n]);
                }
            }
        }
        store(simd, sums, target, Place { column: place.column + part, ..place });
    }
}

/// `M` columns of `left`, from `place.row` on, transposed, times one panel.
#[inline(always)]
fn column_tile<S: Simd, const M: usize, const N: usize>(
    simd: S,
    left: Rows<'_>,
    panel: &[[f32; PANEL]],
    target: &mut Target<'_>,
    place: Place,
) {
    for part in parts::<S, N>() {
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        for (row, line) in left.values.chunks_exact(left.stride).zip(panel) {
            let right = load::<S, N>(simd, line, part);
            let factors = &row[place.row..][..M];
            for m in 0..M {
                let factor = simd.splat_f32s(factors[m]);
                for n in 0..N {
                    sums[m][n] = simd.mul_add_e_f32s(factor, right[n], sums[m][n]);
                }
            }
        }
        store(simd, sums, target, Place { column: place.column + part, ..place });
    }
}

/// Where the groups of `N` vectors of a panel begin: one group with AVX2, more on shorter vectors.
#[inline(always)]
fn parts<S: Simd, const N: usize>() -> impl Iterator<Item = usize> {
    (0..PANEL).step_by(N * S::F32_LANES)
}

#[inline(always)]
fn load<S: Simd, const N: usize>(simd: S, line: &[f32; PANEL], part: usize) -> [S::f32s; N] {
    let (source, _) = S::as_simd_f32s(&line[part..part + N * S::F32_LANES]);
    let mut vectors = [simd.splat_f32s(0.0); N];
    vectors.copy_from_slice(source);
    vectors
}

#[inline(always)]
fn store<S: Simd, const M: usize, const N: usize>(
    simd: S,
    sums: [[S::f32s; N]; M],
    target: &mut Target<'_>,
    place: Place,
) {
    for (m, sums) in sums.into_iter().enumerate() {
        let start = (place.row + m) * target.stride + place.column;
        let (vectors, _) = S::as_mut_simd_f32s(&mut target.values[start..start + N * S::F32_LANES]);
        for (vector, sum) in vectors.iter_mut().zip(sums) {
            *vector = if target.accumulate { simd.add_f32s(*vector, sum) } else { sum };
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Scalar, Scalar128b, Scalar512b};

    use super::{super::panels::PanelBuffer, *};

    /// Both products with vectors of any length, added to a target of ones or replacing it.
    fn check<S: Simd>(simd: S, (rows, depth, columns): (usize, usize, usize), accumulate: bool) {
        let value = |row: usize, column: usize| ((row * 7 + column * 3) % 11) as f32 - 5.0;
        let fill = |rows: usize, columns: usize, stride: usize| -> Vec<f32> {
            (0..rows * stride)
                .map(|i| if i % stride < columns { value(i / stride, i % stride) } else { 99.0 })
                .collect()
        };
        let right = fill(depth, columns, columns);
        let mut buffer = PanelBuffer::default();
        let matrix = Rows { values: &right, stride: columns, count: depth, width: columns };
        let right = buffer.pack(matrix, 2.0);
        let width = right.width();

        let (plain, transposed) = (fill(rows, depth, depth + 3), fill(depth, rows, rows + 3));
        let left = Rows { values: &plain, stride: depth + 3, count: rows, width: depth };
        let left_transposed = Rows { values: &transposed, stride: rows + 3, count: depth, width: rows };
        let (mut product, mut product_transposed) = (vec![1.0; rows * width], vec![1.0; rows * width]);
        let target = Target { values: &mut product, stride: width, accumulate };
        Multiply { left, right: right.clone(), target }.with_simd(simd);
        let target = Target { values: &mut product_transposed, stride: width, accumulate };
        MultiplyTransposed { left: left_transposed, right, target }.with_simd(simd);

        for row in 0..rows {
            for column in 0..columns {
                let sum = |left: fn(usize, usize) -> (usize, usize)| -> f32 {
                    let factor = |k| {
                        let (row, column) = left(row, k);
                        value(row, column)
                    };
                    (0..depth).map(|k| factor(k) * value(k, column) * 2.0).sum::<f32>()
                        + f32::from(u8::from(accumulate))
                };
                assert_eq!(product[row * width + column], sum(|row, k| (row, k)));
                assert_eq!(product_transposed[row * width + column], sum(|row, k| (k, row)));
            }
        }
    }

    #[test]
    fn products_are_exact_with_vectors_of_any_length() {
        for rows in 1..=26 {
            for sizes in [(rows, 1, 1), (rows, 5, 16), (rows, 9, 17), (rows, 0, 3)] {
                for accumulate in [false, true] {
                    check(Scalar, sizes, accumulate);
                    check(Scalar128b, sizes, accumulate);
                    check(Scalar512b, sizes, accumulate);
                }
            }
        }
    }

    #[test]
    fn tiles_cover_the_rows_in_order_and_are_even() {
        for rows in 0..100 {
            let tiles: Vec<_> = tiles(rows, 6).collect();
            assert_eq!(tiles.len(), rows.div_ceil(6));
            assert_eq!(tiles.iter().cloned().flatten().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            let sizes = || tiles.iter().map(ExactSizeIterator::len);
            assert!(sizes().max().unwrap_or(0) <= 6.min(sizes().min().unwrap_or(0) + 1));
        }
    }
}
