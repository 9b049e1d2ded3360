//! Biases that differ from pair to pair.

use std::ops::Range;

use super::{panels::PANEL, pattern::RelativeBuckets, rows::Rows};

/// One number for each query and key of a head on a sequence: what is added to its scores, or the gradient of that.
pub struct PairBias {
    /// `[queries, stride]`: keys in whole panels.
    values: Vec<f32>,
    stride: usize,
    positions: Range<usize>,
    keys: usize,
}

impl PairBias {
    /// Zeros for queries at `positions` and `keys` keys.
    pub fn zeros(positions: Range<usize>, keys: usize) -> Self {
        let stride = keys.next_multiple_of(PANEL);
        Self { values: vec![0.0; positions.len() * stride], stride, positions, keys }
    }

    /// The sum of what query and key have for the bucket of their distance.
    ///
    /// `of_queries` is `[queries, buckets]`, `of_keys` `[keys, buckets]`.
    pub fn of_rows(
        relative: &RelativeBuckets,
        of_queries: Rows<'_>,
        of_keys: Rows<'_>,
        positions: Range<usize>,
    ) -> Self {
        let mut bias = Self::zeros(positions, of_keys.count);
        for (query, position) in bias.positions.clone().enumerate() {
            let of_query = of_queries.row(query);
            let row = &mut bias.values[query * bias.stride..][..of_keys.count];
            for (key, value) in row.iter_mut().enumerate() {
                let bucket = relative.bucket(key, position);
                *value = of_query[bucket] + of_keys.row(key)[bucket];
            }
        }
        bias
    }

    /// The numbers of the query at a position for these keys.
    pub fn row(&self, position: usize, keys: Range<usize>) -> &[f32] {
        &self.values[(position - self.positions.start) * self.stride..][keys]
    }

    /// [`PairBias::row`] to write to.
    pub fn row_mut(&mut self, position: usize, keys: Range<usize>) -> &mut [f32] {
        &mut self.values[(position - self.positions.start) * self.stride..][keys]
    }

    /// Adds the gradient of every pair to its bucket in these columns of the query's row and of the key's.
    pub fn add_to_rows(
        &self,
        relative: &RelativeBuckets,
        of_queries: &mut [&mut [f32]],
        of_keys: &mut [&mut [f32]],
        columns: Range<usize>,
    ) {
        for (position, of_query) in self.positions.clone().zip(of_queries) {
            let of_query = &mut of_query[columns.clone()];
            for (key, value) in self.row(position, 0..self.keys).iter().enumerate() {
                let bucket = relative.bucket(key, position);
                of_query[bucket] += value;
                of_keys[key][columns.start + bucket] += value;
            }
        }
    }
}
