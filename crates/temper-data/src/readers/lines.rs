//! Plain text: one row a line, in a column named `text`.

use std::path::Path;

use super::text_lines;
use crate::{Column, DataError, Table, Value};

/// Reads a text file; row n is line n, empty lines included.
///
/// # Errors
/// [`DataError::Io`], or [`DataError::NotUtf8`] with the line.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let rows = text_lines(path)?.into_iter().map(|line| vec![Value::Text(line)]).collect();
    Ok(Table { file: path.to_path_buf(), columns: vec![Column::plain("text")], rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "\u{feff}one \r\n\ntwo\n").unwrap();
        let table = read(&path).unwrap();
        let texts: Vec<_> = table.rows.iter().map(|row| row[0].as_text()).collect();
        assert_eq!(texts, [Some("one "), Some(""), Some("two")]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, b"good\ncaf\xe9\n").unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, DataError::NotUtf8 { row: 2, .. }), "{error}");
    }
}
