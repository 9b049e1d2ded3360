//! The output of attention, and the logarithm of each row's sum.

use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::pattern::{Seen, is_seen, key_rows, query_rows, score, seen, sequence};
use super::scores::{along_head, along_lines, as_factors, largest_of_row, left_factors, no_sums, over_row};
use super::{Form, TILE, TiledInputs, UNITS, cubes_of};
use crate::gpu::launch::{empty, integers};
use crate::gpu::random::{Masks, RowMask, mask_factor, row_mask};
use crate::gpu::tensor_cores::{CHUNK, COLUMNS, LANES, ROWS, commit, fill, wait};

/// Below every score: where a row begins to look for its largest.
const LOWEST: f32 = -1e30;
/// The logarithm of a row that sees nothing: its weights, computed from it again, are zeros.
const NOTHING: f32 = 1e30;
/// Keys of a tile.
const KEYS: usize = 64;

#[cube(launch_unchecked)]
fn forward_kernel<T: Float, N: Size, P: Size>(
    query: &Tensor<Vector<T, N>>,
    key: &Tensor<Vector<T, N>>,
    value: &Tensor<Vector<T, N>>,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    slopes: &Tensor<f32>,
    output: &mut Tensor<Vector<T, P>>,
    logarithms: &mut Tensor<f32>,
    masks: &Masks,
    scale: f32,
    packed: u32,
    window: u32,
    #[comptime] form: Form,
    #[define(T)] _dtype: ElemType,
) {
    let of = sequence(CUBE_POS_Z as usize, query_bounds, key_bounds, offsets, window);
    let first = CUBE_POS_X * TILE as u32;
    if first < of.queries {
        let head = CUBE_POS_Y;
        let (own, passing) = comptime!((form.own(), form.passing()));
        let mut query_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(own.len()), 128usize);
        let mut key_stage =
            Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(2 * passing.len()), 128usize);
        let mut value_stage =
            Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(2 * passing.len()), 128usize);

        let of_queries = query_rows(&of, first, head, form);
        let key_head = head / comptime!(form.group as u32);
        // The tiles of keys that any of these queries sees.
        let last = min(first + TILE as u32, of.queries) - 1;
        let begin = seen(&of, first, form).first / KEYS as u32;
        let end = seen(&of, last, form).end.div_ceil(KEYS as u32);

        fill::<T, N>(query, &mut query_stage, 0usize, &of_queries, own, UNITS);
        let first_keys = key_rows(&of, begin * KEYS as u32, key_head, form);
        fill::<T, N>(key, &mut key_stage, 0usize, &first_keys, passing, UNITS);
        fill::<T, N>(value, &mut value_stage, 0usize, &first_keys, passing, UNITS);
        commit();
        wait(0usize);
        sync_cube();

        let plane_row = UNIT_POS / LANES as u32 * ROWS as u32;
        // Four units share a row of sums.
        let quarter = UNIT_POS_PLANE % 4;
        let factors = left_factors::<T, N, P>(&query_stage, 0usize, plane_row, own, comptime!(form.head));
        let row = first + plane_row + UNIT_POS_PLANE / 4;
        let mut sees = Sequence::<Seen>::new();
        sees.push(seen(&of, row, form));
        sees.push(seen(&of, row + 8, form));
        let mask_row = head * packed + of.query_start + row;
        let mut drops = Sequence::<RowMask>::new();
        drops.push(row_mask(masks, mask_row));
        drops.push(row_mask(masks, mask_row + 8));
        let mut slope = 0.0f32;
        if comptime!(form.has_slopes) {
            slope = slopes[head as usize];
        }

        let mut largest = Array::<f32>::new(2usize);
        let mut totals = Array::<f32>::new(2usize);
        #[unroll]
        for upper in 0..2usize {
            largest[upper] = LOWEST;
            totals[upper] = 0.0f32;
        }
        let mut sums = no_sums::<P>(comptime!(form.head));

        for tile in begin..end {
            let slot = ((tile - begin) % 2) as usize * comptime!(passing.len());
            if tile > begin {
                wait(0usize);
                sync_cube();
            }
            if tile + 1 < end {
                let other = ((tile - begin + 1) % 2) as usize * comptime!(passing.len());
                let next = key_rows(&of, (tile + 1) * KEYS as u32, key_head, form);
                fill::<T, N>(key, &mut key_stage, other, &next, passing, UNITS);
                fill::<T, N>(value, &mut value_stage, other, &next, passing, UNITS);
                commit();
            }
            let mut scores = along_head::<T, N, P>(&factors, &key_stage, slot, passing);
            let first_key = tile * KEYS as u32 + quarter * 2;
            #[unroll]
            for upper in 0..2usize {
                let seen = sees.index(upper);
                let position = of.offset + row + (8 * upper) as u32;
                let mut highest = LOWEST.runtime();
                #[unroll]
                for number in 0..comptime!(KEYS / COLUMNS) {
                    let mut pair = scores.index(number)[upper];
                    #[unroll]
                    for index in 0..2usize {
                        let key = first_key + (number * COLUMNS + index) as u32;
                        let score = score(pair.extract(index), scale, slope, key, position, form);
                        let score = select(is_seen(seen, key), score, LOWEST.runtime());
                        highest = max(highest, score);
                        pair.insert(index, score);
                    }
                    scores.index_mut(number)[upper] = pair;
                }
                let before = largest[upper];
                let after = max(before, largest_of_row(highest));
                let shrink = (before - after).exp();
                largest[upper] = after;
                let mut total = totals[upper] * shrink;
                #[unroll]
                for number in 0..comptime!(KEYS / COLUMNS) {
                    let mut pair = scores.index(number)[upper];
                    #[unroll]
                    for index in 0..2usize {
                        let key = first_key + (number * COLUMNS + index) as u32;
                        let weight = select(is_seen(seen, key), (pair.extract(index) - after).exp(), 0.0f32);
                        total += weight;
                        if comptime!(form.drops) {
                            pair.insert(index, weight * mask_factor(drops.index(upper), key));
                        } else {
                            pair.insert(index, weight);
                        }
                    }
                    scores.index_mut(number)[upper] = pair;
                }
                totals[upper] = total;
                #[unroll]
                for number in 0..comptime!(form.head / COLUMNS) {
                    let sum = sums.index(number)[upper] * Vector::new(shrink);
                    sums.index_mut(number)[upper] = sum;
                }
            }
            let weights = as_factors::<T, P>(&scores);
            along_lines::<T, N, P>(&weights, &value_stage, slot, &mut sums, passing);
        }

        #[unroll]
        for upper in 0..2usize {
            let total = over_row(totals[upper]);
            let row = row + (8 * upper) as u32;
            if row < of.queries {
                let mut factor = 0.0f32;
                let mut logarithm = NOTHING.runtime();
                if total > 0.0 {
                    factor = 1.0f32 / total;
                    logarithm = largest[upper] + total.ln();
                }
                let line = of.query_start + row;
                if quarter == 0 {
                    logarithms[(head * packed + line) as usize] = logarithm;
                }
                let width = comptime!((form.heads * form.head / 2) as u32);
                let start = (line * width + head * comptime!((form.head / 2) as u32) + quarter) as usize;
                #[unroll]
                for number in 0..comptime!(form.head / COLUMNS) {
                    let sum = sums.index(number)[upper] * Vector::new(factor);
                    output[start + comptime!(number * COLUMNS / 2)] = Vector::cast_from(sum);
                }
            }
        }
    }
}

