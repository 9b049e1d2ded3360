//! The gradients of keys and values.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::pattern::{key_rows, query_rows, score, seeing, seen, sequence};
use super::queries::TiledOutputs;
use super::scores::{along_head, along_lines, as_factors, left_factors, no_sums};
use super::{Form, TILE, TiledInputs, UNITS, cubes_of};
use crate::gpu::launch::{empty, integers};
use crate::gpu::random::{Masks, RowMask, mask_factor, row_mask};
use crate::gpu::tensor_cores::{CHUNK, COLUMNS, LANES, ROWS, commit, fill, wait};

#[cube(launch_unchecked)]
fn key_kernel<T: Float, K: Float, V: Float, N: Size, P: Size>(
    query: &Tensor<Vector<T, N>>,
    key: &Tensor<Vector<T, N>>,
    value: &Tensor<Vector<T, N>>,
    slope_of_output: &Tensor<Vector<T, N>>,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    slopes: &Tensor<f32>,
    logarithms: &Tensor<f32>,
    products: &Tensor<f32>,
    key_gradient: &mut Tensor<Vector<K, P>>,
    value_gradient: &mut Tensor<Vector<V, P>>,
    masks: &Masks,
    scale: f32,
    packed: u32,
    window: u32,
    #[comptime] form: Form,
    #[define(T, K, V)] _dtypes: [ElemType; 3],
) {
    let of = sequence(CUBE_POS_Z as usize, query_bounds, key_bounds, offsets, window);
    let first = CUBE_POS_X * TILE as u32;
    if first < of.keys {
        let key_head = CUBE_POS_Y;
        let (own, passing) = comptime!((form.own(), form.passing()));
        let passed = comptime!(form.passed as u32);
        let mut key_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(own.len()), 128usize);
        let mut value_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(own.len()), 128usize);
        let mut query_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(passing.len()), 128usize);
        let mut slope_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(passing.len()), 128usize);
        // Of each query of a tile: logarithm, sum of products, what it sees, and what its dropout is drawn from.
        let mut logarithm_stage = Shared::<[f32]>::new_slice(comptime!(form.passed));
        let mut product_stage = Shared::<[f32]>::new_slice(comptime!(form.passed));
        let mut first_stage = Shared::<[u32]>::new_slice(comptime!(form.passed));
        let mut end_stage = Shared::<[u32]>::new_slice(comptime!(form.passed));
        let mut drawn_key = Shared::<[u32]>::new_slice(comptime!(form.passed));
        let mut drawn_start = Shared::<[u32]>::new_slice(comptime!(form.passed));

        let of_keys = key_rows(&of, first, key_head, form);
        fill::<T, N>(key, &mut key_stage, 0usize, &of_keys, own, UNITS);
        fill::<T, N>(value, &mut value_stage, 0usize, &of_keys, own, UNITS);
        commit();

        let plane_row = UNIT_POS / LANES as u32 * ROWS as u32;
        // Four units share a row of sums.
        let quarter = UNIT_POS_PLANE % 4;
        // Keys are rows here, and queries columns.
        let row = first + plane_row + UNIT_POS_PLANE / 4;
        let seeing = seeing(&of, first, min(first + TILE as u32, of.keys), form);
        let begin = seeing.first / passed;
        let end = seeing.end.div_ceil(passed);
        let mut of_key = no_sums::<P>(comptime!(form.head));
        let mut of_value = no_sums::<P>(comptime!(form.head));

        for member in 0..comptime!(form.group as u32) {
            let head = key_head * comptime!(form.group as u32) + member;
            let mut slope = 0.0f32;
            if comptime!(form.has_slopes) {
                slope = slopes[head as usize];
            }
            for tile in begin..end {
                // What the tile before left is read.
                sync_cube();
                let of_queries = query_rows(&of, tile * passed, head, form);
                fill::<T, N>(query, &mut query_stage, 0usize, &of_queries, passing, UNITS);
                fill::<T, N>(slope_of_output, &mut slope_stage, 0usize, &of_queries, passing, UNITS);
                commit();
                if UNIT_POS < passed {
                    let place = UNIT_POS as usize;
                    let query = tile * passed + UNIT_POS;
                    let sees = seen(&of, query, form);
                    first_stage[place] = sees.first;
                    end_stage[place] = sees.end;
                    let mut logarithm = 0.0f32;
                    let mut product = 0.0f32;
                    let of_row = head * packed + of.query_start + query;
                    if query < of.queries {
                        logarithm = logarithms[of_row as usize];
                        product = products[of_row as usize];
                    }
                    logarithm_stage[place] = logarithm;
                    product_stage[place] = product;
                    if comptime!(form.drops) {
                        let mask = row_mask(masks, of_row);
                        drawn_key[place] = mask.key;
                        drawn_start[place] = mask.start;
                    }
                }
                wait(0usize);
                sync_cube();

                let keys = left_factors::<T, N, P>(&key_stage, 0usize, plane_row, own, comptime!(form.head));
                let mut weights = along_head::<T, N, P>(&keys, &query_stage, 0usize, passing);
                let values =
                    left_factors::<T, N, P>(&value_stage, 0usize, plane_row, own, comptime!(form.head));
                let mut of_weights = along_head::<T, N, P>(&values, &slope_stage, 0usize, passing);
                #[unroll]
                for number in 0..comptime!(form.passed / COLUMNS) {
                    #[unroll]
                    for index in 0..2usize {
                        let place = (quarter * 2 + (number * COLUMNS + index) as u32) as usize;
                        let (first_seen, end_seen) = (first_stage[place], end_stage[place]);
                        let (logarithm, product) = (logarithm_stage[place], product_stage[place]);
                        let position = of.offset + tile * passed + place as u32;
                        #[unroll]
                        for upper in 0..2usize {
                            let key = row + (8 * upper) as u32;
                            let mut pair = weights.index(number)[upper];
                            let mut of_pair = of_weights.index(number)[upper];
                            let score = score(pair.extract(index), scale, slope, key, position, form);
                            let is_seen = key >= first_seen && key < end_seen;
                            let weight = select(is_seen, (score - logarithm).exp(), 0.0f32);
                            let mut of_weight = of_pair.extract(index);
                            let mut dropped = weight;
                            if comptime!(form.drops) {
                                let mask = RowMask {
                                    key: drawn_key[place],
                                    start: drawn_start[place],
                                    threshold: masks.threshold,
                                    scale: masks.scale,
                                };
                                let factor = mask_factor(&mask, key);
                                of_weight *= factor;
                                dropped *= factor;
                            }
                            pair.insert(index, dropped);
                            of_pair.insert(index, weight * (of_weight - product) * scale);
                            weights.index_mut(number)[upper] = pair;
                            of_weights.index_mut(number)[upper] = of_pair;
                        }
                    }
                }
                let weights = as_factors::<T, P>(&weights);
                along_lines::<T, N, P>(&weights, &slope_stage, 0usize, &mut of_value, passing);
                let of_scores = as_factors::<T, P>(&of_weights);
                along_lines::<T, N, P>(&of_scores, &query_stage, 0usize, &mut of_key, passing);
            }
        }
        // A cube that goes through no tile has not waited.
        wait(0usize);

        #[unroll]
        for upper in 0..2usize {
            let row = row + (8 * upper) as u32;
            if row < of.keys {
                let width = comptime!((form.heads / form.group * form.head / 2) as u32);
                let start = ((of.key_start + row) * width
                    + key_head * comptime!((form.head / 2) as u32)
                    + quarter) as usize;
                #[unroll]
                for number in 0..comptime!(form.head / COLUMNS) {
                    let place = start + comptime!(number * COLUMNS / 2);
                    key_gradient[place] = Vector::cast_from(of_key.index(number)[upper]);
                    value_gradient[place] = Vector::cast_from(of_value.index(number)[upper]);
                }
            }
        }
    }
}

