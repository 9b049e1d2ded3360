//! Rows that are almost the same: MinHash over shingles of words, with locality-sensitive hashing (Broder 1997; Leskovec,
//! Rajaraman and Ullman, Mining of Massive Datasets, chapter 3). Each pair that it proposes is compared exactly.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;

use super::asked::Examined;
use super::finding::{Finding, FindingKind, Spot};
use super::placed::{ExaminedSplits, Placed, all};
use crate::Record;

/// Words of a shingle.
const SHINGLE: usize = 3;
/// The least Jaccard similarity of two texts that are almost the same.
const SIMILAR: f64 = 0.8;
/// Minima of a signature, and how many of them are hashed together. Texts of similarity s meet in a band with the
/// probability 1 - (1 - s^8)^16: 0.95 at 0.8.
const BANDS: usize = 16;
const ROWS_OF_BAND: usize = 8;
/// Words below which texts are not compared: short ones are similar by chance.
const SHORTEST: usize = 6;
/// The split that is reported.
const TEST: usize = 2;

/// A text of a split, and the rows that have it.
struct Item<'a, R> {
    split: usize,
    rows: Vec<&'a Placed<R>>,
    /// Hashes of its shingles, ascending, each once.
    shingles: Vec<u64>,
}

/// Finds rows that are almost the same, within splits and across them.
pub(super) fn find<R: Examined + Sync>(splits: &ExaminedSplits<'_, R>) -> Vec<Finding> {
    let items = items(splits);
    let mut groups = Groups::new(items.len());
    let mut leaks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (left, right) in pairs(&items) {
        if items[left].split == items[right].split {
            groups.join(left, right);
        } else if let Some((of_test, other)) = with_test(&items, left, right) {
            leaks.entry(of_test).or_default().push(other);
        }
    }
    let spots = |item: usize| -> Vec<Spot> {
        let Item { split, rows, .. } = &items[item];
        rows.iter().map(|row| row.spot(*split, None)).collect()
    };
    let first_spot = |item: usize| items[item].rows[0].spot(items[item].split, None);
    let near: Vec<Vec<Spot>> =
        groups.all().into_iter().map(|group| group.into_iter().map(first_spot).collect()).collect();
    let count = near.iter().map(|group| group.len() - 1).sum();
    let leaked: HashSet<usize> = leaks.values().flatten().copied().collect();
    let leak_count = leaked.into_iter().map(|item| items[item].rows.len()).sum();
    let leak_groups = leaks
        .into_iter()
        .map(|(of_test, others)| [of_test].into_iter().chain(others).flat_map(&spots).collect());
    let leak = Finding::of_groups(FindingKind::NearLeak, leak_count, leak_groups.collect());
    let near = Finding::of_groups(FindingKind::NearDuplicate, count, near);
    leak.into_iter().chain(near).collect()
}

/// Which of two items is of test, and the other, unless both have one text: that is a leak, and reported as one.
fn with_test<R: Record>(items: &[Item<'_, R>], left: usize, right: usize) -> Option<(usize, usize)> {
    let (of_test, other) = if items[left].split == TEST { (left, right) } else { (right, left) };
    let is_leak = items[of_test].rows[0].key() == items[other].rows[0].key();
    (items[of_test].split == TEST && !is_leak).then_some((of_test, other))
}

/// The different texts of each split that are long enough, with their shingles.
fn items<'a, R: Examined + Sync>(splits: &ExaminedSplits<'a, R>) -> Vec<Item<'a, R>> {
    let mut places: HashMap<(usize, Cow<'_, str>), usize> = HashMap::new();
    let mut items: Vec<Item<'a, R>> = Vec::new();
    for (split, row) in all(splits) {
        let place = *places.entry((split, row.group())).or_insert(items.len());
        match items.get_mut(place) {
            Some(item) => item.rows.push(row),
            None => items.push(Item { split, rows: vec![row], shingles: Vec::new() }),
        }
    }
    items.par_iter_mut().for_each(|item| item.shingles = shingles(&item.rows[0].group()));
    items.retain(|item| !item.shingles.is_empty());
    items
}