/// The output in bfloat16, `[query rows, heads * head]`, and the logarithms, `[heads, query rows]`.
#[allow(unsafe_code)] // Checks of every access would cost registers.
pub(crate) fn tiled_attention(inputs: &TiledInputs) -> [CubeTensor; 2] {
    let TiledInputs { query, key, value, sight, queries, .. } = inputs;
    let output = empty(query, [queries.packed, queries.heads * queries.head], query.dtype);
    let logarithms = inputs.by_row();
    // SAFETY: rows are within the bounds of their sequences, and heads within a row.
    unsafe {
        forward_kernel::launch_unchecked(
            &query.client,
            cubes_of(*queries, queries.heads),
            CubeDim::new_1d(UNITS as u32),
            CHUNK,
            2,
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            value.clone().into_tensor_arg(),
            integers(inputs.query_bounds.clone()).into_tensor_arg(),
            integers(inputs.key_bounds.clone()).into_tensor_arg(),
            integers(inputs.offsets.clone()).into_tensor_arg(),
            inputs.slopes().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            logarithms.clone().into_tensor_arg(),
            Masks::of(sight.dropout),
            sight.scale,
            queries.packed as u32,
            sight.window.unwrap_or(0) as u32,
            inputs.form(KEYS),
            dtype_to_elem_type(query.dtype),
        );
    }
    [output, logarithms]
}
