//! Datasets that are files of the user: one table, a folder of split files, an aclImdb tree.

use std::path::{Path, PathBuf};

use crate::pattern::files_of;
use crate::readers::folder::{has_classes, sorted_entries};
use crate::readers::{WantedColumns, is_compressed, is_other_data};
use crate::saved;
use crate::{DataError, Format, HeldOut, SplitChoice, Table};

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

/// Reads some columns of a file, or of a folder of `train.*`, `validation.*` (or `valid`, `dev`,
/// `val`) and `test.*` (also in shards, `train-00000-of-00002.parquet`), or of an aclImdb tree.
///
/// A missing test or validation split is to be held out of train, a tenth each.
///
/// # Errors
/// [`DataError::NoTrainingFiles`] for a folder of something else; [`DataError::SplitFile`] for a
/// split of which one file would be skipped; as the readers.
pub fn read_local(path: &Path, wanted: &[&str]) -> Result<(SplitTables, HeldOut), DataError> {
    let wanted = WantedColumns { needed: wanted.to_vec(), if_there: Vec::new() };
    read_splits(&path.to_string_lossy(), &wanted, &SplitChoice::default())
}

/// [`read_local`], also of a pattern, with columns that are read where files have them and splits as they are asked for.
pub(crate) fn read_splits(
    name: &str,
    wanted: &WantedColumns<'_>,
    choice: &SplitChoice,
) -> Result<(SplitTables, HeldOut), DataError> {
    let path = Path::new(name);
    let mut tables = if path.is_dir() {
        read_folder(path, wanted)?
    } else {
        SplitTables { train: read_files(name, wanted)?, ..SplitTables::default() }
    };
    for (split, named) in
        [(&mut tables.validation, &choice.validation_file), (&mut tables.test, &choice.test_file)]
    {
        if let Some(file) = named {
            *split = read_files(file, wanted)?;
        }
    }
    let held_out = choice.held_out(name, &tables, HeldOut { test: SHARE, validation: SHARE })?;
    Ok((tables, held_out))
}

/// The tables of a file or of the files of a pattern, which have one format.
pub(crate) fn read_files(name: &str, wanted: &WantedColumns<'_>) -> Result<Vec<Table>, DataError> {
    let files = files_of(name)?;
    refuse_other_splits(name, &files)?;
    let mut formats: Vec<(PathBuf, Format)> = Vec::new();
    for file in files {
        if saved::is_saved(&file) {
            formats.extend(saved::files(&file)?.into_iter().map(|file| (file, Format::Arrow)));
            continue;
        }
        let format = if file.is_dir() { Format::Folder } else { Format::of_file(&file)? };
        refuse_other_format(&formats, &file, format)?;
        formats.push((file, format));
    }
    formats.iter().map(|(file, format)| format.read_wanted(file, wanted)).collect()
}

/// Refuses a pattern that fits files of train and of other splits: all of them would be trained on.
fn refuse_other_splits(pattern: &str, files: &[PathBuf]) -> Result<(), DataError> {
    let of = |names: &[&str]| files.iter().find(|file| is_of_split(file, names));
    let other = of(VALIDATION).or_else(|| of(TEST));
    match (of(TRAIN), other) {
        (Some(train), Some(other)) => Err(DataError::Pattern {
            pattern: pattern.to_string(),
            reason: format!(
                "it fits {} and {}, files of different splits; name their folder, or give each split a pattern of its own",
                train.display(),
                other.display()
            ),
        }),
        _ => Ok(()),
    }
}

/// The first of the files to train on, with its format: it determines which columns a dataset has.
///
/// # Errors
/// As [`read_local`].
pub(crate) fn first_file(name: &str) -> Result<(PathBuf, Format), DataError> {
    let path = Path::new(name);
    if !path.is_dir() {
        let first = files_of(name)?.swap_remove(0);
        let format = Format::of_file(&first)?;
        return Ok((first, format));
    }
    if saved::is_saved(path) {
        let splits = saved::splits(path)?;
        let first = splits.iter().find(|(name, _)| TRAIN.contains(&name.as_str()));
        let first = first.and_then(|(_, files)| files.first().cloned());
        return first.map(|file| (file, Format::Arrow)).ok_or_else(|| no_saved_split(path, &splits));
    }
    let entries = sorted_entries(path)?;
    let first = split_files(&entries, TRAIN)?.into_iter().next();
    first.ok_or_else(|| no_training_files(path, &entries))
}

fn no_training_files(path: &Path, entries: &[PathBuf]) -> DataError {
    let names = entries.iter().filter_map(|entry| entry.file_name());
    let found = names.map(|name| name.to_string_lossy().into_owned()).collect();
    DataError::NoTrainingFiles { path: path.to_path_buf(), found }
}

/// Reads the splits of a folder that `save_to_disk` wrote; the names of others are in the report of the first file.
fn read_saved(path: &Path, wanted: &WantedColumns<'_>) -> Result<SplitTables, DataError> {
    let mut tables = SplitTables::default();
    let (splits, mut left_out) = (saved::splits(path)?, Vec::new());
    for (name, files) in &splits {
        let split = match name.as_str() {
            name if TRAIN.contains(&name) => &mut tables.train,
            name if VALIDATION.contains(&name) => &mut tables.validation,
            name if TEST.contains(&name) => &mut tables.test,
            _ => {
                left_out.push(format!("{name}/"));
                continue;
            }
        };
        for file in files {
            split.push(Format::Arrow.read_wanted(file, wanted)?);
        }
    }
    match tables.train.first_mut() {
        Some(first) => left_out.into_iter().for_each(|name| first.report.left_out.add(name)),
        None => return Err(no_saved_split(path, &splits)),
    }
    Ok(tables)
}

