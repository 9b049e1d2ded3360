//! Which row belongs to which split: decided by hashes of the text, never by a generator, so that
//! every machine and every language agrees.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A number between 0 and 1 that only depends on the text: the first eight bytes of its SHA-256 as a
/// big-endian integer, divided by 2^64.
///
/// # Examples
/// ```
/// let u = temper_data::unit_hash("a fine film");
/// assert!((u - 0.7295961973996248).abs() < 1e-15);
/// ```
pub fn unit_hash(text: &str) -> f64 {
    let hash = Sha256::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first) as f64 / 2f64.powi(64)
}

/// The parts of a training file that become its missing splits.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeldOut {
    /// Share of the texts that become the test split.
    pub test: f64,
    /// Share of the texts that become the validation split.
    pub validation: f64,
}

/// Where a row of a training file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSplit {
    /// Stays in train.
    Train,
    /// Is held out for validation.
    Validation,
    /// Is held out for the test.
    Test,
}

impl HeldOut {
    /// The place of a text: the lowest hashes are the test, the next ones the validation split.
    /// Identical texts always share a place.
    pub fn place(&self, text: &str) -> RowSplit {
        let u = unit_hash(text);
        if u < self.test {
            RowSplit::Test
        } else if u < self.test + self.validation {
            RowSplit::Validation
        } else {
            RowSplit::Train
        }
    }
}

