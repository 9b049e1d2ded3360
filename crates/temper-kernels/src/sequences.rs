//! The bounds of the sequences in a packed batch.

use std::ops::Range;
use std::sync::Arc;

/// Where each sequence of a packed batch begins and ends.
///
/// ```
/// use temper_kernels::Sequences;
///
/// let sequences = Sequences::of_lengths(&[3, 1]);
/// assert_eq!(sequences.rows(), 4);
/// assert_eq!(sequences.range(1), 3..4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    bounds: Arc<[usize]>,
}

impl Sequences {
    /// Sequences of the given lengths, one after the other.
    pub fn of_lengths(lengths: &[usize]) -> Self {
        let mut bounds = vec![0];
        bounds.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        Self { bounds: bounds.into() }
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Rows of all sequences.
    pub fn rows(&self) -> usize {
        self.bounds[self.count()]
    }

    /// The rows of one sequence.
    pub fn range(&self, sequence: usize) -> Range<usize> {
        self.bounds[sequence]..self.bounds[sequence + 1]
    }

    /// The rows of every sequence, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.bounds.windows(2).map(|bounds| bounds[0]..bounds[1])
    }

    /// Rows of the longest sequence.
    pub fn longest(&self) -> usize {
        self.ranges().map(|range| range.len()).max().unwrap_or(0)
    }

    /// Where each sequence begins, and after the last one where it ends: `[count + 1]`.
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }
}
