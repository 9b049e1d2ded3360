//! Comma- and TAB-separated values with a header line.

use std::path::Path;

use crate::{Column, DataError, Table, Value};

/// Reads a file with a header line; every cell is text.
///
/// Fields may be quoted with `"` and then contain separators and line breaks.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::RaggedRow`], [`DataError::NotUtf8`] and [`DataError::Broken`]
/// with the row.
pub fn read(path: &Path, delimiter: u8) -> Result<Table, DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_path(path)
        .map_err(|error| convert(path, 0, error))?;
    let columns =
        reader.headers().map_err(|error| convert(path, 0, error))?.iter().map(Column::plain).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| convert(path, rows.len() + 1, error))?;
        rows.push(record.iter().map(|field| Value::Text(field.to_string())).collect());
    }
    Ok(Table { file: path.to_path_buf(), columns, rows })
}

fn convert(path: &Path, row: usize, error: csv::Error) -> DataError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => DataError::io(path, source),
        csv::ErrorKind::Utf8 { .. } => DataError::NotUtf8 { file: path.to_path_buf(), row },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            DataError::RaggedRow { file: path.to_path_buf(), row, line, expected: expected_len, found: len }
        }
        other => DataError::broken(path, Some(row), format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8], delimiter: u8) -> Result<Table, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, bytes).unwrap();
        read(&path, delimiter)
    }

    #[test]
    fn quoted_fields_keep_commas_quotes_and_line_breaks() {
        let table = read_bytes(b"\xef\xbb\xbftext,label\r\n\"a, \"\"b\"\"\nc\",pos\r\nd,\r\n", b',').unwrap();
        assert_eq!(table.column("text").unwrap(), 0, "the byte-order mark stays out");
        assert_eq!(table.rows[0][0].as_text(), Some("a, \"b\"\nc"));
        assert_eq!(table.rows[1][1].as_text(), Some(""));
    }

    #[test]
    fn tabs_separate_a_tsv() {
        let table = read_bytes(b"text\tlabel\na, b\t1\n", b'\t').unwrap();
        assert_eq!(table.rows[0][0].as_text(), Some("a, b"));
    }

    #[test]
    fn a_ragged_row_is_named_with_its_line() {
        let error = read_bytes(b"text,label\n\"a\nb\",1\nc, d,1\n", b',').unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, DataError::RaggedRow { row: 2, line: 4, expected: 2, found: 3, .. }),
            "{message}"
        );
        assert!(message.contains("row 2 (line 4): 3 fields"), "{message}");
    }

    #[test]
    fn a_row_that_is_not_utf8_is_named() {
        let error = read_bytes(b"text,label\na,1\ncaf\xe9,1\n", b',').unwrap_err();
        assert!(matches!(error, DataError::NotUtf8 { row: 2, .. }), "{error}");
    }
}
