//! Tables to the records of a task in three splits: what is held out, what leaks, what a subset keeps.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use temper_hub::{Hub, Resolved};

use crate::dataset::{DatasetTables, load_tables};
use crate::readers::FileReport;
use crate::request::RowsRequest;
use crate::split::{RowSplit, drop_leaked, keep_subset};
use crate::{DataError, DatasetCard, HeldOut, SplitOrigin, SplitSource, Table, TaskKind};

/// What to do where the files leave a split empty.
const MORE_FILES: &str = "give it its own files, or more rows to hold out from";
/// What to do where a subset does.
const LARGER_SUBSETS: &str =
    "--max-train-samples, --max-eval-samples and --max-test-samples must be at least 1";

/// What a row of a dataset becomes for a task.
pub trait Record {
    /// What leaks and subsets compare: two records with the same key are the same text.
    fn key(&self) -> Cow<'_, str>;

    /// What decides which split a row is held out for: records of one group stay together. The key by default.
    fn group(&self) -> Cow<'_, str> {
        self.key()
    }

    /// What the group is, in a word for people.
    const GROUP: &'static str = "text";

    /// Its one label, for stratified splits; `None` for what has no label, several or numbers.
    fn label(&self) -> Option<usize> {
        None
    }
}

/// A dataset's records, ready to be encoded.
#[derive(Debug, Clone)]
pub struct DatasetRows<R> {
    /// The card's name (the stand-in's, where one was used), or the path.
    pub name: String,
    /// The card, unless a path was given.
    pub card: Option<DatasetCard>,
    /// Where the files came from, unless a path was given.
    pub resolved: Option<Resolved>,
    /// The columns that were read, by role.
    pub columns: BTreeMap<String, String>,
    /// To train on.
    pub train: Vec<R>,
    /// To choose by.
    pub validation: Vec<R>,
    /// To report.
    pub test: Vec<R>,
    /// Where the validation split comes from.
    pub validation_source: SplitSource,
    /// Where the test split comes from.
    pub test_source: SplitSource,
    /// Training rows before the subset.
    pub full_train_rows: usize,
    /// Rows of train and validation dropped because their text also is in test.
    pub leaked: usize,
    /// Rows dropped because they have no label.
    pub unlabelled: usize,
    /// Rows left out because they cannot be read, where that was asked for.
    pub unreadable: Vec<UnreadableRow>,
    /// The files, and what their readers decided.
    pub files: Vec<FileReport>,
    /// What the user should look at.
    pub notices: Vec<String>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableRow {
    /// The split that its file is of.
    pub split: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Its number, from 1.
    pub row: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// A row that is kept although something is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Its number, from 1.
    pub row: usize,
    /// What is wrong.
    pub kind: DoubtKind,
    /// The same for this row, in words.
    pub reason: String,
}

/// What is wrong with a row that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtKind {
    /// The scheme of the tags does not allow their sequence.
    InvalidTags,
    /// An answer is not at its offset, and was taken from the only place where it is.
    MovedAnswer,
}

/// A table as a task reads it.
#[derive(Debug, Clone, Default)]
pub struct TableRows<R> {
    /// The records, in the table's order.
    pub rows: Vec<R>,
    /// Rows dropped because they have no label.
    pub unlabelled: usize,
    /// Rows that are kept although something is wrong with them; the notices name them.
    pub doubts: Vec<Doubt>,
    /// What the user should look at.
    pub notices: Vec<String>,
}

/// How a task reads the tables of a dataset.
pub trait TableReader {
    /// What a row becomes.
    type Record: Record;

    /// The records of a table. Tables come split by split: validation, test, then train.
    ///
    /// # Errors
    /// What the task cannot read, with file and row.
    fn read(&mut self, table: Table, split: &'static str) -> Result<TableRows<Self::Record>, DataError>;

    /// Refuses a dataset that nothing can be learned from. Asked when every row has its split, and again when
    /// the subsets were taken; no split is empty.
    ///
    /// # Errors
    /// Why nothing can be learned.
    fn check(&self, _dataset: &DatasetRows<Self::Record>) -> Result<(), DataError> {
        Ok(())
    }
}

/// Reads a table row by row: one that cannot be read spoils none of the others. Gives the notices on the file as a
/// whole.
pub(crate) fn read_each<T: TableReader>(
    reader: &mut T,
    table: Table,
    split: &'static str,
    mut each: impl FnMut(usize, Result<TableRows<T::Record>, DataError>),
) -> Result<Vec<String>, DataError> {
    let Table { file, columns, rows, report } = table;
    let format = report.format;
    let part = |rows, report| Table { file: file.clone(), columns: columns.clone(), rows, report };
    let whole = reader.read(part(Vec::new(), report), split)?;
    for row in rows {
        let number = row.number;
        each(number, reader.read(part(vec![row], FileReport::new(&file, format)), split));
    }
    Ok(whole.notices)
}

/// Rows of a file whose notices are kept.
const TOLD: usize = 3;

/// Leaves out the rows that its reader refuses.
struct RowByRow<'a, T> {
    reader: &'a mut T,
    unreadable: Vec<UnreadableRow>,
}

