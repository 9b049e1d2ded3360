//! The softmax of attention, with its mask and dropout: a plane of units has a row of scores.

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_elem_type;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::{empty, integers, lanes, plane_a_row, unused, vector_size};
use super::random::{Masks, mask_vector, row_mask};
use crate::cpu::Dropout;

/// Below every score: where a row begins to look for its largest.
const LOWEST: f32 = -1e30;

/// Which keys a query sees, and what is done to its scores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) causal: bool,
    pub(crate) window: Option<usize>,
    pub(crate) scale: f32,
    pub(crate) dropout: Option<Dropout>,
    /// Query rows of all sequences: masks are drawn by packed rows.
    pub(crate) packed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Form {
    causal: bool,
    has_window: bool,
    has_slopes: bool,
    drops: bool,
    heads: u32,
    lanes: usize,
}

/// The keys that a query sees: from first to before end.
#[derive(CubeType, Clone, Copy)]
struct Seen {
    first: i32,
    end: i32,
    position: i32,
    /// Row of the dropout's mask.
    mask_row: u32,
}

#[cube]
fn seen(
    row: u32,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    queries: u32,
    packed: u32,
    window: i32,
    #[comptime] form: Form,
) -> Seen {
    let query = (row % queries) as i32;
    let head = row / queries % form.heads;
    let sequence = (row / (queries * form.heads)) as usize;
    let first_row = query_bounds[sequence];
    let keys = key_bounds[sequence + 1] - key_bounds[sequence];
    let position = offsets[sequence] + query;
    let mut first = 0i32;
    let mut end = keys;
    if comptime!(form.causal) {
        end = min(keys, position + 1);
    }
    if comptime!(form.has_window) {
        first = max(0, position + 1 - window);
        if comptime!(!form.causal) {
            end = min(keys, position + window);
        }
    }
    // Padding sees nothing.
    if query >= query_bounds[sequence + 1] - first_row {
        end = 0i32;
    }
    Seen { first, end, position, mask_row: head * packed + (first_row + query) as u32 }
}

#[cube(launch)]
fn softmax_kernel<T: Float, N: Size>(
    scores: &Tensor<Vector<T, N>>,
    query_bounds: &Tensor<i32>,
    key_bounds: &Tensor<i32>,
    offsets: &Tensor<i32>,
    slopes: &Tensor<f32>,
    shares: &mut Tensor<Vector<T, N>>,
    dropped: &mut Tensor<Vector<T, N>>,
    masks: &Masks,
    scale: f32,
    rows: u32,
    queries: u32,
    width: u32,
    packed: u32,
    window: i32,
    #[comptime] form: Form,
    #[define(T)] _dtype: ElemType,
) {
    let row = CUBE_POS as u32 * CUBE_DIM_Y + UNIT_POS_Y;
    if row < rows {
        let seen = seen(row, query_bounds, key_bounds, offsets, queries, packed, window, form);
        let mut slope = 0.0f32;
        if comptime!(form.has_slopes) {
            slope = slopes[(row / queries % form.heads) as usize];
        }
        let start = row as usize * width as usize;
        let width = width as usize;
        let mut largest = LOWEST.runtime();
        for place in range_stepped(UNIT_POS_X as usize, width, form.lanes) {
            let x = scaled::<T, N>(scores[start + place], place, &seen, scale, slope, form);
            #[unroll]
            for index in 0..N::value() {
                largest = max(largest, x.extract(index));
            }
        }
        largest = plane_max(largest);
        let mut total = 0.0f32;
        for place in range_stepped(UNIT_POS_X as usize, width, form.lanes) {
            let x = scaled::<T, N>(scores[start + place], place, &seen, scale, slope, form);
            let weights = exponentials::<N>(x, place, largest, &seen);
            #[unroll]
            for index in 0..N::value() {
                total += weights.extract(index);
            }
        }
        total = plane_sum(total);
        let mut factor = 0.0f32;
        if total > 0.0 {
            factor = 1.0f32 / total;
        }
        let mask = row_mask(masks, seen.mask_row);
        for place in range_stepped(UNIT_POS_X as usize, width, form.lanes) {
            let x = scaled::<T, N>(scores[start + place], place, &seen, scale, slope, form);
            let share = exponentials::<N>(x, place, largest, &seen) * Vector::new(factor);
            shares[start + place] = Vector::cast_from(share);
            if comptime!(form.drops) {
                dropped[start + place] = Vector::cast_from(share * mask_vector::<N>(&mask, place));
            }
        }
    }
}

