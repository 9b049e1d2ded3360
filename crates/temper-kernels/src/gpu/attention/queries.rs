//! The gradient of the queries, and for each row the sum of its output's products with their gradients.

use burn::backend::cubecl::dtype_to_elem_type;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::pattern::{Seen, is_seen, key_rows, query_rows, score, seen, sequence};
use super::scores::{along_head, along_lines, as_factors, left_factors, no_sums, over_row};
use super::{Form, TILE, TiledInputs, UNITS, cubes_of};
use crate::gpu::launch::{empty, integers};
use crate::gpu::random::{Masks, RowMask, mask_factor, row_mask};
use crate::gpu::tensor_cores::{CHUNK, COLUMNS, LANES, ROWS, commit, fill, wait};

#[cube(launch_unchecked)]
fn query_kernel<T: Float, O: Float, N: Size, P: Size>(
    query: &Tensor<Vector<T, N>>,
    key: &Tensor<Vector<T, N>>,
    value: &Tensor<Vector<T, N>>,
    output: &Tensor<Vector<T, N>>,
    slope_of_output: &Tensor<Vector<T, N>>,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    slopes: &Tensor<f32>,
    logarithms: &Tensor<f32>,
    products: &mut Tensor<f32>,
    gradient: &mut Tensor<Vector<O, P>>,
    masks: &Masks,
    scale: f32,
    packed: u32,
    window: u32,
    #[comptime] form: Form,
    #[define(T, O)] _dtypes: [ElemType; 2],
) {
    let of = sequence(CUBE_POS_Z as usize, query_bounds, key_bounds, offsets, window);
    let first = CUBE_POS_X * TILE as u32;
    if first < of.queries {
        let head = CUBE_POS_Y;
        let chunks = comptime!(form.chunks() as u32);
        let pitch = comptime!(form.heads as u32) * chunks;
        let (own, passing) = comptime!((form.own(), form.passing()));
        let mut query_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(own.len()), 128usize);
        let mut slope_stage = Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(own.len()), 128usize);
        let mut key_stage =
            Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(2 * passing.len()), 128usize);
        let mut value_stage =
            Shared::<[Vector<T, N>]>::new_aligned_slice(comptime!(2 * passing.len()), 128usize);

        let of_queries = query_rows(&of, first, head, form);
        let key_head = head / comptime!(form.group as u32);
        let passed = comptime!(form.passed as u32);
        let last = min(first + TILE as u32, of.queries) - 1;
        let begin = seen(&of, first, form).first / passed;
        let end = seen(&of, last, form).end.div_ceil(passed);

        fill::<T, N>(query, &mut query_stage, 0usize, &of_queries, own, UNITS);
        fill::<T, N>(slope_of_output, &mut slope_stage, 0usize, &of_queries, own, UNITS);
        let first_keys = key_rows(&of, begin * passed, key_head, form);
        fill::<T, N>(key, &mut key_stage, 0usize, &first_keys, passing, UNITS);
        fill::<T, N>(value, &mut value_stage, 0usize, &first_keys, passing, UNITS);
        commit();

        // The products of the output with its gradient, a row by four units.
        let plane_row = UNIT_POS / LANES as u32 * ROWS as u32;
        // Four units share a row of sums.
        let quarter = UNIT_POS_PLANE % 4;
        let row = first + plane_row + UNIT_POS_PLANE / 4;
        let mut of_row = Array::<f32>::new(2usize);
        let mut logarithm = Array::<f32>::new(2usize);
        #[unroll]
        for upper in 0..2usize {
            let row = row + (8 * upper) as u32;
            let mut sum = 0.0f32;
            let line = of.query_start + row;
            if row < of.queries {
                let start = line * pitch + head * chunks;
                for chunk in range_stepped(quarter, chunks, 4u32) {
                    let place = (start + chunk) as usize;
                    let product = Vector::<f32, N>::cast_from(output[place])
                        * Vector::<f32, N>::cast_from(slope_of_output[place]);
                    #[unroll]
                    for index in 0..N::value() {
                        sum += product.extract(index);
                    }
                }
            }
            let sum = over_row(sum);
            of_row[upper] = sum;
            logarithm[upper] = 0.0f32;
            if row < of.queries {
                logarithm[upper] = logarithms[(head * packed + line) as usize];
                if quarter == 0 {
                    products[(head * packed + line) as usize] = sum;
                }
            }
        }
        wait(0usize);
        sync_cube();

        let factors = left_factors::<T, N, P>(&query_stage, 0usize, plane_row, own, comptime!(form.head));
        let of_output = left_factors::<T, N, P>(&slope_stage, 0usize, plane_row, own, comptime!(form.head));
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
        let mut sums = no_sums::<P>(comptime!(form.head));

        for tile in begin..end {
            let slot = ((tile - begin) % 2) as usize * comptime!(passing.len());
            if tile > begin {
                wait(0usize);
                sync_cube();
            }
            if tile + 1 < end {
                let other = ((tile - begin + 1) % 2) as usize * comptime!(passing.len());
                let next = key_rows(&of, (tile + 1) * passed, key_head, form);
                fill::<T, N>(key, &mut key_stage, other, &next, passing, UNITS);
                fill::<T, N>(value, &mut value_stage, other, &next, passing, UNITS);
                commit();
            }
            let mut scores = along_head::<T, N, P>(&factors, &key_stage, slot, passing);
            let of_weights = along_head::<T, N, P>(&of_output, &value_stage, slot, passing);
            let first_key = tile * passed + quarter * 2;
            #[unroll]
            for upper in 0..2usize {
                let seen = sees.index(upper);
                let position = of.offset + row + (8 * upper) as u32;
                #[unroll]
                for number in 0..comptime!(form.passed / COLUMNS) {
                    let mut pair = scores.index(number)[upper];
                    let of_pair = of_weights.index(number)[upper];
                    #[unroll]
                    for index in 0..2usize {
                        let key = first_key + (number * COLUMNS + index) as u32;
                        let score = score(pair.extract(index), scale, slope, key, position, form);
                        let weight = select(is_seen(seen, key), (score - logarithm[upper]).exp(), 0.0f32);
                        let mut of_weight = of_pair.extract(index);
                        if comptime!(form.drops) {
                            of_weight *= mask_factor(drops.index(upper), key);
                        }
                        pair.insert(index, weight * (of_weight - of_row[upper]) * scale);
                    }
                    scores.index_mut(number)[upper] = pair;
                }
            }
            let of_scores = as_factors::<T, P>(&scores);
            along_lines::<T, N, P>(&of_scores, &key_stage, slot, &mut sums, passing);
        }

        #[unroll]
        for upper in 0..2usize {
            let row = row + (8 * upper) as u32;
            if row < of.queries {
                let width = comptime!((form.heads * form.head / 2) as u32);
                let start = ((of.query_start + row) * width
                    + head * comptime!((form.head / 2) as u32)
                    + quarter) as usize;
                #[unroll]
                for number in 0..comptime!(form.head / COLUMNS) {
                    gradient[start + comptime!(number * COLUMNS / 2)] =
                        Vector::cast_from(sums.index(number)[upper]);
                }
            }
        }
    }
}

