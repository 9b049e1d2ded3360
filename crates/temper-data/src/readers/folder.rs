//! A folder a class, a .txt file an example: the layout of aclImdb (Maas et al. 2011).

use std::path::{Path, PathBuf};

use crate::{Column, DataError, Table, Value};

/// aclImdb's folder of unlabelled reviews.
const UNLABELLED: &str = "unsup";

/// Reads one split folder (`aclImdb/train`) into the columns `text`, `label` and `file`.
///
/// Classes and files are taken in the order of their names, so that row n is the same on every
/// machine; files outside the class folders and the folder `unsup` are left out.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::NotUtf8`] with the file.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let mut names = Vec::new();
    let mut rows = Vec::new();
    for class in class_folders(path)? {
        let id = names.len() as i64;
        let name = file_name(&class);
        for file in sorted_entries(&class)? {
            if file.extension().is_none_or(|end| end != "txt") {
                continue;
            }
            let bytes = std::fs::read(&file).map_err(|source| DataError::io(&file, source))?;
            let text =
                String::from_utf8(bytes).map_err(|_| DataError::NotUtf8 { file: file.clone(), row: 1 })?;
            let place = format!("{name}/{}", file_name(&file));
            rows.push(vec![Value::Text(text), Value::Int(id), Value::Text(place)]);
        }
        names.push(name);
    }
    let label = Column { name: "label".into(), class_names: Some(names) };
    Ok(Table {
        file: path.to_path_buf(),
        columns: vec![Column::plain("text"), label, Column::plain("file")],
        rows,
    })
}

/// The class folders of a split folder, in the order of their names.
pub(crate) fn class_folders(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = sorted_entries(path)?;
    folders.retain(|entry| entry.is_dir() && file_name(entry) != UNLABELLED);
    Ok(folders)
}

fn sorted_entries(path: &Path) -> Result<Vec<PathBuf>, DataError> {
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

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names_without_unsup() {
        let root = tempfile::tempdir().unwrap();
        for (place, text) in [
            ("pos/1_9.txt", "good"),
            ("pos/0_8.txt", "fine"),
            ("neg/0_2.txt", "bad"),
            ("neg/notes.md", "not an example"),
            ("unsup/0_0.txt", "unknown"),
        ] {
            let file = root.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        std::fs::write(root.path().join("urls.txt"), "").unwrap();
        let table = read(root.path()).unwrap();
        let rows: Vec<_> = table
            .rows
            .iter()
            .map(|row| (row[0].as_text().unwrap(), row[1].clone(), row[2].as_text().unwrap()))
            .collect();
        assert_eq!(
            rows,
            [
                ("bad", Value::Int(0), "neg/0_2.txt"),
                ("fine", Value::Int(1), "pos/0_8.txt"),
                ("good", Value::Int(1), "pos/1_9.txt"),
            ]
        );
        assert_eq!(table.columns[1].class_names, Some(vec!["neg".to_string(), "pos".to_string()]));
    }

    #[test]
    fn a_file_that_is_not_utf8_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("neg")).unwrap();
        std::fs::write(root.path().join("neg/7_1.txt"), b"caf\xe9").unwrap();
        let message = read(root.path()).unwrap_err().to_string();
        assert!(message.contains("7_1.txt"), "{message}");
    }
}
