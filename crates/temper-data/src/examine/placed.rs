//! Records with the file and the row that they come from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asked::Examined;
use super::finding::{Finding, FindingKind, SPLITS, Spot};
use crate::rows::{DoubtKind, Record, TableReader, TableRows, read_each};
use crate::{DataError, Table};

/// A record and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Placed<R> {
    pub record: R,
    file: Arc<Path>,
    row: usize,
}

impl<R: Record> Record for Placed<R> {
    const GROUP: &'static str = R::GROUP;

    fn label(&self) -> Option<usize> {
        self.record.label()
    }

    fn key(&self) -> Cow<'_, str> {
        self.record.key()
    }

    fn group(&self) -> Cow<'_, str> {
        self.record.group()
    }
}

impl<R> Placed<R> {
    /// Its place, in a split.
    pub fn spot(&self, split: usize, detail: Option<String>) -> Spot {
        Spot { split: SPLITS[split], file: self.file.to_path_buf(), row: self.row, detail }
    }
}

/// The records of train, validation and test.
pub(super) type ExaminedSplits<'a, R> = [&'a [Placed<R>]; 3];

/// All records with the index of their split.
pub(super) fn all<'a, R>(splits: &ExaminedSplits<'a, R>) -> impl Iterator<Item = (usize, &'a Placed<R>)> {
    splits.iter().enumerate().flat_map(|(split, rows)| rows.iter().map(move |row| (split, row)))
}

/// Reads row by row and notes what is wrong with each.
pub(super) struct Placing<'a, T> {
    reader: &'a mut T,
    unreadable: Vec<Spot>,
    unlabelled: Vec<Spot>,
    invalid_tags: Vec<Spot>,
    moved_answers: Vec<Spot>,
}

impl<'a, T> Placing<'a, T> {
    pub fn new(reader: &'a mut T) -> Self {
        Self {
            reader,
            unreadable: Vec::new(),
            unlabelled: Vec::new(),
            invalid_tags: Vec::new(),
            moved_answers: Vec::new(),
        }
    }

    /// What is wrong with single rows.
    pub fn findings(self) -> Vec<Finding> {
        let found = [
            (FindingKind::UnreadableRow, self.unreadable),
            (FindingKind::Unlabelled, self.unlabelled),
            (FindingKind::InvalidTags, self.invalid_tags),
            (FindingKind::MovedAnswer, self.moved_answers),
        ];
        found.into_iter().filter_map(|(kind, rows)| Finding::of_rows(kind, rows)).collect()
    }
}

impl<T: TableReader<Record: Examined>> TableReader for Placing<'_, T> {
    type Record = Placed<T::Record>;

    fn read(&mut self, table: Table, split: &'static str) -> Result<TableRows<Self::Record>, DataError> {
        let path: PathBuf = table.file.clone();
        let file: Arc<Path> = path.as_path().into();
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut unlabelled_count = 0;
        let (unreadable, unlabelled) = (&mut self.unreadable, &mut self.unlabelled);
        let (invalid_tags, moved_answers) = (&mut self.invalid_tags, &mut self.moved_answers);
        let notices = read_each(self.reader, table, split, |row, read| {
            let spot = |detail| Spot { split, file: path.clone(), row, detail };
            let read = match read {
                Ok(read) => read,
                Err(error) => return unreadable.push(spot(Some(error.to_string()))),
            };
            if read.unlabelled > 0 {
                unlabelled.push(spot(None));
                unlabelled_count += read.unlabelled;
            }
            for doubt in read.doubts {
                let doubts = match doubt.kind {
                    DoubtKind::InvalidTags => &mut *invalid_tags,
                    DoubtKind::MovedAnswer => &mut *moved_answers,
                };
                doubts.push(spot(Some(doubt.reason)));
            }
            rows.extend(read.rows.into_iter().map(|record| Placed { record, file: file.clone(), row }));
        })?;
        Ok(TableRows { rows, unlabelled: unlabelled_count, doubts: Vec::new(), notices })
    }
}