/// Scores with scale and ALiBi; the lowest number for keys that are not seen.
#[cube]
fn scaled<T: Float, N: Size>(
    scores: Vector<T, N>,
    place: usize,
    seen: &Seen,
    scale: f32,
    slope: f32,
    #[comptime] form: Form,
) -> Vector<f32, N> {
    let mut x = Vector::<f32, N>::cast_from(scores) * Vector::new(scale);
    #[unroll]
    for index in 0..N::value() {
        let key = (place * N::value() + index) as i32;
        let mut score = x.extract(index);
        if comptime!(form.has_slopes) {
            score += slope * f32::cast_from(key - seen.position);
        }
        let visible = key >= seen.first && key < seen.end;
        x.insert(index, select(visible, score, LOWEST.runtime()));
    }
    x
}

/// `exp(x - largest)`; zero for keys that are not seen.
#[cube]
fn exponentials<N: Size>(x: Vector<f32, N>, place: usize, largest: f32, seen: &Seen) -> Vector<f32, N> {
    let mut weights = (x - Vector::new(largest)).exp();
    #[unroll]
    for index in 0..N::value() {
        let key = (place * N::value() + index) as i32;
        let visible = key >= seen.first && key < seen.end;
        weights.insert(index, select(visible, weights.extract(index), 0.0f32));
    }
    weights
}

/// Shares of the keys before dropout, and after it.
///
/// # Shapes
/// - scores and outputs: `[sequences, heads, queries, keys]`; bounds: `[sequences + 1]`, offsets: `[sequences]`,
///   slopes: `[heads]`
pub(crate) fn softmax(
    scores: CubeTensor,
    [query_bounds, key_bounds, offsets]: [CubeTensor; 3],
    slopes: Option<CubeTensor>,
    sight: Sight,
) -> [CubeTensor; 2] {
    let scores = into_contiguous(scores);
    let [sequences, heads, queries, keys] = scores.shape().dims();
    let size = vector_size(&scores, keys);
    let form = Form {
        causal: sight.causal,
        has_window: sight.window.is_some(),
        has_slopes: slopes.is_some(),
        drops: sight.dropout.is_some(),
        heads: heads as u32,
        lanes: lanes(&scores.client),
    };
    let shares = empty(&scores, scores.shape(), scores.dtype);
    let dropped =
        if form.drops { empty(&scores, scores.shape(), scores.dtype) } else { unused(&scores, size) };
    let rows = sequences * heads * queries;
    let (count, dim) = plane_a_row(form.lanes, rows);
    softmax_kernel::launch(
        &scores.client.clone(),
        count,
        dim,
        size,
        scores.clone().into_tensor_arg(),
        integers(query_bounds).into_tensor_arg(),
        integers(key_bounds).into_tensor_arg(),
        integers(offsets).into_tensor_arg(),
        slopes.unwrap_or_else(|| unused(&scores, 1)).into_tensor_arg(),
        shares.clone().into_tensor_arg(),
        dropped.clone().into_tensor_arg(),
        Masks::of(sight.dropout),
        sight.scale,
        rows as u32,
        queries as u32,
        (keys / size) as u32,
        sight.packed as u32,
        sight.window.unwrap_or(0) as i32,
        form,
        dtype_to_elem_type(scores.dtype),
    );
    if form.drops { [shares, dropped] } else { [shares.clone(), shares] }
}