impl<'a, T> RowByRow<'a, T> {
    fn new(reader: &'a mut T) -> Self {
        Self { reader, unreadable: Vec::new() }
    }
}

impl<T: TableReader> TableReader for RowByRow<'_, T> {
    type Record = T::Record;

    fn read(&mut self, table: Table, split: &'static str) -> Result<TableRows<T::Record>, DataError> {
        let file = table.file.clone();
        let mut found =
            TableRows { rows: Vec::new(), unlabelled: 0, doubts: Vec::new(), notices: Vec::new() };
        let mut of_rows = Vec::new();
        let of_file = read_each(self.reader, table, split, |row, read| match read {
            Ok(read) => {
                found.rows.extend(read.rows);
                found.unlabelled += read.unlabelled;
                found.doubts.extend(read.doubts);
                of_rows.extend(read.notices);
            }
            Err(error) => {
                let (file, reason) = (file.clone(), error.to_string());
                self.unreadable.push(UnreadableRow { split, file, row, reason });
            }
        })?;
        let more = of_rows.len().saturating_sub(TOLD);
        found.notices.extend(of_file.into_iter().chain(of_rows.into_iter().take(TOLD)));
        if more > 0 {
            found.notices.push(format!("{}: {more} more rows with such a notice", file.display()));
        }
        Ok(found)
    }
}

/// Loads a dataset as records of a task. `reader` sees the tables of all splits before a row is read, for what
/// only all splits together say: the names of classes, a scheme of tags.
///
/// With [`RowsRequest::skip_unreadable`], rows that the reader refuses are left out and listed.
///
/// Rows are held out of train by their [`Record::group`]; those of train and validation with the
/// [`Record::key`] of a test row are dropped; subsets keep the rows whose keys have the smallest hashes.
///
/// # Errors
/// Everything that [`load_tables`] and the reader report; [`DataError::EmptySplit`] and
/// [`DataError::NothingButTest`].
pub fn load_rows<T: TableReader>(
    hub: &Hub,
    request: &RowsRequest,
    task: TaskKind,
    reader: impl FnOnce(&DatasetTables) -> Result<T, DataError>,
) -> Result<(DatasetRows<T::Record>, T), DataError> {
    let dataset = load_tables(hub, request, task)?;
    rows_of(dataset, request, reader)
}

/// The records of tables that are there.
pub(crate) fn rows_of<T: TableReader>(
    dataset: DatasetTables,
    request: &RowsRequest,
    reader: impl FnOnce(&DatasetTables) -> Result<T, DataError>,
) -> Result<(DatasetRows<T::Record>, T), DataError> {
    let mut reader = reader(&dataset)?;
    let mut rows = if request.skip_unreadable {
        let mut by_row = RowByRow::new(&mut reader);
        let rows = place_rows(dataset, &mut by_row)?;
        DatasetRows { unreadable: by_row.unreadable, ..rows }
    } else {
        place_rows(dataset, &mut reader)?
    };
    rows.settle(&reader)?;
    rows.take_subsets(request);
    rows.check_not_empty(LARGER_SUBSETS)?;
    reader.check(&rows)?;
    Ok((rows, reader))
}

/// Reads all rows and cuts the missing splits out of train.
pub(crate) fn place_rows<T: TableReader>(
    dataset: DatasetTables,
    reader: &mut T,
) -> Result<DatasetRows<T::Record>, DataError> {
    let DatasetTables { held_out, splits, .. } = &dataset;
    let held_out_of = |share: f64| {
        let hash_of = <T::Record as Record>::GROUP;
        (share > 0.0).then_some(SplitOrigin::HeldOut { share, hash_of, stratified: splits.stratify })
    };
    let source = |named: &Option<String>, share: f64| SplitSource {
        origin: SplitOrigin::of(named.as_ref(), held_out_of(share)),
        examples_before_limit: 0,
    };
    let mut rows = DatasetRows {
        validation_source: source(&splits.validation_file, held_out.validation),
        test_source: source(&splits.test_file, held_out.test),
        name: dataset.name,
        card: dataset.card,
        resolved: dataset.resolved,
        columns: dataset.columns,
        train: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
        full_train_rows: 0,
        leaked: 0,
        unlabelled: 0,
        unreadable: Vec::new(),
        files: Vec::new(),
        notices: dataset.notices,
    };
    rows.validation = rows.read_split(dataset.tables.validation, "validation", reader)?;
    rows.test = rows.read_split(dataset.tables.test, "test", reader)?;
    let train = rows.read_split(dataset.tables.train, "train", reader)?;
    let (held_out, stratify) = (dataset.held_out, dataset.splits.stratify);
    let places = if stratify {
        stratified_places(&rows.name, &train, held_out)?
    } else {
        train.iter().map(|row| held_out.place(&row.group())).collect()
    };
    rows.hold_out(train, &places);
    Ok(rows)
}

