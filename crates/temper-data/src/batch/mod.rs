//! Batches: which examples go together, and their ids in one row, without padding.

mod plan;
mod shuffle;

pub use plan::{BatchSettings, Step, plan_epoch, plan_evaluation};

use crate::EncodedSet;

/// Examples packed: the tokens of all sequences follow each other, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Token ids, `[tokens]`, one sequence after the other.
    pub ids: Vec<u32>,
    /// Segment of each token, `[tokens]`.
    pub type_ids: Vec<u32>,
    /// Tokens of each sequence, `[sequences]`; they say where each begins.
    pub lengths: Vec<u32>,
    /// Each sequence's index in the encoded set, `[sequences]`.
    pub examples: Vec<usize>,
}

impl Batch {
    /// Tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The first sequences, so many of them, and the others.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn split_at(mut self, sequences: usize) -> [Self; 2] {
        let tokens = self.lengths[..sequences].iter().sum::<u32>() as usize;
        let others = Self {
            ids: self.ids.split_off(tokens),
            type_ids: self.type_ids.split_off(tokens),
            lengths: self.lengths.split_off(sequences),
            examples: self.examples.split_off(sequences),
        };
        [self, others]
    }
}

/// Puts the examples `indices` of `set` into one batch, in this order.
///
/// # Panics
/// If an index is not in the set.
pub fn collate(set: &EncodedSet, indices: &[usize]) -> Batch {
    let items = || indices.iter().map(|index| &set.items[*index]);
    Batch {
        ids: items().flat_map(|item| &item.ids).copied().collect(),
        type_ids: items().flat_map(|item| &item.type_ids).copied().collect(),
        lengths: items().map(|item| item.ids.len() as u32).collect(),
        examples: indices.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoded;

    #[test]
    fn a_batch_in_two_is_two_batches() {
        let set = set();
        for count in 0..=3 {
            let [first, others] = collate(&set, &[2, 0, 1]).split_at(count);
            assert_eq!(first, collate(&set, &[2, 0, 1][..count]));
            assert_eq!(others, collate(&set, &[2, 0, 1][count..]));
        }
    }

    fn set() -> EncodedSet {
        let item = |ids: &[u32], type_ids: &[u32]| Encoded {
            ids: ids.to_vec(),
            type_ids: type_ids.to_vec(),
            tokens_lost: 0,
            lost_is_estimate: false,
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
    fn sequences_follow_each_other_in_the_order_asked_for() {
        let batch = collate(&set(), &[2, 0, 1]);
        assert_eq!(batch.ids, [101, 9, 102, 101, 7, 102, 8, 102, 101, 102]);
        assert_eq!(batch.type_ids, [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
        assert_eq!(batch.lengths, [3, 5, 2]);
        assert_eq!(batch.examples, [2, 0, 1]);
        assert_eq!(batch.tokens(), 10);
    }

    #[test]
    fn no_examples_make_an_empty_batch() {
        let batch = collate(&set(), &[]);
        assert_eq!((batch.tokens(), batch.lengths.len(), batch.examples.len()), (0, 0, 0));
    }
}
