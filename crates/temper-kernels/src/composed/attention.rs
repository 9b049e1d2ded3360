//! Attention composed from Burn's operations.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::{draw_mask, widen};
use crate::cpu::{AttentionPattern, RelativeBuckets};
use crate::{Attention, AttentionLayout, Precision, RelativeTerms};

/// [`crate::attention`]: the sequences are laid out as a rectangle for Burn's batched products, which
/// pads them there and nowhere else.
///
/// # Shapes
/// As [`crate::attention`].
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    relative: Option<RelativeTerms>,
    attention: &Attention,
) -> Tensor<2> {
    let Attention { heads, pattern, layout, dropout, precision } = attention;
    let device = query.device();
    let rows = query.dims()[0];
    if rows == 0 || layout.keys.rows() == 0 {
        return query.zeros_like();
    }
    let query = layout.lay_out_queries(query, heads.query_heads);
    let [key, value] = [key, value]
        .map(|x| repeat_heads(layout.lay_out_keys(x, heads.key_heads), heads.query_heads / heads.key_heads));
    let mut scores = widen(precision.product(query, key.swap_dims(2, 3))) * f64::from(pattern.scale);
    if let Some(cap) = pattern.soft_cap.map(f64::from) {
        scores = (scores / cap).tanh() * cap;
    }
    if let Some(slopes) = &pattern.alibi {
        let bias = match pattern.alibi_in_bfloat16 {
            true => bfloat16_alibi(pattern, slopes, scores.dims()[3], &device),
            false => alibi(layout.distances(&device), slopes, &device),
        };
        scores = scores.clone() + bias.cast(scores.dtype());
    }
    if let (Some(buckets), Some(terms)) = (&pattern.relative, relative) {
        scores = match terms {
            RelativeTerms::Table(table) => scores + relative_bias(layout.distances(&device), buckets, table),
            RelativeTerms::Rows { of_queries, of_keys } => {
                add_terms_of_rows(scores, [of_queries, of_keys], buckets, layout)
            }
        };
    }
    let mask = layout.mask(pattern, &device);
    let weights = activation::softmax(scores.clone() + mask.hidden.cast(scores.dtype()), 3);
    // A query that sees nothing would get equal weights.
    let weights = match mask.seeing {
        Some(seeing) => weights * seeing.cast(scores.dtype()),
        None => weights,
    };
    let weights = match dropout {
        Some(dropout) => weights.clone() * draw_mask(&weights, *dropout),
        None => weights,
    };
    layout.pack_queries(precision.product(weights, value))
}

/// Each key head as often as query heads read it: `[batch, heads, seq, head]`.
fn repeat_heads(x: Tensor<4>, times: usize) -> Tensor<4> {
    if times == 1 {
        return x;
    }
    let [batch, count, seq, head] = x.dims();
    let repeated = x.reshape([batch, count, 1, seq, head]).expand([batch, count, times, seq, head]);
    repeated.reshape([batch, count * times, seq, head])
}

/// Falcon's ALiBi, `[1, heads, 1, keys]`.
fn bfloat16_alibi(pattern: &AttentionPattern, slopes: &[f32], keys: usize, device: &Device) -> Tensor<4> {
    let of_head = |&slope: &f32| (0..keys).map(move |key| pattern.bfloat16_alibi(slope, key));
    let values: Vec<f32> = slopes.iter().flat_map(of_head).collect();
    Tensor::from_data(TensorData::new(values, [1, slopes.len(), 1, keys]), &device.clone().inner())
}

/// # Shapes
/// - distances: `[batch, 1, queries, keys]`; output: `[batch, heads, queries, keys]`
fn alibi(distances: Tensor<4, Int>, slopes: &[f32], device: &Device) -> Tensor<4> {
    let slopes = TensorData::new(slopes.to_vec(), [1, slopes.len(), 1, 1]);
    distances.float() * Tensor::from_data(slopes, &device.clone().inner())
}

/// # Shapes
/// - distances: `[batch, 1, queries, keys]`, table: `[buckets, heads]`
/// - output: `[batch, heads, queries, keys]`
fn relative_bias(distances: Tensor<4, Int>, buckets: &RelativeBuckets, table: Tensor<2>) -> Tensor<4> {
    let ([batch, _, queries, keys], [count, heads]) = (distances.dims(), table.dims());
    let device = distances.device();
    let rows = buckets_of(distances, buckets);
    // A product, since its backward pass is one, too: Burn adds up looked-up rows one after the other.
    // [batch * queries * keys, buckets] x [buckets, heads] -> [batch * queries * keys, heads]
    let numbers = Tensor::<1, Int>::arange(0..count as i64, &device).unsqueeze_dim::<2>(0);
    let one_hot = (rows.unsqueeze_dim::<2>(1) - numbers).equal_elem(0).float();
    // Exact on every device: the table is read, not multiplied.
    let biases = Precision::F32.product(one_hot.cast(table.dtype()), table);
    // -> [batch, queries, keys, heads] -> [batch, heads, queries, keys]
    biases.reshape([batch, queries, keys, heads]).permute([0, 3, 1, 2])
}

/// The bucket of each distance.
///
/// # Shapes
/// - distances: `[batch, 1, queries, keys]`; output: `[batch * queries * keys]`
fn buckets_of(distances: Tensor<4, Int>, buckets: &RelativeBuckets) -> Tensor<1, Int> {
    let ([batch, _, queries, keys], device) = (distances.dims(), distances.device());
    let known = TensorData::new(
        buckets.buckets.iter().map(|&bucket| bucket as i32).collect::<Vec<_>>(),
        [buckets.buckets.len()],
    );
    let last = buckets.buckets.len() as i32 - 1;
    // [batch, 1, queries, keys] -> [batch * queries * keys]
    let places = (distances + buckets.zero_at as i32).clamp(0, last).reshape([batch * queries * keys]);
    Tensor::<1, Int>::from_data(known, &device).select(0, places)
}

/// Adds what queries and keys have for the bucket of their distance.
///
/// # Shapes
/// - scores and output: `[batch, heads, queries, keys]`
/// - rows: `[query rows, heads * buckets]` and `[key rows, heads * buckets]`
fn add_terms_of_rows(
    scores: Tensor<4>,
    [of_queries, of_keys]: [Tensor<2>; 2],
    buckets: &RelativeBuckets,
    layout: &AttentionLayout,
) -> Tensor<4> {
    let ([batch, heads, queries, keys], distances) = (scores.dims(), layout.distances(&scores.device()));
    let distinct = distances.dims()[0]; // 1, or the batch
    // [distinct * queries * keys] -> [distinct, 1, queries, keys] -> [batch, heads, queries, keys]
    let places = buckets_of(distances, buckets).reshape([distinct, 1, queries, keys]);
    let places = places.expand([batch, heads, queries, keys]);
    // [batch, heads, queries, buckets] -> [batch, heads, queries, keys]
    let of_queries = layout.lay_out_queries(of_queries, heads).gather(3, places.clone());
    // [batch, heads, keys, buckets] -> [batch, heads, keys, queries] -> [batch, heads, queries, keys]
    let of_keys = layout.lay_out_keys(of_keys, heads).gather(3, places.swap_dims(2, 3)).swap_dims(2, 3);
    scores.clone() + of_queries.cast(scores.dtype()) + of_keys.cast(scores.dtype())
}
