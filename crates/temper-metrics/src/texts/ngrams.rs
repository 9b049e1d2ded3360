//! Runs of tokens, and how many two texts have in common.

use std::collections::HashMap;
use std::hash::Hash;

/// Runs of `length` tokens with their numbers.
pub(super) fn counts<T: Eq + Hash>(tokens: &[T], length: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    tokens.windows(length).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}

/// How often runs are in both: the smaller number of each.
pub(super) fn common<T: Eq + Hash>(one: &HashMap<&[T], usize>, other: &HashMap<&[T], usize>) -> usize {
    one.iter().map(|(run, &count)| count.min(other.get(run).copied().unwrap_or(0))).sum()
}
