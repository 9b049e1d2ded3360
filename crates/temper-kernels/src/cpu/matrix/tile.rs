//! A tile: some rows of the left matrix times one panel of the right one, or two side by side.

use pulp::Simd;

use super::{Start, TILE_COLUMNS};

/// Sums of a tile: rows, panels, the vectors of a panel.
pub type Sums<S, const V: usize, const P: usize, const ROWS: usize> = [[[<S as Simd>::f32s; V]; P]; ROWS];

/// Where a tile finds its rows of the left matrix. Each value is read where it is multiplied: one that is read before is
/// copied to all lanes by a unit that Intel's processors need for multiplication. Each kind of left matrix has a loop of its own:
/// given a closure instead, the compiler checks every index, at half the speed.
pub trait Left {
    /// Products of `ROWS` rows, from `first` on, with the columns of `P` panels.
    fn sums<S: Simd, const V: usize, const P: usize, const ROWS: usize>(
        &self,
        simd: S,
        first: usize,
        right: [&[[S::f32s; V]]; P],
    ) -> Sums<S, V, P, ROWS>;
}

/// Its rows, each contiguous.
pub struct RowMajor<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

impl Left for RowMajor<'_> {
    #[inline(always)]
    fn sums<S: Simd, const V: usize, const P: usize, const ROWS: usize>(
        &self,
        simd: S,
        first: usize,
        right: [&[[S::f32s; V]]; P],
    ) -> Sums<S, V, P, ROWS> {
        let steps = right[0].len();
        let right = right.map(|panel| &panel[..steps]);
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &self.values[(first + row) * self.stride..][..steps]);
        let mut sums = [[[simd.splat_f32s(0.0); V]; P]; ROWS];
        for depth in 0..steps {
            for (sums, row) in sums.iter_mut().zip(&rows) {
                add_products(simd, sums, row[depth], right.map(|panel| &panel[depth]));
            }
        }
        sums
    }
}

/// For each tile `[depth, rows]`, one after the other.
pub struct Tiles<'a> {
    pub values: &'a [f32],
}

impl Left for Tiles<'_> {
    #[inline(always)]
    fn sums<S: Simd, const V: usize, const P: usize, const ROWS: usize>(
        &self,
        simd: S,
        first: usize,
        right: [&[[S::f32s; V]]; P],
    ) -> Sums<S, V, P, ROWS> {
        let steps = right[0].len();
        let right = right.map(|panel| &panel[..steps]);
        let (tile, _) = self.values[first * steps..].as_chunks::<ROWS>();
        let tile = &tile[..steps];
        let mut sums = [[[simd.splat_f32s(0.0); V]; P]; ROWS];
        for depth in 0..steps {
            for (row, sums) in sums.iter_mut().enumerate() {
                add_products(simd, sums, tile[depth][row], right.map(|panel| &panel[depth]));
            }
        }
        sums
    }
}

/// Adds the products of a value with the columns of `P` panels.
#[inline(always)]
fn add_products<S: Simd, const V: usize, const P: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; P],
    value: f32,
    right: [&[S::f32s; V]; P],
) {
    let value = simd.splat_f32s(value);
    for (sums, right) in sums.iter_mut().zip(right) {
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = simd.mul_add_f32s(value, *right, *sum);
        }
    }
}

/// Where a tile goes.
pub struct Target<'a> {
    pub out: &'a mut [f32],
    pub stride: usize,
    pub width: usize,
    pub start: Start<'a>,
    pub column: usize,
}

/// The rows from `first` on times the columns of `P` panels.
#[inline(always)]
pub fn tile<S: Simd, const V: usize, const P: usize, const ROWS: usize, L: Left>(
    simd: S,
    left: &L,
    first: usize,
    right: [&[[S::f32s; V]]; P],
    target: Target<'_>,
) {
    let sums: Sums<S, V, P, ROWS> = left.sums(simd, first, right);
    for (row, sums) in sums.into_iter().enumerate() {
        let out = &mut target.out[row * target.stride..][..target.width];
        for (panel, (sums, out)) in sums.into_iter().zip(out.chunks_mut(TILE_COLUMNS)).enumerate() {
            store::<S, V>(simd, sums, target.start, target.column + panel * TILE_COLUMNS, out);
        }
    }
}

#[inline(always)]
fn store<S: Simd, const V: usize>(
    simd: S,
    sums: [S::f32s; V],
    start: Start<'_>,
    column: usize,
    out: &mut [f32],
) {
    if let Ok(out) = <&mut [f32; TILE_COLUMNS]>::try_from(&mut *out) {
        let (vectors, _) = S::as_mut_simd_f32s(out);
        let vectors: &mut [S::f32s; V] = vectors.try_into().expect("16 columns are V vectors");
        match start {
            Start::Zero => *vectors = sums,
            Start::Row(row) => {
                let (row, _) = S::as_simd_f32s(&row[column..column + TILE_COLUMNS]);
                for ((out, sum), bias) in vectors.iter_mut().zip(sums).zip(row) {
                    *out = simd.add_f32s(sum, *bias);
                }
            }
            Start::Add => {
                for (out, sum) in vectors.iter_mut().zip(sums) {
                    *out = simd.add_f32s(sum, *out);
                }
            }
        }
        return;
    }
    let mut values = [0.0; TILE_COLUMNS];
    S::as_mut_simd_f32s(&mut values).0.copy_from_slice(&sums);
    for (index, (out, value)) in out.iter_mut().zip(values).enumerate() {
        *out = match start {
            Start::Zero => value,
            Start::Row(row) => value + row[column + index],
            Start::Add => value + *out,
        };
    }
}
