//! A folder a class, a .txt file an example: the layout of aclImdb (Maas et al. 2011).

use std::path::{Path, PathBuf};

use super::source::TextSource;
use super::{FileReport, LeftOut, Row, RowReader, choose};
use crate::{Column, DataError, Format, Value};

/// aclImdb's folder of unlabelled reviews.
const UNLABELLED: &str = "unsup";

/// Folders that programs leave behind.
const LITTER: [&str; 2] = ["__pycache__", "__MACOSX"];

/// The columns of every folder.
const COLUMNS: [&str; 3] = ["text", "label", "file"];

/// The rows of one split folder (`aclImdb/train`): `text`, `label` and `file`.
///
/// Classes and files are taken in the order of their names, so that row n is the same on every
/// machine. A folder with .txt files is a class. Left out are hidden folders and files, folders
/// without .txt files, what has another ending, files outside the class folders and `unsup`.
pub(super) struct FolderRows {
    files: std::vec::IntoIter<(String, PathBuf)>,
    fields: Vec<usize>,
    columns: Vec<Column>,
    report: FileReport,
}

impl FolderRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let (files, left_out) = class_files(path)?;
        Ok(Self {
            files: files.into_iter(),
            fields: choose(path, &COLUMNS.map(String::from), wanted)?,
            columns: wanted.iter().map(|name| Column::plain(*name)).collect(),
            report: FileReport { left_out, ..FileReport::new(path, Format::Folder) },
        })
    }
}

impl RowReader for FolderRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some((class, file)) = self.files.next() else {
            return Ok(None);
        };
        let text = TextSource::open(&file)?.read_all()?;
        self.report.rows += 1;
        let place = format!("{class}/{}", file_name(&file));
        let cells = [text, class, place].map(Value::Text);
        let cells = self.fields.iter().map(|field| cells[*field].clone()).collect();
        Ok(Some(Row { number: self.report.rows, cells }))
    }

    fn report(&self) -> FileReport {
        self.report.clone()
    }
}

/// Whether a folder has a folder with .txt files.
pub(crate) fn has_classes(path: &Path) -> Result<bool, DataError> {
    Ok(!class_files(path)?.0.is_empty())
}

/// The .txt files of the class folders with their classes, and what is not among them.
fn class_files(path: &Path) -> Result<(Vec<(String, PathBuf)>, LeftOut), DataError> {
    let mut files = Vec::new();
    let mut left_out = LeftOut::default();
    for class in sorted_entries(path)? {
        let name = file_name(&class);
        if !class.is_dir() || is_hidden(&name) || name == UNLABELLED {
            left_out.add(name + if class.is_dir() { "/" } else { "" });
            continue;
        }
        let before = files.len();
        let mut others = Vec::new();
        for file in sorted_entries(&class)? {
            if file.extension().is_some_and(|end| end == "txt") && !is_hidden(&file_name(&file)) {
                files.push((name.clone(), file));
            } else {
                others.push(format!("{name}/{}", file_name(&file)));
            }
        }
        if files.len() == before {
            left_out.add(format!("{name}/"));
        } else {
            others.into_iter().for_each(|other| left_out.add(other));
        }
    }
    Ok((files, left_out))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || LITTER.contains(&name)
}

/// The entries of a folder in the order of their names.
pub(crate) fn sorted_entries(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::io(path, source);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &[u8])]) -> Result<(Vec<Vec<Value>>, FileReport), DataError> {
        let root = tempfile::tempdir().unwrap();
        for (place, text) in files {
            let file = root.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let mut reader = FolderRows::open(root.path(), &COLUMNS)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row.cells);
        }
        Ok((rows, reader.report()))
    }

    fn texts(cells: &[Value]) -> Vec<&str> {
        cells.iter().map(|cell| cell.as_text().unwrap()).collect()
    }

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names_without_unsup() {
        let (rows, report) = read_files(&[
            ("pos/1_9.txt", b"good"),
            ("pos/0_8.txt", b"fine"),
            ("neg/0_2.txt", b"bad"),
            ("neg/notes.md", b"not an example"),
            ("unsup/0_0.txt", b"unknown"),
            ("urls.txt", b""),
        ])
        .unwrap();
        assert_eq!(texts(&rows[0]), ["bad", "neg", "neg/0_2.txt"]);
        assert_eq!(texts(&rows[1]), ["fine", "pos", "pos/0_8.txt"]);
        assert_eq!(texts(&rows[2]), ["good", "pos", "pos/1_9.txt"]);
        assert_eq!(report.rows, 3);
        assert_eq!(report.left_out.names, ["neg/notes.md", "unsup/", "urls.txt"]);
    }

    #[test]
    fn hidden_and_empty_folders_are_no_classes() {
        let (rows, report) = read_files(&[
            ("neg/0.txt", b"bad"),
            ("neg/.1.txt", b"an editor's copy"),
            (".ipynb_checkpoints/0.txt", b"bad"),
            ("__pycache__/0.txt", b""),
            ("images/0.png", b""),
            (".DS_Store", b""),
        ])
        .unwrap();
        assert_eq!(rows.len(), 1);
        let left_out = [".DS_Store", ".ipynb_checkpoints/", "__pycache__/", "images/", "neg/.1.txt"];
        assert_eq!(report.left_out.names, left_out);
        assert_eq!(report.left_out.count, 5);
    }

    #[test]
    fn a_file_that_is_not_utf8_is_named() {
        let message = read_files(&[("neg/7_1.txt", b"caf\xe9")]).unwrap_err().to_string();
        assert!(message.contains("7_1.txt"), "{message}");
    }
}
