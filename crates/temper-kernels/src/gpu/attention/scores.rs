//! Products of tiles, sixteen rows a plane.

use cubecl::prelude::*;

use crate::gpu::tensor_cores::{COLUMNS, INNER, Tile, half, load, multiply, places, zeros};

/// The factors of a plane's rows: fragments along the width of a head.
#[cube]
pub(super) fn left_factors<T: Float, N: Size, P: Size>(
    stage: &Shared<[Vector<T, N>]>,
    start: usize,
    row: u32,
    #[comptime] tile: Tile,
    #[comptime] head: usize,
) -> Sequence<Array<Vector<T, P>>> {
    let places = places(row, 0u32, comptime!(head / INNER), tile, false);
    let mut factors = Sequence::<Array<Vector<T, P>>>::new();
    #[unroll]
    for part in 0..comptime!(head / INNER) {
        let place = start + *places.index(part) as usize;
        factors.push(load::<T, N, P>(stage, place, 0usize, tile, false));
    }
    factors
}

/// `left rightᵀ` of a plane's rows and all lines of a tile: a sum for each eight lines.
#[cube]
pub(super) fn along_head<T: Float, N: Size, P: Size>(
    left: &Sequence<Array<Vector<T, P>>>,
    right: &Shared<[Vector<T, N>]>,
    start: usize,
    #[comptime] tile: Tile,
) -> Sequence<Array<Vector<f32, P>>> {
    let mut sums = Sequence::<Array<Vector<f32, P>>>::new();
    #[unroll]
    for _ in 0..comptime!(tile.lines / COLUMNS) {
        sums.push(zeros::<P>());
    }
    let places = places(0u32, 0u32, left.len(), tile, true);
    #[unroll]
    for part in 0..left.len() {
        #[unroll]
        for pair in 0..comptime!(tile.lines / COLUMNS / 2) {
            let place = start + *places.index(part) as usize;
            let rights = load::<T, N, P>(right, place, pair, tile, false);
            #[unroll]
            for number in 0..2usize {
                let right = half::<T, P>(&rights, number);
                multiply::<T, P>(left.index(part), &right, sums.index_mut(comptime!(2 * pair + number)));
            }
        }
    }
    sums
}

/// `sums += weights right` for a plane's rows: weights along the lines of a tile, sums along the width of a head.
#[cube]
pub(super) fn along_lines<T: Float, N: Size, P: Size>(
    weights: &Sequence<Array<Vector<T, P>>>,
    right: &Shared<[Vector<T, N>]>,
    start: usize,
    sums: &mut Sequence<Array<Vector<f32, P>>>,
    #[comptime] tile: Tile,
) {
    let places = places(0u32, 0u32, comptime!(tile.chunks / 2), tile, false);
    #[unroll]
    for part in 0..weights.len() {
        #[unroll]
        for pair in 0..comptime!(tile.chunks / 2) {
            let place = start + *places.index(pair) as usize;
            let rights = load::<T, N, P>(right, place, part, tile, true);
            #[unroll]
            for number in 0..2usize {
                let right = half::<T, P>(&rights, number);
                multiply::<T, P>(weights.index(part), &right, sums.index_mut(comptime!(2 * pair + number)));
            }
        }
    }
}

/// Sums of a plane's rows as factors of the next product: a sum's elements are where a left fragment has them.
#[cube]
pub(super) fn as_factors<T: Float, P: Size>(
    sums: &Sequence<Array<Vector<f32, P>>>,
) -> Sequence<Array<Vector<T, P>>> {
    let mut factors = Sequence::<Array<Vector<T, P>>>::new();
    #[unroll]
    for part in 0..comptime!(sums.len() / 2) {
        let mut factor = Array::<Vector<T, P>>::new(4usize);
        let (left, right) = (sums.index(comptime!(2 * part)), sums.index(comptime!(2 * part + 1)));
        factor[0] = Vector::cast_from(left[0]);
        factor[1] = Vector::cast_from(left[1]);
        factor[2] = Vector::cast_from(right[0]);
        factor[3] = Vector::cast_from(right[1]);
        factors.push(factor);
    }
    factors
}

/// Sums of zeros along the width of a head.
#[cube]
pub(super) fn no_sums<P: Size>(#[comptime] head: usize) -> Sequence<Array<Vector<f32, P>>> {
    let mut sums = Sequence::<Array<Vector<f32, P>>>::new();
    #[unroll]
    for _ in 0..comptime!(head / COLUMNS) {
        sums.push(zeros::<P>());
    }
    sums
}

/// The sum over the four units that share a row.
#[cube]
pub(super) fn over_row(value: f32) -> f32 {
    let pair = value + plane_shuffle_xor(value, 1u32);
    pair + plane_shuffle_xor(pair, 2u32)
}

/// The largest of the four units that share a row.
#[cube]
pub(super) fn largest_of_row(value: f32) -> f32 {
    let pair = max(value, plane_shuffle_xor(value, 1u32));
    max(pair, plane_shuffle_xor(pair, 2u32))
}