/// What the backward pass has of the forward pass.
pub(crate) struct TiledOutputs {
    /// `[query rows, heads * head]`
    pub(crate) output: CubeTensor,
    /// Its gradient.
    pub(crate) gradient: CubeTensor,
    /// `[heads, query rows]`
    pub(crate) logarithms: CubeTensor,
}

/// The gradient of the queries, `[query rows, heads * head]`, and the products of each row's output with its gradient,
/// `[heads, query rows]`.
#[allow(unsafe_code)] // Checks of every access would cost registers.
pub(crate) fn gradient_of_queries(
    inputs: &TiledInputs,
    outputs: &TiledOutputs,
    dtype: DType,
) -> [CubeTensor; 2] {
    let TiledInputs { query, key, value, sight, queries, .. } = inputs;
    let gradient = empty(query, [queries.packed, queries.heads * queries.head], dtype);
    let products = inputs.by_row();
    // Two tiles of keys and two of values, besides queries: a wide head leaves room for half as many keys.
    let passed = if queries.head > 64 { 32 } else { 64 };
    // SAFETY: rows are within the bounds of their sequences, and heads within a row.
    unsafe {
        query_kernel::launch_unchecked(
            &query.client,
            cubes_of(*queries, queries.heads),
            CubeDim::new_1d(UNITS as u32),
            CHUNK,
            2,
            query.clone().into_tensor_arg(),
            key.clone().into_tensor_arg(),
            value.clone().into_tensor_arg(),
            outputs.output.clone().into_tensor_arg(),
            outputs.gradient.clone().into_tensor_arg(),
            integers(inputs.query_bounds.clone()).into_tensor_arg(),
            integers(inputs.key_bounds.clone()).into_tensor_arg(),
            integers(inputs.offsets.clone()).into_tensor_arg(),
            inputs.slopes().into_tensor_arg(),
            outputs.logarithms.clone().into_tensor_arg(),
            products.clone().into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            Masks::of(sight.dropout),
            sight.scale,
            queries.packed as u32,
            sight.window.unwrap_or(0) as u32,
            inputs.form(passed),
            [query.dtype, dtype].map(dtype_to_elem_type),
        );
    }
    [gradient, products]
}