#[cube(launch)]
fn softmax_gradient_kernel<T: Float, N: Size>(
    shares: &Tensor<Vector<T, N>>,
    gradient: &Tensor<Vector<T, N>>,
    query_bounds: &Tensor<i32>,
    of_scores: &mut Tensor<Vector<T, N>>,
    dropped: &mut Tensor<Vector<T, N>>,
    masks: &Masks,
    scale: f32,
    rows: u32,
    queries: u32,
    width: u32,
    packed: u32,
    #[comptime] form: Form,
    #[define(T)] _dtype: ElemType,
) {
    let row = CUBE_POS as u32 * CUBE_DIM_Y + UNIT_POS_Y;
    if row < rows {
        let head = row / queries % form.heads;
        let first_row = query_bounds[(row / (queries * form.heads)) as usize] as u32;
        let mask = row_mask(masks, head * packed + first_row + row % queries);
        let start = row as usize * width as usize;
        let width = width as usize;
        let mut along = Vector::<f32, N>::new(0.0);
        for place in range_stepped(UNIT_POS_X as usize, width, form.lanes) {
            let share = Vector::<f32, N>::cast_from(shares[start + place]);
            let mut slope = Vector::<f32, N>::cast_from(gradient[start + place]);
            if comptime!(form.drops) {
                let factors = mask_vector::<N>(&mask, place);
                slope *= factors;
                dropped[start + place] = Vector::cast_from(share * factors);
            }
            along += share * slope;
        }
        let mut total = 0.0f32;
        #[unroll]
        for index in 0..N::value() {
            total += along.extract(index);
        }
        total = plane_sum(total);
        for place in range_stepped(UNIT_POS_X as usize, width, form.lanes) {
            let share = Vector::<f32, N>::cast_from(shares[start + place]);
            let mut slope = Vector::<f32, N>::cast_from(gradient[start + place]);
            if comptime!(form.drops) {
                slope *= mask_vector::<N>(&mask, place);
            }
            of_scores[start + place] =
                Vector::cast_from(share * (slope - Vector::new(total)) * Vector::new(scale));
        }
    }
}

/// The gradient of the scores, and the shares after dropout once more.
///
/// # Shapes
/// - shares, gradient (of the shares after dropout) and outputs: `[sequences, heads, queries, keys]`;
///   query_bounds: `[sequences + 1]`
pub(crate) fn softmax_backward(
    shares: CubeTensor,
    gradient: CubeTensor,
    query_bounds: CubeTensor,
    sight: Sight,
) -> [CubeTensor; 2] {
    let [shares, gradient] = [shares, gradient].map(into_contiguous);
    let [sequences, heads, queries, keys] = shares.shape().dims();
    let size = vector_size(&shares, keys);
    let form = Form {
        causal: false,
        has_window: false,
        has_slopes: false,
        drops: sight.dropout.is_some(),
        heads: heads as u32,
        lanes: lanes(&shares.client),
    };
    let of_scores = empty(&shares, shares.shape(), shares.dtype);
    let dropped =
        if form.drops { empty(&shares, shares.shape(), shares.dtype) } else { unused(&shares, size) };
    let rows = sequences * heads * queries;
    let (count, dim) = plane_a_row(form.lanes, rows);
    softmax_gradient_kernel::launch(
        &shares.client.clone(),
        count,
        dim,
        size,
        shares.clone().into_tensor_arg(),
        gradient.into_tensor_arg(),
        integers(query_bounds).into_tensor_arg(),
        of_scores.clone().into_tensor_arg(),
        dropped.clone().into_tensor_arg(),
        Masks::of(sight.dropout),
        sight.scale,
        rows as u32,
        queries as u32,
        (keys / size) as u32,
        sight.packed as u32,
        form,
        dtype_to_elem_type(shares.dtype),
    );
    [of_scores, if form.drops { dropped } else { shares }]
}