/// The gradients of keys and values, `[key rows, heads / group * head]`.
///
/// # Shapes
/// - products, of [`super::gradient_of_queries`]: `[heads, query rows]`
#[allow(unsafe_code)] // Checks of every access would cost registers.
pub(crate) fn gradients_of_keys(
    inputs: &TiledInputs,
    outputs: &TiledOutputs,
    products: CubeTensor,
    dtypes: [DType; 2],
) -> [CubeTensor; 2] {
    let TiledInputs { query, key, value, sight, queries, keys, .. } = inputs;
    let heads = keys.heads / keys.group;
    let [of_key, of_value] = dtypes.map(|dtype| empty(key, [keys.packed, heads * keys.head], dtype));
    // Sums of keys and values are in registers, twice as many for a wide head.
    let passed = if keys.head > 64 { 32 } else { 64 };
    // SAFETY: rows are within the bounds of their sequences, and heads within a row.
    unsafe {
        key_kernel::launch_unchecked(
            &query.client,
            cubes_of(*keys, heads),
            CubeDim::new_1d(UNITS as u32),
            CHUNK,
            2,
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            value.clone().into_tensor_arg(),
            outputs.gradient.clone().into_tensor_arg(),
            integers(inputs.query_bounds.clone()).into_tensor_arg(),
            integers(inputs.key_bounds.clone()).into_tensor_arg(),
            integers(inputs.offsets.clone()).into_tensor_arg(),
            inputs.slopes().into_tensor_arg(),
            outputs.logarithms.clone().into_tensor_arg(),
            products.into_tensor_arg(),
            of_key.clone().into_tensor_arg(),
            of_value.clone().into_tensor_arg(),
            Masks::of(sight.dropout),
            sight.scale,
            queries.packed as u32,
            sight.window.unwrap_or(0) as u32,
            inputs.form(passed),
            [query.dtype, dtypes[0], dtypes[1]].map(dtype_to_elem_type),
        );
    }
    [of_key, of_value]
}