/// Hashes of all runs of words; none of a short text.
fn shingles(text: &str) -> Vec<u64> {
    let words: Vec<u64> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.chars().flat_map(char::to_lowercase).fold(0, |hash, c| mixed(hash ^ u64::from(u32::from(c))))
        })
        .collect();
    if words.len() < SHORTEST {
        return Vec::new();
    }
    let run = |words: &[u64]| words.iter().fold(0, |hash, word| mixed(hash ^ word));
    let mut shingles: Vec<u64> = words.windows(SHINGLE).map(run).collect();
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on every other.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The minima of a text's shingles under several hash functions, each a multiplication by an odd number.
fn signature(shingles: &[u64]) -> Vec<u64> {
    let factors = (0..BANDS * ROWS_OF_BAND).map(|index| mixed(index as u64) | 1);
    factors
        .map(|factor| shingles.iter().map(|shingle| shingle.wrapping_mul(factor)).min().unwrap_or(0))
        .collect()
}

/// Pairs of items that are similar, each once, in ascending order.
fn pairs<R: Sync>(items: &[Item<'_, R>]) -> Vec<(usize, usize)> {
    let signatures: Vec<Vec<u64>> = items.par_iter().map(|item| signature(&item.shingles)).collect();
    let mut proposed: HashSet<(usize, usize)> = HashSet::new();
    for band in 0..BANDS {
        let minima = band * ROWS_OF_BAND..(band + 1) * ROWS_OF_BAND;
        let mut buckets: HashMap<&[u64], Vec<usize>> = HashMap::new();
        for (item, signature) in signatures.iter().enumerate() {
            buckets.entry(&signature[minima.clone()]).or_default().push(item);
        }
        // With its first and the previous one: a bucket of a thousand texts has no million pairs.
        for bucket in buckets.into_values() {
            let chain = bucket.windows(2).map(|pair| (pair[0], pair[1]));
            let star = bucket.iter().skip(1).map(|&item| (bucket[0], item));
            proposed.extend(chain.chain(star));
        }
    }
    let is_similar =
        |pair: &(usize, usize)| jaccard(&items[pair.0].shingles, &items[pair.1].shingles) >= SIMILAR;
    let mut pairs: Vec<_> = proposed.into_par_iter().filter(is_similar).collect();
    pairs.sort_unstable();
    pairs
}

/// The share of two ascending lists that is in both.
fn jaccard(left: &[u64], right: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < left.len() && j < right.len() {
        both += usize::from(left[i] == right[j]);
        let (forward_left, forward_right) = (left[i] <= right[j], right[j] <= left[i]);
        i += usize::from(forward_left);
        j += usize::from(forward_right);
    }
    both as f64 / (left.len() + right.len() - both).max(1) as f64
}

/// Items that belong together (union-find).
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, mut item: usize) -> usize {
        while self.0[item] != item {
            item = self.0[item];
        }
        item
    }

    /// The smaller root stays one.
    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.root(left), self.root(right));
        self.0[left.max(right)] = left.min(right);
    }

    /// The groups of more than one item, in ascending order.
    fn all(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        (0..self.0.len()).for_each(|item| groups.entry(self.root(item)).or_default().push(item));
        groups.into_values().filter(|group| group.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: impl Iterator<Item = usize>) -> String {
        words.map(|word| format!("word{word} ")).collect()
    }

    #[test]
    fn similarity_is_that_of_the_sets_of_shingles() {
        let (left, right) = (shingles(&text(0..100)), shingles(&text(10..110)));
        assert_eq!((left.len(), right.len()), (98, 98));
        // 88 of 108 shingles are in both.
        assert!((jaccard(&left, &right) - 88.0 / 108.0).abs() < 1e-12);
        assert_eq!(jaccard(&left, &left), 1.0);
        assert_eq!(jaccard(&left, &shingles(&text(500..600))), 0.0);
        assert_eq!(shingles("Fine, FINE film; a very good one"), shingles("fine fine film a very good one"));
        assert!(shingles("too short to say").is_empty());
    }

    #[test]
    fn equal_minima_are_as_likely_as_texts_are_similar() {
        let mut equal = 0;
        let rounds = 40;
        for round in 0..rounds {
            let left = signature(&shingles(&text(round * 1000..round * 1000 + 100)));
            let right = signature(&shingles(&text(round * 1000 + 10..round * 1000 + 110)));
            equal += left.iter().zip(&right).filter(|(left, right)| left == right).count();
        }
        let share = equal as f64 / (rounds * BANDS * ROWS_OF_BAND) as f64;
        assert!((share - 88.0 / 108.0).abs() < 0.03, "{share}");
    }

    #[test]
    fn joined_items_are_one_group() {
        let mut groups = Groups::new(6);
        [(4, 5), (1, 4), (0, 2)].into_iter().for_each(|(left, right)| groups.join(left, right));
        assert_eq!(groups.all(), [vec![0, 2], vec![1, 4, 5]]);
    }
}
