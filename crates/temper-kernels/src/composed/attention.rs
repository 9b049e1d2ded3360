use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation};

use super::{draw_mask, widen};
use crate::cpu::{AttentionPattern, RelativeBuckets};
use crate::{Attention, AttentionLayout, Sequences};

/// [`crate::attention`]: the sequences are laid out as a rectangle for Burn's batched products, which
/// pads them there and nowhere else.
///
/// # Shapes
/// As [`crate::attention`].
pub fn attention(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    relative: Option<Tensor<2>>,
    attention: &Attention,
) -> Tensor<2> {
    let Attention { heads, pattern, layout, dropout, precision } = attention;
    let device = query.device();
    let rectangle = |x: Tensor<2>, sequences: &Sequences, count: usize| {
        let (batch, longest) = (sequences.count(), sequences.longest());
        // [rows, count * head] -> [batch, longest, count, head] -> [batch, count, longest, head]
        let padded = x.select(0, padded_rows(sequences, &device));
        let padded = padded.reshape([batch, longest, count, heads.head]).swap_dims(1, 2);
        repeat_heads(padded, heads.query_heads / count)
    };
    let rows = query.dims()[0];
    if rows == 0 || layout.keys.rows() == 0 {
        return query.zeros_like();
    }
    let query = rectangle(query, &layout.queries, heads.query_heads);
    let key = rectangle(key, &layout.keys, heads.key_heads);
    let value = rectangle(value, &layout.keys, heads.key_heads);
    let mut scores = widen(precision.product(query, key.swap_dims(2, 3))) * f64::from(pattern.scale);
    let distances = Distances::new(layout);
    if let Some(slopes) = &pattern.alibi {
        let bias = match pattern.alibi_in_bfloat16 {
            true => bfloat16_alibi(pattern, slopes, layout.keys.longest(), &device),
            false => distances.alibi(slopes, &device),
        };
        scores = scores.clone() + bias.cast(scores.dtype());
    }
    if let (Some(buckets), Some(table)) = (&pattern.relative, relative) {
        scores = scores + distances.relative(buckets, table);
    }
    let hidden = distances.hidden(layout, pattern, &device);
    let [batch, count, queries, keys] = scores.dims();
    let hidden = hidden.reshape([batch, 1, queries, keys]).expand([batch, count, queries, keys]);
    // A query that sees nothing would get equal weights; the second fill makes them zeros.
    let weights = activation::softmax(scores.mask_fill(hidden.clone(), f32::MIN), 3).mask_fill(hidden, 0.0);
    let weights = match dropout {
        Some(dropout) => weights.clone() * draw_mask(&weights, *dropout),
        None => weights,
    };
    // [batch, heads, longest, head] -> [batch * longest, heads * head] -> [rows, heads * head]
    let output = precision.product(weights, value).swap_dims(1, 2);
    let output = output.reshape([batch * queries, count * heads.head]);
    output.select(0, packed_rows(&layout.queries, &device))
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

fn tensor(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), &device.clone().inner())
}

/// The row of the packed matrix for each place of the rectangle; any row for padding.
fn padded_rows(sequences: &Sequences, device: &Device) -> Tensor<1, Int> {
    let longest = sequences.longest();
    let rows = sequences.ranges().flat_map(|range| {
        let last = range.end.saturating_sub(1);
        (0..longest).map(move |position| (range.start + position).min(last) as i32)
    });
    tensor(rows.collect(), device)
}

/// The place in the rectangle of each row of the packed matrix.
fn packed_rows(sequences: &Sequences, device: &Device) -> Tensor<1, Int> {
    let longest = sequences.longest();
    let rows = sequences.ranges().enumerate().flat_map(|(sequence, range)| {
        (0..range.len()).map(move |position| (sequence * longest + position) as i32)
    });
    tensor(rows.collect(), device)
}

/// `key position - query position` of every pair in the rectangle.
struct Distances {
    /// `[batch, queries, keys]`
    values: Vec<i32>,
    shape: [usize; 3],
}

impl Distances {
    fn new(layout: &AttentionLayout) -> Self {
        let (queries, keys) = (layout.queries.longest(), layout.keys.longest());
        let values = layout.offsets.iter().flat_map(|&offset| {
            (0..queries).flat_map(move |query| (0..keys).map(move |key| key as i32 - (offset + query) as i32))
        });
        Self { values: values.collect(), shape: [layout.offsets.len(), queries, keys] }
    }

    fn alibi(&self, slopes: &[f32], device: &Device) -> Tensor<4> {
        let [batch, queries, keys] = self.shape;
        let distances: Vec<f32> = self.values.iter().map(|&distance| distance as f32).collect();
        let device = &device.clone().inner();
        let distances = Tensor::<4>::from_data(TensorData::new(distances, [batch, 1, queries, keys]), device);
        let slopes = TensorData::new(slopes.to_vec(), [1, slopes.len(), 1, 1]);
        distances * Tensor::<4>::from_data(slopes, device)
    }

    fn relative(&self, buckets: &RelativeBuckets, table: Tensor<2>) -> Tensor<4> {
        let [batch, queries, keys] = self.shape;
        let last = buckets.buckets.len() as i32 - 1;
        let rows = self.values.iter().map(|distance| {
            let index = (distance + buckets.zero_at as i32).clamp(0, last);
            buckets.buckets[index as usize] as i32
        });
        let rows = tensor(rows.collect(), &table.device());
        let heads = table.dims()[1];
        // [batch * queries * keys, heads] -> [batch, queries, keys, heads] -> [batch, heads, queries, keys]
        table.select(0, rows).reshape([batch, queries, keys, heads]).permute([0, 3, 1, 2])
    }

    /// True where a query must not see a key, `[batch, queries, keys]`.
    fn hidden(
        &self,
        layout: &AttentionLayout,
        pattern: &AttentionPattern,
        device: &Device,
    ) -> Tensor<3, Bool> {
        let [_, queries, keys] = self.shape;
        let lengths = layout.keys.ranges().map(|range| range.len());
        let places = lengths.flat_map(|length| (0..queries * keys).map(move |place| place % keys >= length));
        let hidden = places.zip(&self.values).map(|(padding, &distance)| {
            let after = pattern.causal && distance > 0;
            let before = pattern.window.is_some_and(|window| distance <= -(window as i32));
            padding || after || before
        });
        let hidden: Vec<bool> = hidden.collect();
        Tensor::from_data(TensorData::new(hidden, self.shape), &device.clone().inner())
    }
}
