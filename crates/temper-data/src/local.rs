//! Datasets that are files of the user: one table, a folder of split files, an aclImdb tree.

use std::path::{Path, PathBuf};

use crate::readers::folder::class_folders;
use crate::{DataError, Format, HeldOut, Table};

/// The share of train that becomes a split which the files do not have.
const SHARE: f64 = 0.1;

/// The names that people give to the files of each split.
const TRAIN: &[&str] = &["train"];
const VALIDATION: &[&str] = &["validation", "valid", "dev", "val"];
const TEST: &[&str] = &["test"];

/// The tables of each split, before rows are held out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SplitTables {
    /// To train on.
    pub train: Vec<Table>,
    /// To choose by; empty where it is held out of train.
    pub validation: Vec<Table>,
    /// To report; empty where it is held out of train.
    pub test: Vec<Table>,
}

/// Reads a file, or a folder of `train.*`, `validation.*` (or `valid`, `dev`, `val`) and `test.*`
/// (also in shards, `train-00000-of-00002.parquet`), or an aclImdb tree.
///
/// A missing test or validation split is to be held out of train, a tenth each.
///
/// # Errors
/// [`DataError::NoTrainingFiles`] for a folder of something else; as the readers.
pub fn read_local(path: &Path) -> Result<(SplitTables, HeldOut), DataError> {
    let tables = if path.is_dir() {
        read_folder(path)?
    } else {
        SplitTables { train: vec![Format::of_path(path)?.read(path)?], ..SplitTables::default() }
    };
    let share = |files: &[Table]| if files.is_empty() { SHARE } else { 0.0 };
    let held_out = HeldOut { test: share(&tables.test), validation: share(&tables.validation) };
    Ok((tables, held_out))
}

fn read_folder(path: &Path) -> Result<SplitTables, DataError> {
    let entries = entries(path)?;
    let tables = SplitTables {
        train: read_split(&entries, TRAIN)?,
        validation: read_split(&entries, VALIDATION)?,
        test: read_split(&entries, TEST)?,
    };
    if tables.train.is_empty() {
        return Err(DataError::NoTrainingFiles { path: path.to_path_buf() });
    }
    Ok(tables)
}

fn entries(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::io(path, source);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn read_split(entries: &[PathBuf], names: &[&str]) -> Result<Vec<Table>, DataError> {
    let mut tables = Vec::new();
    for entry in entries {
        let Some(stem) = entry.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let is_named = |name: &&str| stem == *name || stem.starts_with(&format!("{name}-"));
        if !names.iter().any(is_named) {
            continue;
        }
        if entry.is_dir() {
            if !class_folders(entry)?.is_empty() {
                tables.push(Format::Folder.read(entry)?);
            }
        } else if let Ok(format) = Format::of_path(entry) {
            tables.push(format.read(entry)?);
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn one_file_is_train_and_gives_up_two_tenths() {
        let folder = folder_of(&[("reviews.csv", "text,label\na,1\n")]);
        let (tables, held_out) = read_local(&folder.path().join("reviews.csv")).unwrap();
        assert_eq!(tables.train.len(), 1);
        assert_eq!((held_out.test, held_out.validation), (0.1, 0.1));
    }

    #[test]
    fn split_files_and_shards_are_found_by_their_names() {
        let folder = folder_of(&[
            ("train-00000-of-00002.jsonl", "{\"text\": \"a\"}"),
            ("train-00001-of-00002.jsonl", "{\"text\": \"b\"}"),
            ("dev.csv", "text\nc\n"),
            ("training_notes.txt", "no data"),
        ]);
        let (tables, held_out) = read_local(folder.path()).unwrap();
        assert_eq!(tables.train.len(), 2);
        assert_eq!(tables.train[1].rows[0][0].as_text(), Some("b"));
        assert_eq!(tables.validation.len(), 1);
        assert_eq!((held_out.test, held_out.validation), (0.1, 0.0));
    }

    #[test]
    fn an_acl_imdb_tree_is_read_by_its_folders() {
        let folder = folder_of(&[
            ("train/neg/0_1.txt", "bad"),
            ("train/pos/0_9.txt", "good"),
            ("test/neg/0_1.txt", "worse"),
            ("imdb.vocab", "the"),
        ]);
        let (tables, held_out) = read_local(folder.path()).unwrap();
        assert_eq!(tables.train[0].rows.len(), 2);
        assert_eq!(tables.test[0].rows.len(), 1);
        assert_eq!((held_out.test, held_out.validation), (0.0, 0.1));
    }

    #[test]
    fn a_folder_of_something_else_says_what_was_expected() {
        let folder = folder_of(&[("data.csv", "text\na\n")]);
        let message = read_local(folder.path()).unwrap_err().to_string();
        assert!(message.contains("train.csv"), "{message}");
    }

    #[test]
    fn a_file_without_rows_and_one_of_unknown_format_are_refused() {
        let folder = folder_of(&[("a.csv", "text,label\n"), ("b.xlsx", "?")]);
        let error = read_local(&folder.path().join("a.csv")).unwrap_err();
        assert!(matches!(error, DataError::EmptyFile { .. }), "{error}");
        let error = read_local(&folder.path().join("b.xlsx")).unwrap_err();
        assert!(matches!(error, DataError::UnknownFormat { .. }), "{error}");
    }
}
