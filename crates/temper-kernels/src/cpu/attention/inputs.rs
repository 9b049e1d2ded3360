//! What attention is computed on.

use std::ops::Range;

use super::{
    Dropout,
    bias::Bias,
    pair_bias::PairBias,
    pattern::{AttentionHeads, AttentionPattern},
    rows::Rows,
    scores::Head,
};

/// Attention on packed sequences: no padding, the rows of all sequences follow each other.
#[derive(Clone, Copy, Debug)]
pub struct AttentionInputs<'a> {
    /// `[query rows, query_heads * head]`
    pub query: &'a [f32],
    /// `[key rows, key_heads * head]`
    pub key: &'a [f32],
    /// `[key rows, key_heads * head]`
    pub value: &'a [f32],
    /// `[sequences + 1]`: sequence `s` holds the query rows from `query_bounds[s]` to `query_bounds[s + 1]`.
    pub query_bounds: &'a [usize],
    /// `[sequences + 1]`: the same for the rows of keys and values.
    pub key_bounds: &'a [usize],
    /// `[sequences]`: position of the first query among the keys of its sequence; the others follow it.
    pub query_offsets: &'a [usize],
    /// Numbers of heads.
    pub heads: AttentionHeads,
    /// Which keys a query sees, and what is done to its scores.
    pub pattern: &'a AttentionPattern,
    /// What `pattern.relative` chooses from, there if and only if that is.
    pub relative: Option<RelativeScores<'a>>,
    /// Drops weights after the softmax. Row of the mask: `query head * query rows + query row`; column:
    /// position of the key in its sequence.
    pub dropout: Option<Dropout>,
}

/// What is added to a score for the bucket of its distance.
#[derive(Clone, Copy, Debug)]
pub enum RelativeScores<'a> {
    /// The same for all pairs of a distance (T5): `[buckets, query_heads]`.
    Table(&'a [f32]),
    /// What the query has for the bucket, and what the key has (DeBERTa).
    Rows {
        /// `[query rows, query_heads * buckets]`
        of_queries: &'a [f32],
        /// `[key rows, query_heads * buckets]`
        of_keys: &'a [f32],
    },
}

impl<'a> AttentionInputs<'a> {
    /// Rows of all queries.
    pub fn query_rows(&self) -> usize {
        *self.query_bounds.last().expect("bounds begin with zero")
    }

    /// Rows of all keys.
    pub fn key_rows(&self) -> usize {
        *self.key_bounds.last().expect("bounds begin with zero")
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.query_offsets.len()
    }

    /// Numbers of a query row and of a key row.
    pub fn widths(&self) -> (usize, usize) {
        (self.heads.query_heads * self.heads.head, self.heads.key_heads * self.heads.head)
    }

    /// Scores of one head on all sequences, hidden ones included.
    pub(super) fn pairs(&self) -> usize {
        let lengths = self.query_bounds.windows(2).zip(self.key_bounds.windows(2));
        lengths.map(|(queries, keys)| (queries[1] - queries[0]) * (keys[1] - keys[0])).sum()
    }

    pub(super) fn check(&self) {
        let AttentionHeads { query_heads, key_heads, head } = self.heads;
        assert!(query_heads > 0 && key_heads > 0 && head > 0, "attention without heads");
        assert_eq!(query_heads % key_heads, 0, "key heads divide query heads");
        for bounds in [self.query_bounds, self.key_bounds] {
            assert_eq!(bounds.len(), self.sequences() + 1, "bounds of every sequence");
            assert!(bounds[0] == 0 && bounds.is_sorted(), "bounds rise from zero");
        }
        let (query_width, key_width) = self.widths();
        assert_eq!(self.query.len(), self.query_rows() * query_width, "size of the queries");
        assert_eq!(self.key.len(), self.key_rows() * key_width, "size of the keys");
        assert_eq!(self.value.len(), self.key_rows() * key_width, "size of the values");
        if let Some(slopes) = &self.pattern.alibi {
            assert_eq!(slopes.len(), query_heads, "one slope a query head");
        }
        let by_distance = self.pattern.relative.is_some();
        assert!(!(by_distance && self.pattern.alibi_in_bfloat16), "ALiBi in bfloat16 comes alone");
        assert_eq!(by_distance, self.relative.is_some(), "buckets come with what they choose from");
        match self.relative {
            Some(RelativeScores::Table(table)) => {
                assert_eq!(table.len() % query_heads, 0, "one column of the table a query head");
            }
            Some(RelativeScores::Rows { of_queries, of_keys }) => {
                let width = query_heads * self.buckets();
                assert_eq!(of_queries.len(), self.query_rows() * width, "size of the queries' buckets");
                assert_eq!(of_keys.len(), self.key_rows() * width, "size of the keys' buckets");
            }
            None => {}
        }
    }

