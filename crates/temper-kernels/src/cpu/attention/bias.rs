//! Biases and masks on the scores of one head.

use std::ops::Range;

use super::{pair_bias::PairBias, panels::PANEL, pattern::AttentionPattern};

/// What one head adds to its scores.
pub enum Bias {
    /// A number for each distance.
    Distances(DistanceBias),
    /// A number for each key, whole panels of them.
    Keys(Vec<f32>),
    /// A number for each query and key.
    Pairs(PairBias),
}

impl Bias {
    /// What `pattern` adds for one query head, `None` when nothing. `table` is `[buckets, heads]`.
    pub fn of_head(
        pattern: &AttentionPattern,
        table: Option<&[f32]>,
        (head, heads): (usize, usize),
        positions: Range<usize>,
        keys: usize,
    ) -> Option<Self> {
        if let (Some(slopes), true) = (&pattern.alibi, pattern.alibi_in_bfloat16) {
            let keys = 0..keys.next_multiple_of(PANEL);
            return Some(Self::Keys(keys.map(|key| pattern.bfloat16_alibi(slopes[head], key)).collect()));
        }
        DistanceBias::of_head(pattern, table, (head, heads), positions, keys).map(Self::Distances)
    }

    /// What is added for a query and these keys.
    pub fn row(&self, position: usize, keys: Range<usize>) -> &[f32] {
        match self {
            Self::Distances(bias) => bias.row(position, keys),
            Self::Keys(values) => &values[keys],
            Self::Pairs(bias) => bias.row(position, keys),
        }
    }
}

/// One number for each `key position - query position` of a sequence: what one head adds to its
/// scores, or the gradient of that. Each row of scores meets a window of it.
pub struct DistanceBias {
    values: Vec<f32>,
    /// Where distance zero is in `values`: the position of the last query.
    zero_at: usize,
}

impl DistanceBias {
    /// Zeros for queries at `positions`, at least one, and `keys` keys.
    pub fn zeros(positions: Range<usize>, keys: usize) -> Self {
        let zero_at = positions.end - 1;
        // Rows of scores are whole panels; without keys, or with all before the queries, zero_at
        // itself may be outside.
        let len = (zero_at + keys.next_multiple_of(PANEL) - positions.start).max(zero_at + 1);
        Self { values: vec![0.0; len], zero_at }
    }

    /// As [`Bias::of_head`].
    fn of_head(
        pattern: &AttentionPattern,
        table: Option<&[f32]>,
        (head, heads): (usize, usize),
        positions: Range<usize>,
        keys: usize,
    ) -> Option<Self> {
        if positions.is_empty() || pattern.alibi.is_none() && pattern.relative.is_none() {
            return None;
        }
        let mut bias = Self::zeros(positions.clone(), keys);
        let distances = bias.distances(pattern.causal, positions, keys);
        if let Some(slopes) = &pattern.alibi {
            for index in distances.clone() {
                bias.values[index] += slopes[head] * (index as f32 - bias.zero_at as f32);
            }
        }
        if let (Some(relative), Some(table)) = (&pattern.relative, table) {
            for index in distances {
                bias.values[index] += table[relative.bucket(index, bias.zero_at) * heads + head];
            }
        }
        Some(bias)
    }

    /// Adds the gradient of every distance to its bucket.
    pub fn add_to_buckets(
        &self,
        pattern: &AttentionPattern,
        positions: Range<usize>,
        keys: usize,
        buckets: &mut [f32],
    ) {
        let relative = pattern.relative.as_ref().expect("only relative biases have a gradient");
        for index in self.distances(pattern.causal, positions, keys) {
            buckets[relative.bucket(index, self.zero_at)] += self.values[index];
        }
    }

    /// The window of a query for these keys.
    fn row(&self, position: usize, keys: Range<usize>) -> &[f32] {
        &self.values[self.zero_at + keys.start - position..][..keys.len()]
    }

    /// [`DistanceBias::row`] to write to.
    pub fn row_mut(&mut self, position: usize, keys: Range<usize>) -> &mut [f32] {
        &mut self.values[self.zero_at + keys.start - position..][..keys.len()]
    }

    /// Indices of the distances between a query and a key that it may see.
    fn distances(&self, causal: bool, positions: Range<usize>, keys: usize) -> Range<usize> {
        let end = self.zero_at + keys - positions.start.min(self.zero_at + keys);
        0..if causal { end.min(self.zero_at + 1) } else { end }
    }
}