impl HeldOut {
    /// The places of rows, such that each split has the same share of each label: of a label's texts, those with the
    /// lowest hashes are the test, the next ones the validation split, each of so many rows as its share is, rounded.
    ///
    /// A row is its text and its label. Identical texts share a place; what counts is the label of the first.
    pub(crate) fn stratified(&self, rows: &[(Cow<'_, str>, usize)]) -> Vec<RowSplit> {
        struct Group<'a> {
            hash: f64,
            text: &'a str,
            rows: usize,
        }
        let mut found: HashMap<&str, (usize, usize)> = HashMap::new();
        let mut labels: BTreeMap<usize, Vec<Group<'_>>> = BTreeMap::new();
        for (text, label) in rows {
            let (label, index) = *found.entry(text).or_insert_with(|| {
                let groups = labels.entry(*label).or_default();
                groups.push(Group { hash: unit_hash(text), text, rows: 0 });
                (*label, groups.len() - 1)
            });
            if let Some(group) = labels.get_mut(&label).and_then(|groups| groups.get_mut(index)) {
                group.rows += 1;
            }
        }
        let mut places: HashMap<&str, RowSplit> = HashMap::new();
        for groups in labels.values_mut() {
            groups.sort_by(|one, other| one.hash.total_cmp(&other.hash).then(one.text.cmp(other.text)));
            let total: usize = groups.iter().map(|group| group.rows).sum();
            let count = |share: f64| (share * total as f64).round() as usize;
            let (test, both) = (count(self.test), count(self.test) + count(self.validation));
            let mut before = 0;
            for group in groups {
                let place = match before {
                    rows if rows < test => RowSplit::Test,
                    rows if rows < both => RowSplit::Validation,
                    _ => RowSplit::Train,
                };
                places.insert(group.text, place);
                before += group.rows;
            }
        }
        rows.iter().map(|(text, _)| places.get(&**text).copied().unwrap_or(RowSplit::Train)).collect()
    }
}

/// Drops the rows whose text is also in the test split; returns how many.
pub(crate) fn drop_leaked<T>(
    rows: &mut Vec<T>,
    test: &HashSet<Cow<'_, str>>,
    key: impl Fn(&T) -> Cow<'_, str>,
) -> usize {
    let before = rows.len();
    rows.retain(|row| !test.contains(&*key(row)));
    before - rows.len()
}

/// Keeps `count` rows, those with the smallest SHA-256 of `seed:text` (ties: the earlier row), in
/// their original order.
pub(crate) fn keep_subset<T>(rows: &mut Vec<T>, count: usize, seed: u64, key: impl Fn(&T) -> Cow<'_, str>) {
    if count >= rows.len() {
        return;
    }
    let mut ranked: Vec<([u8; 32], usize)> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let text = format!("{seed}:{}", key(row));
            (Sha256::digest(text.as_bytes()).into(), index)
        })
        .collect();
    ranked.sort_unstable();
    let kept: HashSet<usize> = ranked[..count].iter().map(|(_, index)| *index).collect();
    let mut index = 0;
    rows.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python: `int.from_bytes(sha256(t.encode()).digest()[:8], "big") / 2**64`.
    #[test]
    fn hashes_are_those_of_the_reference_script() {
        for (text, expected) in [
            ("", 0.8894159948913374),
            ("a fine film", 0.7295961973996248),
            ("na\u{ef}ve caf\u{e9}", 0.15979640758822036),
            ("b", 0.2427353910172533),
        ] {
            assert_eq!(unit_hash(text), expected, "{text}");
        }
    }

    #[test]
    fn places_are_those_of_the_reference_script() {
        let held_out = HeldOut { test: 0.1, validation: 0.1 };
        let with_place = |place: RowSplit| -> Vec<usize> {
            let text = |i: &usize| format!("text {i}");
            (0..40).filter(|i| held_out.place(&text(i)) == place).collect()
        };
        assert_eq!(with_place(RowSplit::Test), [12, 13, 19, 20, 26, 30]);
        assert_eq!(with_place(RowSplit::Validation), [6, 14, 17, 28, 34]);
    }

    /// Computed by Python: of the texts of each label, sorted by `(hash, text)`, the first `round(0.2 * n)` are the
    /// test, the next `round(0.1 * n)` the validation split.
    #[test]
    fn stratified_places_have_the_share_of_each_label() {
        let held_out = HeldOut { test: 0.2, validation: 0.1 };
        let texts: Vec<String> = (0..60).map(|i| format!("text {i}")).collect();
        // 50 rows of label 0, ten of label 1.
        let rows: Vec<(Cow<'_, str>, usize)> =
            texts.iter().enumerate().map(|(i, text)| (Cow::from(text), usize::from(i % 6 == 5))).collect();
        let places = held_out.stratified(&rows);
        let with = |place: RowSplit, label: usize| -> Vec<usize> {
            (0..60).filter(|&i| places[i] == place && rows[i].1 == label).collect()
        };
        assert_eq!(with(RowSplit::Test, 0), [6, 12, 13, 19, 20, 26, 28, 30, 34, 43]);
        assert_eq!(with(RowSplit::Test, 1), [17, 47]);
        assert_eq!(with(RowSplit::Validation, 0), [7, 14, 21, 39, 57]);
        assert_eq!(with(RowSplit::Validation, 1), [41]);
        // The order of rows does not matter.
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        let backwards: Vec<RowSplit> = held_out.stratified(&reversed).into_iter().rev().collect();
        assert_eq!(backwards, places);
    }

    #[test]
    fn identical_texts_share_a_stratified_place() {
        let held_out = HeldOut { test: 0.5, validation: 0.0 };
        let rows: Vec<(Cow<'_, str>, usize)> = ["a", "b", "a", "c", "a", "b"]
            .into_iter()
            .enumerate()
            .map(|(i, text)| (Cow::from(text), i % 2))
            .collect();
        let places = held_out.stratified(&rows);
        assert_eq!((places[0], places[1]), (places[2], places[5]));
        assert_eq!(places[0], places[4]);
    }

    #[test]
    fn without_a_test_share_the_lowest_hashes_are_validation() {
        let held_out = HeldOut { test: 0.0, validation: 0.1 };
        assert_eq!(held_out.place("text 12"), RowSplit::Validation);
        assert_eq!(held_out.place("text 6"), RowSplit::Train);
    }

    /// Computed by Python: `sorted(range(8), key=lambda i: (sha256(f"{seed}:{texts[i]}"), i))`.
    #[test]
    fn subsets_are_those_of_the_reference_script_in_the_original_order() {
        let texts = ["alpha", "beta", "gamma", "delta", "epsilon", "beta", "zeta", "eta"];
        let subset = |count, seed| {
            let mut rows: Vec<usize> = (0..texts.len()).collect();
            keep_subset(&mut rows, count, seed, |row| texts[*row].into());
            rows
        };
        assert_eq!(subset(3, 42), [1, 3, 6]);
        assert_eq!(subset(4, 42), [1, 3, 5, 6]);
        assert_eq!(subset(3, 7), [0, 2, 6]);
        assert_eq!(subset(8, 42).len(), 8);
        assert_eq!(subset(99, 42).len(), 8);
        assert!(subset(0, 42).is_empty());
    }

    #[test]
    fn leaked_rows_are_dropped_and_counted() {
        let test = HashSet::from([Cow::from("b")]);
        let mut rows = vec!["a", "b", "c", "b"];
        let dropped = drop_leaked(&mut rows, &test, |row| (*row).into());
        assert_eq!((rows, dropped), (vec!["a", "c"], 2));
    }
}