    /// Number of buckets; 0 without any.
    pub(super) fn buckets(&self) -> usize {
        match self.relative {
            Some(RelativeScores::Table(table)) => table.len() / self.heads.query_heads,
            Some(RelativeScores::Rows { of_keys, .. }) => {
                of_keys.len().checked_div(self.key_rows() * self.heads.query_heads).unwrap_or(0)
            }
            None => 0,
        }
    }

    /// What is added to the scores of one query head on one sequence.
    fn bias(&self, sequence: usize, head: usize, positions: Range<usize>, keys: usize) -> Option<Bias> {
        let heads = self.heads.query_heads;
        let table = match (self.relative, &self.pattern.relative) {
            (Some(RelativeScores::Rows { of_queries, of_keys }), Some(relative)) => {
                let rows = |matrix, bounds: &[usize]| {
                    part(
                        matrix,
                        bounds,
                        sequence,
                        Columns { number: head, count: heads, width: self.buckets() },
                    )
                };
                let of_queries = rows(of_queries, self.query_bounds);
                let of_keys = rows(of_keys, self.key_bounds);
                return Some(Bias::Pairs(PairBias::of_rows(relative, of_queries, of_keys, positions)));
            }
            (Some(RelativeScores::Table(table)), _) => Some(table),
            _ => None,
        };
        Bias::of_head(self.pattern, table, (head, heads), positions, keys)
    }

    /// One query head on one sequence.
    pub(super) fn head(&self, sequence: usize, head: usize) -> Head<'a> {
        let AttentionHeads { query_heads, key_heads, .. } = self.heads;
        let key_head = head / (query_heads / key_heads);
        let key = self.head_rows(self.key, self.key_bounds, sequence, (key_head, key_heads));
        let query = self.head_rows(self.query, self.query_bounds, sequence, (head, query_heads));
        let first = self.query_offsets[sequence];
        let positions = first..first + query.count;
        Head {
            query,
            key,
            value: self.head_rows(self.value, self.key_bounds, sequence, (key_head, key_heads)),
            bias: self.bias(sequence, head, positions.clone(), key.count),
            positions,
            mask_row: (head * self.query_rows() + self.query_bounds[sequence]) as u64,
            pattern: self.pattern,
        }
    }

    /// The columns of one head, of `heads`, and the rows of one sequence of `[rows, heads * head]`.
    pub(super) fn head_rows<'m>(
        &self,
        matrix: &'m [f32],
        bounds: &[usize],
        sequence: usize,
        (head, heads): (usize, usize),
    ) -> Rows<'m> {
        part(matrix, bounds, sequence, Columns { number: head, count: heads, width: self.heads.head })
    }
}

/// Which columns of a matrix a head has.
struct Columns {
    number: usize,
    count: usize,
    width: usize,
}

/// These columns, and the rows of one sequence, of `[rows, count * width]`.
fn part<'m>(matrix: &'m [f32], bounds: &[usize], sequence: usize, columns: Columns) -> Rows<'m> {
    let (width, stride) = (columns.width, columns.count * columns.width);
    let (start, end) = (bounds[sequence], bounds[sequence + 1]);
    // A sequence without rows may begin after the last value.
    let values = matrix.get(start * stride + columns.number * width..).unwrap_or_default();
    Rows { values, stride, count: end - start, width }
}
