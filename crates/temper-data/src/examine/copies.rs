//! One text in several rows: copies, leaks between splits, and labels that contradict each other.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::asked::Examined;
use super::finding::{Finding, FindingKind, Spot};
use super::placed::{ExaminedSplits, Placed, all};

/// The split that is reported, and the one that chooses.
const TEST: usize = 2;
const VALIDATION: usize = 1;

/// Rows with one text, by split.
type Copies<'a, R> = Vec<(usize, &'a Placed<R>)>;

/// Finds rows with the same text.
pub(super) fn find<R: Examined>(splits: &ExaminedSplits<'_, R>, labels: &[String]) -> Vec<Finding> {
    let mut by_text: HashMap<Cow<'_, str>, Copies<'_, R>> = HashMap::new();
    for (split, row) in all(splits) {
        by_text.entry(crate::Record::key(row)).or_default().push((split, row));
    }
    let mut groups: Vec<Copies<'_, R>> = by_text.into_values().filter(|rows| rows.len() > 1).collect();
    // In the order of the files, whatever the hashes are.
    groups.sort_by_cached_key(|rows| (rows[0].0, rows[0].1.spot(0, None).file, rows[0].1.spot(0, None).row));
    let found = [conflicts(&groups, labels), leaks(&groups), shared(&groups), duplicates(&groups)];
    found.into_iter().flatten().collect()
}

fn spots<R>(rows: &[(usize, &Placed<R>)]) -> Vec<Spot> {
    rows.iter().map(|(split, row)| row.spot(*split, None)).collect()
}

fn conflicts<R: Examined>(groups: &[Copies<'_, R>], labels: &[String]) -> Option<Finding> {
    let conflict = |rows: &Copies<'_, R>| {
        let targets: Vec<String> = rows.iter().map(|(_, row)| row.record.target(labels)).collect();
        let differ = targets.iter().collect::<BTreeSet<_>>().len() > 1;
        let spots = rows.iter().zip(targets).map(|((split, row), target)| row.spot(*split, Some(target)));
        differ.then(|| spots.collect())
    };
    let conflicts: Vec<Vec<Spot>> = groups.iter().filter_map(conflict).collect();
    Finding::of_groups(FindingKind::ConflictingLabels, conflicts.len(), conflicts)
}

/// Groups that are in `right` and in one of `left`; counted are the rows in `left`.
fn across<R>(groups: &[Copies<'_, R>], left: &[usize], right: usize) -> (usize, Vec<Vec<Spot>>) {
    let in_both = groups.iter().filter(|rows| {
        rows.iter().any(|(split, _)| *split == right) && rows.iter().any(|(split, _)| left.contains(split))
    });
    let both: Vec<&Copies<'_, R>> = in_both.collect();
    let count = both.iter().flat_map(|rows| rows.iter()).filter(|(split, _)| left.contains(split)).count();
    (count, both.into_iter().map(|rows| spots(rows)).collect())
}

fn leaks<R>(groups: &[Copies<'_, R>]) -> Option<Finding> {
    let (count, rows) = across(groups, &[0, VALIDATION], TEST);
    Finding::of_groups(FindingKind::Leak, count, rows)
}

fn shared<R>(groups: &[Copies<'_, R>]) -> Option<Finding> {
    let (count, rows) = across(groups, &[0], VALIDATION);
    Finding::of_groups(FindingKind::SharedWithValidation, count, rows)
}

fn duplicates<R>(groups: &[Copies<'_, R>]) -> Option<Finding> {
    let mut found = Vec::new();
    for rows in groups {
        for split in 0..3 {
            let copies = rows.iter().filter(|(of, _)| *of == split);
            let copies: Vec<Spot> = copies.map(|(_, row)| row.spot(split, None)).collect();
            if copies.len() > 1 {
                found.push(copies);
            }
        }
    }
    let count = found.iter().map(|copies: &Vec<Spot>| copies.len() - 1).sum();
    Finding::of_groups(FindingKind::Duplicate, count, found)
}
