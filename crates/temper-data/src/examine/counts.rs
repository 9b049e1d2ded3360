//! How often labels occur, and how long texts are.

use serde::Serialize;

use super::asked::Examined;
use super::finding::{Finding, FindingKind};
use super::placed::{ExaminedSplits, Placed};
use crate::TaskKind;

/// Lengths of texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lengths {
    /// tokens or characters.
    pub unit: &'static str,
    /// The mean.
    pub mean: f64,
    /// 95 of 100 rows are at most this long.
    pub p95: usize,
    /// The longest.
    pub longest: usize,
}

/// Rows in train below which a label is rare.
const RARE: usize = 10;
/// How much more common a label is than another where that is reported.
const IMBALANCE: usize = 10;

/// In how many rows each label occurs.
pub(super) fn of_labels<R: Examined>(rows: &[Placed<R>], labels: usize) -> Vec<usize> {
    let mut counts = vec![0; labels];
    rows.iter().flat_map(|row| row.record.labels()).for_each(|label| counts[label] += 1);
    counts
}

/// Finds labels that are rare or missing. `counts` are those of train, validation and test.
pub(super) fn find<R: Examined>(
    splits: &ExaminedSplits<'_, R>,
    counts: &[Vec<usize>; 3],
    names: &[String],
) -> Vec<Finding> {
    let [train, validation, test] = counts;
    let held_out = |label: usize| validation[label] + test[label];
    let of = |kind, is_such: &dyn Fn(usize) -> bool, count: &dyn Fn(usize) -> usize| {
        let found: Vec<usize> = (0..names.len()).filter(|&label| is_such(label)).collect();
        let told: Vec<String> =
            found.iter().map(|&label| format!("{} {}", names[label], count(label))).collect();
        (!found.is_empty()).then(|| Finding::of_dataset(kind, found.len(), &told.join(", ")))
    };
    let missing = of(FindingKind::MissingLabel, &|label| train[label] == 0 && held_out(label) > 0, &held_out);
    let unused = of(FindingKind::UnusedLabel, &|label| train[label] + held_out(label) == 0, &|_| 0);
    let rare = of(FindingKind::RareLabel, &|label| (1..RARE).contains(&train[label]), &|label| train[label]);
    [missing, rare, imbalance(splits[0], train, names), unused].into_iter().flatten().collect()
}

/// Where a row has one label: whether one is much more common than another.
fn imbalance<R: Examined>(rows: &[Placed<R>], counts: &[usize], names: &[String]) -> Option<Finding> {
    if rows.iter().any(|row| row.record.labels().len() != 1) {
        return None;
    }
    let occurring = (0..names.len()).filter(|&label| counts[label] > 0);
    let most = occurring.clone().max_by_key(|&label| counts[label])?;
    let least = occurring.min_by_key(|&label| counts[label])?;
    let detail = format!("{} {}, {} {}", names[most], counts[most], names[least], counts[least]);
    let is_such = counts[most] > IMBALANCE * counts[least];
    is_such.then(|| Finding::of_dataset(FindingKind::Imbalance, 1, &detail))
}

/// Texts of more than `max_length` tokens.
pub(super) fn too_long<R>(
    splits: &ExaminedSplits<'_, R>,
    lengths: &[Vec<usize>; 3],
    max_length: usize,
    task: TaskKind,
) -> Option<Finding> {
    let mut rows = Vec::new();
    for (split, (of_split, lengths)) in splits.iter().zip(lengths).enumerate() {
        let long = of_split.iter().zip(lengths).filter(|(_, length)| **length > max_length);
        rows.extend(long.map(|(row, length)| row.spot(split, Some(format!("{length} tokens")))));
    }
    let what = match task {
        TaskKind::TextClassification => "what is beyond that is cut off",
        _ => "they are spread over windows",
    };
    let detail = format!("that is {max_length} tokens: {what}");
    Finding::of_rows(FindingKind::LongText, rows).map(|finding| finding.with_detail(&detail))
}

/// Lengths of texts in numbers.
pub(super) fn lengths(lengths: &[usize], unit: &'static str) -> Lengths {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    // The nearest rank: the smallest length that at least 95 % do not exceed.
    let rank = (sorted.len() * 95).div_ceil(100);
    Lengths {
        unit,
        mean: sorted.iter().sum::<usize>() as f64 / sorted.len().max(1) as f64,
        p95: rank.checked_sub(1).map_or(0, |index| sorted[index]),
        longest: sorted.last().copied().unwrap_or(0),
    }
}
