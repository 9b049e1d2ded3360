//! Packed sequences laid out as a rectangle, once for all layers that attend to them.

use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::cpu::AttentionPattern;
use crate::{AttentionLayout, RowIndex, Sequences, look_up};

/// Added to the score of a key that a query must not see; small enough for every float type.
const HIDDEN: f64 = -1e30;
/// Rows of a rectangle are a multiple of this: what is compiled or tuned for a length serves its neighbours.
const BUCKET: usize = 32;

/// What the attention of all layers of a pass needs of a layout, kept on the device.
#[derive(Debug, Default)]
pub(crate) struct Rectangle {
    queries: OnceLock<Place>,
    keys: OnceLock<Place>,
    distances: OnceLock<Tensor<4, Int>>,
    masks: Mutex<Vec<(Sight, Mask)>>,
}

/// What a mask depends on besides the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    causal: bool,
    window: Option<usize>,
}

/// What hides keys from queries.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    /// Added to the scores, `[batch, 1, queries, keys]`.
    pub(super) hidden: Tensor<4>,
    /// 0 for the queries that see nothing, else 1, `[batch, 1, queries, 1]`; `None` where there are none.
    pub(super) seeing: Option<Tensor<4>>,
}

/// Where the rows of packed sequences stand in a rectangle.
#[derive(Clone, Debug)]
struct Place {
    sequences: usize,
    /// Rows of the rectangle for each sequence.
    rows: usize,
    /// The row of the packed matrix for each place of the rectangle; any row of the same sequence, or of the
    /// first, for padding: nothing that is computed of it is ever used. `[sequences * rows]`
    padded: RowIndex,
    /// The place of each row of the packed matrix, `[packed]`.
    packed: RowIndex,
}

/// Rows of a rectangle for sequences of this length. One query each stays one: so does decoding.
pub(crate) fn rectangle_rows(longest: usize) -> usize {
    if longest == 1 { 1 } else { longest.next_multiple_of(BUCKET) }
}

impl Place {
    fn of(sequences: &Sequences, device: &Device) -> Self {
        let rows = rectangle_rows(sequences.longest());
        let padded = sequences.ranges().flat_map(|range| {
            let last = range.end.saturating_sub(1);
            (0..rows).map(move |place| (range.start + place).min(last) as i32)
        });
        let packed = sequences.ranges().enumerate().flat_map(|(sequence, range)| {
            (0..range.len()).map(move |place| (sequence * rows + place) as i32)
        });
        let packed: Vec<i32> = packed.collect();
        Self {
            sequences: sequences.count(),
            rows,
            padded: RowIndex::padded(padded.collect(), &packed, device),
            packed: RowIndex::new(packed, device),
        }
    }

    /// # Shapes
    /// - x: `[packed, heads * head]`; output: `[sequences, heads, rows, head]`
    fn lay_out(&self, x: Tensor<2>, heads: usize) -> Tensor<4> {
        let [_, width] = x.dims();
        // [packed, heads * head] -> [sequences * rows, heads * head] -> [sequences, rows, heads, head]
        let padded = look_up(x, &self.padded).reshape([self.sequences, self.rows, heads, width / heads]);
        // -> [sequences, heads, rows, head]
        padded.swap_dims(1, 2)
    }
}

impl Rectangle {
    fn queries(&self, layout: &AttentionLayout, device: &Device) -> &Place {
        self.queries.get_or_init(|| Place::of(&layout.queries, device))
    }

    fn keys(&self, layout: &AttentionLayout, device: &Device) -> &Place {
        self.keys.get_or_init(|| Place::of(&layout.keys, device))
    }
}

impl AttentionLayout {
    /// # Shapes
    /// - x: `[query rows, heads * head]`; output: `[batch, heads, queries, head]`
    pub(super) fn lay_out_queries(&self, x: Tensor<2>, heads: usize) -> Tensor<4> {
        let device = x.device();
        self.rectangle.queries(self, &device).lay_out(x, heads)
    }

    /// # Shapes
    /// - x: `[key rows, heads * head]`; output: `[batch, heads, keys, head]`
    pub(super) fn lay_out_keys(&self, x: Tensor<2>, heads: usize) -> Tensor<4> {
        let device = x.device();
        self.rectangle.keys(self, &device).lay_out(x, heads)
    }