fn no_saved_split(path: &Path, splits: &[(String, Vec<PathBuf>)]) -> DataError {
    DataError::NoTrainingFiles {
        path: path.to_path_buf(),
        found: splits.iter().map(|(name, _)| name.clone()).collect(),
    }
}

fn read_folder(path: &Path, wanted: &WantedColumns<'_>) -> Result<SplitTables, DataError> {
    if saved::is_saved(path) {
        return read_saved(path, wanted);
    }
    let entries = sorted_entries(path)?;
    let read = |names| -> Result<Vec<Table>, DataError> {
        split_files(&entries, names)?.iter().map(|(file, format)| format.read_wanted(file, wanted)).collect()
    };
    if split_files(&entries, TRAIN)?.is_empty() {
        return Err(no_training_files(path, &entries));
    }
    Ok(SplitTables { train: read(TRAIN)?, validation: read(VALIDATION)?, test: read(TEST)? })
}

/// The files and class folders of a split with their formats, which must be one.
fn split_files(entries: &[PathBuf], names: &[&str]) -> Result<Vec<(PathBuf, Format)>, DataError> {
    let mut files: Vec<(PathBuf, Format)> = Vec::new();
    for entry in entries.iter().filter(|entry| is_of_split(entry, names)) {
        let format = if entry.is_dir() {
            has_classes(entry)?.then_some(Format::Folder)
        } else {
            match Format::of_file(entry) {
                Ok(format) => Some(format),
                Err(DataError::UnknownFormat { path, remedy }) if is_other_data(entry) => {
                    return Err(DataError::SplitFile { path, reason: remedy.to_string() });
                }
                Err(_) => None,
            }
        };
        if let Some(format) = format {
            refuse_other_format(&files, entry, format)?;
        }
        files.extend(format.map(|format| (entry.clone(), format)));
    }
    Ok(files)
}

/// Refuses a file whose format is not that of the files of its split before it.
fn refuse_other_format(before: &[(PathBuf, Format)], file: &Path, format: Format) -> Result<(), DataError> {
    match before.first() {
        Some((first, other)) if format != *other => {
            let reason =
                format!("{} is of the same split in another format; keep one of them", first.display());
            Err(DataError::SplitFile { path: file.to_path_buf(), reason })
        }
        _ => Ok(()),
    }
}

/// True if the entry is named like a split or a shard of it: `train.csv`, `train-0.csv`, `train/`;
/// also `train.csv.gz`, and data that cannot be read.
fn is_of_split(entry: &Path, names: &[&str]) -> bool {
    let mut stem = if entry.is_dir() { entry.file_name() } else { entry.file_stem() };
    if is_other_data(entry) || is_compressed(entry) {
        stem = stem.and_then(|stem| Path::new(stem).file_stem());
    }
    let stem = stem.map(|stem| stem.to_string_lossy()).unwrap_or_default();
    names
        .iter()
        .any(|name| stem == *name || stem.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')))
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
        let (tables, held_out) = read_local(&folder.path().join("reviews.csv"), &["text"]).unwrap();
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
        let (tables, held_out) = read_local(folder.path(), &["text"]).unwrap();
        assert_eq!(tables.train.len(), 2);
        assert_eq!(tables.train[1].rows[0].cells[0].as_text(), Some("b"));
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
        let (tables, held_out) = read_local(folder.path(), &["text"]).unwrap();
        assert_eq!(tables.train[0].rows.len(), 2);
        assert_eq!(tables.test[0].rows.len(), 1);
        assert_eq!((held_out.test, held_out.validation), (0.0, 0.1));
    }

    #[test]
    fn a_folder_of_something_else_says_what_was_expected() {
        let folder = folder_of(&[("data.csv", "text\na\n")]);
        let message = read_local(folder.path(), &["text"]).unwrap_err().to_string();
        assert!(message.contains("train.csv"), "{message}");
    }

    #[test]
    fn files_that_would_be_passed_over_are_refused() {
        for (name, part) in [
            ("train.jsonl.gz", "another format"),
            ("train.parquet.gz", "unpack"),
            ("train.csv.xz", "unpack"),
            ("train-2.parquet", "another format"),
            ("train.tsv", "another format"),
        ] {
            let folder = folder_of(&[("train.csv", "text\na\n"), (name, "")]);
            let error = read_local(folder.path(), &["text"]).unwrap_err();
            let message = error.to_string();
            assert!(matches!(error, DataError::SplitFile { .. }), "{name}: {message}");
            assert!(message.contains(name) && message.contains(part), "{message}");
        }
        let folder = folder_of(&[("train.csv", "text\na\n"), ("train.log", "no data")]);
        assert_eq!(read_local(folder.path(), &["text"]).unwrap().0.train.len(), 1);
    }

    #[test]
    fn a_missing_file_and_a_missing_folder_are_named() {
        let folder = folder_of(&[]);
        let message = |path: &str| read_local(&folder.path().join(path), &["text"]).unwrap_err().to_string();
        assert!(message("data.csv").contains("no such file"), "{}", message("data.csv"));
        let missing = message("missing/data.csv");
        assert!(missing.contains("missing/data.csv") && missing.contains("nor its folder"), "{missing}");
    }

    #[test]
    fn a_file_without_rows_and_one_of_unknown_format_are_refused() {
        let folder = folder_of(&[("a.csv", "text,label\n"), ("b.xlsx", "?")]);
        let error = read_local(&folder.path().join("a.csv"), &["text"]).unwrap_err();
        assert!(matches!(error, DataError::EmptyFile { .. }), "{error}");
        let error = read_local(&folder.path().join("b.xlsx"), &["text"]).unwrap_err();
        assert!(matches!(error, DataError::UnknownFormat { .. }), "{error}");
    }
}