/// Where rows go such that each split has the same share of each label.
fn stratified_places<R: Record>(
    dataset: &str,
    train: &[R],
    held_out: HeldOut,
) -> Result<Vec<RowSplit>, DataError> {
    let labelled = |row| R::label(row).map(|label| (R::group(row), label));
    let labelled: Option<Vec<_>> = train.iter().map(labelled).collect();
    let labelled = labelled.ok_or_else(|| DataError::Splits {
        dataset: dataset.to_string(),
        reason: "--stratify is for examples with one label each, and these have none, several or numbers; leave it out"
            .into(),
    })?;
    Ok(held_out.stratified(&labelled))
}

impl<R: Record> DatasetRows<R> {
    /// The records of a split's tables; what is to be said of the tables is kept.
    fn read_split<T: TableReader<Record = R>>(
        &mut self,
        tables: Vec<Table>,
        split: &'static str,
        reader: &mut T,
    ) -> Result<Vec<R>, DataError> {
        let mut rows = Vec::new();
        for table in tables {
            self.files.push(table.report.clone());
            let read = reader.read(table, split)?;
            rows.extend(read.rows);
            self.unlabelled += read.unlabelled;
            self.notices.extend(read.notices);
        }
        Ok(rows)
    }

    /// Drops leaks; refuses what nothing can be learned from.
    pub(crate) fn settle<T: TableReader<Record = R>>(&mut self, reader: &T) -> Result<(), DataError> {
        self.remove_leaks();
        self.full_train_rows = self.train.len();
        self.validation_source.examples_before_limit = self.validation.len();
        self.test_source.examples_before_limit = self.test.len();
        self.check_not_empty(MORE_FILES)?;
        reader.check(self)
    }

    /// The same with other records.
    pub(crate) fn map<S>(self, record: impl Fn(R) -> S) -> DatasetRows<S> {
        let all = |rows: Vec<R>| rows.into_iter().map(&record).collect();
        DatasetRows {
            train: all(self.train),
            validation: all(self.validation),
            test: all(self.test),
            name: self.name,
            card: self.card,
            resolved: self.resolved,
            columns: self.columns,
            validation_source: self.validation_source,
            test_source: self.test_source,
            full_train_rows: self.full_train_rows,
            leaked: self.leaked,
            unlabelled: self.unlabelled,
            unreadable: self.unreadable,
            files: self.files,
            notices: self.notices,
        }
    }

    fn hold_out(&mut self, train: Vec<R>, places: &[RowSplit]) {
        for (row, place) in train.into_iter().zip(places) {
            match place {
                RowSplit::Train => self.train.push(row),
                RowSplit::Validation => self.validation.push(row),
                RowSplit::Test => self.test.push(row),
            }
        }
    }

    fn remove_leaks(&mut self) {
        let test: HashSet<Cow<'_, str>> = self.test.iter().map(R::key).collect();
        self.leaked =
            drop_leaked(&mut self.train, &test, R::key) + drop_leaked(&mut self.validation, &test, R::key);
        if self.leaked > 0 {
            tracing::info!(
                dataset = self.name,
                rows = self.leaked,
                "dropped rows of train and validation whose text is also in test"
            );
        }
    }

    fn check_not_empty(&self, remedy: &'static str) -> Result<(), DataError> {
        let splits = [("train", &self.train), ("validation", &self.validation), ("test", &self.test)];
        match splits.into_iter().find(|(_, rows)| rows.is_empty()) {
            Some(("train", _)) if self.full_train_rows == 0 && self.leaked > 0 => {
                Err(DataError::NothingButTest { dataset: self.name.clone(), rows: self.leaked })
            }
            Some((split, _)) => Err(DataError::EmptySplit { dataset: self.name.clone(), split, remedy }),
            None => Ok(()),
        }
    }

    fn take_subsets(&mut self, request: &RowsRequest) {
        for (rows, count) in [
            (&mut self.train, request.max_train_samples),
            (&mut self.validation, request.max_eval_samples),
            (&mut self.test, request.max_test_samples),
        ] {
            if let Some(count) = count {
                keep_subset(rows, count, request.seed, R::key);
            }
        }
    }
}