    /// # Shapes
    /// - x: `[batch, heads, queries, head]`; output: `[query rows, heads * head]`
    pub(super) fn pack_queries(&self, x: Tensor<4>) -> Tensor<2> {
        let ([batch, heads, queries, head], device) = (x.dims(), x.device());
        // [batch, heads, queries, head] -> [batch, queries, heads, head] -> [batch * queries, heads * head]
        let rows = x.swap_dims(1, 2).reshape([batch * queries, heads * head]);
        look_up(rows, &self.rectangle.queries(self, &device).packed)
    }

    /// `key position - query position`, `[batch, 1, queries, keys]`; the batch is 1 where it is the same for
    /// all sequences.
    pub(super) fn distances(&self, device: &Device) -> Tensor<4, Int> {
        let make = || {
            let (queries, keys) =
                (self.rectangle.queries(self, device).rows, self.rectangle.keys(self, device).rows);
            let first = self.offsets.first().copied().unwrap_or(0);
            let offsets = match self.offsets.iter().all(|&offset| offset == first) {
                true => vec![first as i32],
                false => self.offsets.iter().map(|&offset| offset as i32).collect(),
            };
            let batch = offsets.len();
            let offsets = integers(offsets, [batch, 1, 1, 1], device);
            // [batch, 1, 1, 1] + [1, 1, queries, 1] -> [batch, 1, queries, 1]
            let places = offsets + counting(queries, device).reshape([1, 1, queries, 1]);
            // [1, 1, 1, keys] - [batch, 1, queries, 1] -> [batch, 1, queries, keys]
            counting(keys, device).reshape([1, 1, 1, keys]) - places
        };
        self.rectangle.distances.get_or_init(make).clone()
    }

    /// Which keys each query must not see.
    pub(super) fn mask(&self, pattern: &AttentionPattern, device: &Device) -> Mask {
        let sight = Sight { causal: pattern.causal, window: pattern.window };
        let mut masks = self.rectangle.masks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mask)) = masks.iter().find(|(known, _)| *known == sight) {
            return mask.clone();
        }
        let mask = Mask { hidden: self.hidden(sight, device), seeing: self.seeing(sight, device) };
        masks.push((sight, mask.clone()));
        mask
    }

    fn hidden(&self, sight: Sight, device: &Device) -> Tensor<4> {
        let keys = self.rectangle.keys(self, device).rows;
        let lengths: Vec<i32> = self.keys.ranges().map(|range| range.len() as i32).collect();
        let batch = lengths.len();
        // [1, 1, 1, keys] - [batch, 1, 1, 1] -> [batch, 1, 1, keys]
        let behind =
            counting(keys, device).reshape([1, 1, 1, keys]) - integers(lengths, [batch, 1, 1, 1], device);
        let mut hidden = behind.greater_equal_elem(0).float();
        if sight.causal {
            hidden = hidden + self.distances(device).greater_elem(0).float();
        }
        if let Some(window) = sight.window {
            hidden = hidden + self.distances(device).abs().greater_equal_elem(window as i32).float();
        }
        hidden * HIDDEN
    }

    fn seeing(&self, sight: Sight, device: &Device) -> Option<Tensor<4>> {
        let rows = self.rectangle.queries(self, device).rows;
        let sequences = self.queries.ranges().zip(self.keys.ranges()).zip(self.offsets.iter());
        let seen = sequences.flat_map(|((queries, keys), &offset)| {
            (0..rows).map(move |query| {
                // Padding is not looked at.
                query >= queries.len() || sees(sight, offset + query, keys.len())
            })
        });
        let seen: Vec<f32> = seen.map(|seen| if seen { 1.0 } else { 0.0 }).collect();
        if seen.iter().all(|&seen| seen == 1.0) {
            return None;
        }
        let shape = [self.queries.count(), 1, rows, 1];
        Some(Tensor::from_data(TensorData::new(seen, shape), &device.clone().inner()))
    }
}

/// Whether a query at this position sees any of so many keys.
fn sees(sight: Sight, position: usize, keys: usize) -> bool {
    let first = sight.window.map_or(0, |window| (position + 1).saturating_sub(window));
    let ahead = if sight.causal { Some(1) } else { sight.window };
    let end = ahead.map_or(keys, |ahead| position.saturating_add(ahead).min(keys));
    first < end
}

fn integers(values: Vec<i32>, shape: [usize; 4], device: &Device) -> Tensor<4, Int> {
    Tensor::from_data(TensorData::new(values, shape), &device.clone().inner())
}

/// 0, 1, 2, ..., `[count]`
fn counting(count: usize, device: &Device) -> Tensor<1, Int> {
    Tensor::arange(0..count as i64, &device.clone().inner())
}
