//! A dataset as the records of a task that is not in the crate.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use temper_data::{
    DataError, DatasetRows, DatasetTables, Record, RowsRequest, Table, TableReader, TableRows, TaskKind,
    load_rows, unit_hash,
};
use temper_hub::{Hub, HubSettings};

/// A verse of a poem; the poem decides the split.
#[derive(Debug, Clone, PartialEq)]
struct Verse {
    poem: String,
    verse: String,
}

impl Record for Verse {
    fn key(&self) -> Cow<'_, str> {
        Cow::from(&self.verse)
    }

    fn group(&self) -> Cow<'_, str> {
        Cow::from(&self.poem)
    }
}

/// Reads verses; remembers what it was shown.
struct VerseReader {
    tables: usize,
    splits: Vec<&'static str>,
}

impl VerseReader {
    fn new(dataset: &DatasetTables) -> Result<Self, DataError> {
        let tables = &dataset.tables;
        let count = tables.train.len() + tables.validation.len() + tables.test.len();
        Ok(Self { tables: count, splits: Vec::new() })
    }
}

impl TableReader for VerseReader {
    type Record = Verse;

    fn read(&mut self, table: Table, split: &'static str) -> Result<TableRows<Verse>, DataError> {
        self.splits.push(split);
        let text = |name: &str, row: &temper_data::readers::Row| {
            row.cells[table.column(name).unwrap()].as_text().unwrap().to_string()
        };
        let rows =
            table.rows.iter().map(|row| Verse { poem: text("source", row), verse: text("target", row) });
        let notices = vec![format!("a table of {split}")];
        Ok(TableRows { rows: rows.collect(), unlabelled: 1, doubts: Vec::new(), notices })
    }

    fn check(&self, dataset: &DatasetRows<Verse>) -> Result<(), DataError> {
        match dataset.train.len() {
            7 => Err(DataError::Card { origin: "verses".into(), reason: "seven".into() }),
            _ => Ok(()),
        }
    }
}

fn write(root: &Path, name: &str, rows: impl Iterator<Item = (usize, usize)>) {
    let rows: String = rows.map(|(poem, verse)| format!("poem {poem},verse {verse}\n")).collect();
    std::fs::create_dir_all(root.join("verses")).unwrap();
    std::fs::write(root.join("verses").join(name), format!("source,target\n{rows}")).unwrap();
}

fn load(
    root: &Path,
    max_train_samples: Option<usize>,
) -> Result<(DatasetRows<Verse>, VerseReader), DataError> {
    let hub = Hub::new(HubSettings {
        mirror: None,
        offline: true,
        cache: root.join("cache"),
        ..HubSettings::from_environment()
    });
    let name_or_path = root.join("verses").display().to_string();
    let request = RowsRequest { name_or_path, max_train_samples, seed: 42, ..RowsRequest::default() };
    load_rows(&hub, &request, TaskKind::TextToText, VerseReader::new)
}

#[test]
fn records_of_a_group_are_held_out_together() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train.csv", (0..200).map(|verse| (verse % 50, verse)));
    let (rows, reader) = load(root.path(), None).unwrap();
    let poems = |rows: &[Verse]| rows.iter().map(|row| row.poem.clone()).collect::<HashSet<_>>();
    assert!(poems(&rows.train).is_disjoint(&poems(&rows.test)));
    assert!(poems(&rows.train).is_disjoint(&poems(&rows.validation)));
    assert!(poems(&rows.test).iter().all(|poem| unit_hash(poem) < 0.1));
    assert_eq!(rows.test.len(), 4 * poems(&rows.test).len());
    assert_eq!(rows.train.len() + rows.validation.len() + rows.test.len(), 200);
    assert_eq!((reader.tables, reader.splits), (1, vec!["train"]));
}

#[test]
fn records_leak_by_their_keys_and_what_tables_say_is_kept() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train.csv", (0..20).map(|verse| (1, verse)));
    write(root.path(), "dev.csv", (20..25).map(|verse| (2, verse)));
    // The poem is train's; of the verses only 3 and 24 are there.
    write(root.path(), "test.csv", [(1, 3), (1, 24), (1, 99)].into_iter());
    let (rows, reader) = load(root.path(), Some(6)).unwrap();
    assert_eq!((rows.leaked, rows.full_train_rows, rows.train.len()), (2, 19, 6));
    assert_eq!(rows.validation.len(), 4);
    assert_eq!(reader.splits, ["validation", "test", "train"]);
    assert_eq!(rows.notices, ["a table of validation", "a table of test", "a table of train"]);
    assert_eq!((rows.unlabelled, rows.files.len()), (3, 3));
    assert_eq!(rows.columns["source"], "source");
    let kept = |rows: &DatasetRows<Verse>| rows.train.clone();
    assert_eq!(kept(&rows), kept(&load(root.path(), Some(6)).unwrap().0));
}

#[test]
fn the_task_may_refuse_what_is_there_and_what_a_subset_leaves() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train.csv", (0..7).map(|verse| (1, verse)));
    write(root.path(), "dev.csv", (20..25).map(|verse| (2, verse)));
    write(root.path(), "test.csv", (30..35).map(|verse| (3, verse)));
    assert!(matches!(load(root.path(), Some(3)), Err(DataError::Card { .. })));
    write(root.path(), "train.csv", (0..8).map(|verse| (1, verse)));
    assert!(load(root.path(), Some(3)).is_ok());
    assert!(matches!(load(root.path(), Some(7)), Err(DataError::Card { .. })));
}
