//! Batches: which examples go together, and their ids as one padded rectangle.

mod plan;
mod shuffle;

pub use plan::{BatchSettings, Step, padding_percent, plan_epoch, plan_evaluation};

use crate::EncodedSet;

/// How far a batch's rows are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// To the longest row of the batch.
    Longest,
    /// To a fixed number of tokens (or the longest row, if that is longer).
    MaxLength(usize),
}

impl Padding {
    /// Width in tokens of a batch whose longest row has `longest` tokens.
    pub fn width(self, longest: usize) -> usize {
        match self {
            Self::Longest => longest,
            Self::MaxLength(length) => length.max(longest),
        }
    }
}

/// Examples as one rectangle, `rows` high and `seq` wide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Examples in the batch.
    pub rows: usize,
    /// Tokens in a row, padding included.
    pub seq: usize,
    /// Token ids, `[rows, seq]` row after row; the pad id beyond a row's length.
    pub ids: Vec<u32>,
    /// Segment of each token, `[rows, seq]`; 0 beyond a row's length.
    pub type_ids: Vec<u32>,
    /// Tokens of each row without padding, `[rows]`.
    pub lengths: Vec<u32>,
    /// Each row's index in the encoded set, `[rows]`.
    pub examples: Vec<usize>,
}

/// Puts the examples `indices` of `set` into one batch, padded on the right.
///
/// # Panics
/// If an index is not in the set.
pub fn collate(set: &EncodedSet, indices: &[usize], pad_id: u32, padding: Padding) -> Batch {
    let longest = indices.iter().map(|index| set.items[*index].ids.len()).max();
    let rows = indices.len();
    let seq = padding.width(longest.unwrap_or(0));
    let mut batch = Batch {
        rows,
        seq,
        ids: Vec::with_capacity(rows * seq),
        type_ids: Vec::with_capacity(rows * seq),
        lengths: Vec::with_capacity(rows),
        examples: indices.to_vec(),
    };
    for (row, index) in indices.iter().enumerate() {
        let item = &set.items[*index];
        let end = (row + 1) * seq;
        batch.ids.extend(&item.ids);
        batch.ids.resize(end, pad_id);
        batch.type_ids.extend(&item.type_ids);
        batch.type_ids.resize(end, 0);
        batch.lengths.push(item.ids.len() as u32);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoded;

    fn set() -> EncodedSet {
        let item = |ids: &[u32], type_ids: &[u32]| Encoded {
            ids: ids.to_vec(),
            type_ids: type_ids.to_vec(),
            tokens_lost: 0,
        };
        EncodedSet::new(
            vec![
                item(&[101, 7, 102, 8, 102], &[0, 0, 0, 1, 1]),
                item(&[101, 102], &[0, 0]),
                item(&[101, 9, 102], &[0, 0, 0]),
            ],
            false,
        )
    }

    #[test]
    fn rows_are_padded_with_the_pad_id_to_the_longest() {
        let batch = collate(&set(), &[2, 0], 99, Padding::Longest);
        assert_eq!((batch.rows, batch.seq), (2, 5));
        assert_eq!(batch.ids, [101, 9, 102, 99, 99, 101, 7, 102, 8, 102]);
        assert_eq!(batch.type_ids, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(batch.lengths, [3, 5]);
        assert_eq!(batch.examples, [2, 0]);
    }

    #[test]
    fn a_fixed_width_is_kept_and_no_token_is_ever_cut() {
        let batch = collate(&set(), &[1], 99, Padding::MaxLength(4));
        assert_eq!(batch.ids, [101, 102, 99, 99]);
        let batch = collate(&set(), &[0], 99, Padding::MaxLength(4));
        assert_eq!(batch.seq, 5);
    }

    #[test]
    fn no_examples_make_an_empty_batch() {
        let batch = collate(&set(), &[], 99, Padding::Longest);
        assert_eq!((batch.rows, batch.seq, batch.ids.len()), (0, 0, 0));
    }
}
