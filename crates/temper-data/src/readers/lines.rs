//! A file's lines, and plain text as a table: one row for each line, in a column named `text`.

use std::path::Path;

use super::source::{TextSource, text_of};
use super::{FileReport, Row, RowReader, choose};
use crate::{Column, DataError, Format, Value};

/// The lines of a text file, without their ends (LF, CR LF, or CR).
pub(super) struct Lines {
    source: TextSource,
    /// How many lines were read.
    pub number: usize,
    after_return: bool,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Ok(Self::of(TextSource::open(path)?))
    }

    /// The lines of a source of which nothing was read.
    pub fn of(source: TextSource) -> Self {
        Self { source, number: 0, after_return: false }
    }

    /// The report of a file of this format, as far as it was read.
    pub fn report(&self, format: Format, rows: usize, blank_lines: usize) -> FileReport {
        let encoding = Some(self.source.encoding());
        FileReport { rows, blank_lines, encoding, ..FileReport::new(self.source.path(), format) }
    }

    /// The next line. A final line end closes the last line; it does not open an empty one.
    pub fn next_line(&mut self) -> Result<Option<String>, DataError> {
        let mut line = Vec::new();
        let mut began = false;
        loop {
            let piece = self.source.piece()?;
            if piece.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                self.source.consume(1);
                continue;
            }
            began = true;
            match piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(end) => {
                    line.extend_from_slice(&piece[..end]);
                    self.after_return = piece[end] == b'\r';
                    self.source.consume(end + 1);
                    break;
                }
                None => {
                    line.extend_from_slice(piece);
                    let count = piece.len();
                    self.source.consume(count);
                }
            }
        }
        if !began {
            return Ok(None);
        }
        self.number += 1;
        text_of(self.source.path(), line).map(Some)
    }

    /// The next line that is not empty or white space; counts those that it skips.
    pub fn next_filled(&mut self, blank_lines: &mut usize) -> Result<Option<String>, DataError> {
        while let Some(line) = self.next_line()? {
            if !line.trim().is_empty() {
                return Ok(Some(line));
            }
            *blank_lines += 1;
        }
        Ok(None)
    }
}

/// A text file's rows; row n is line n, blank lines are left out.
pub(super) struct TextRows {
    lines: Lines,
    columns: Vec<Column>,
    rows: usize,
    blank_lines: usize,
}

impl TextRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let lines = Lines::open(path)?;
        choose(path, &["text".to_string()], wanted)?;
        let columns = wanted.iter().map(|name| Column::plain(*name)).collect();
        Ok(Self { lines, columns, rows: 0, blank_lines: 0 })
    }
}

impl RowReader for TextRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(line) = self.lines.next_filled(&mut self.blank_lines)? else {
            return Ok(None);
        };
        self.rows += 1;
        let cells = self.columns.iter().map(|_| Value::Text(line.clone())).collect();
        Ok(Some(Row { number: self.lines.number, cells }))
    }

    fn report(&self) -> FileReport {
        self.lines.report(Format::Text, self.rows, self.blank_lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> (Vec<(usize, String)>, FileReport) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = TextRows::open(&path, &["text"]).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            rows.push((row.number, row.cells[0].as_text().unwrap().to_string()));
        }
        (rows, reader.report())
    }

    #[test]
    fn lines_lose_their_ends_and_keep_their_numbers() {
        let (lines, report) = rows("\u{feff}one \r\n\n \ntwo\n".as_bytes());
        assert_eq!(lines, [(1, "one ".to_string()), (4, "two".to_string())]);
        assert_eq!((report.rows, report.blank_lines), (2, 2));
    }

    #[test]
    fn a_lone_carriage_return_ends_a_line() {
        let (lines, report) = rows(b"one\rtwo\r\rthree");
        let texts: Vec<_> = lines.iter().map(|(row, text)| (*row, text.as_str())).collect();
        assert_eq!(texts, [(1, "one"), (2, "two"), (4, "three")]);
        assert_eq!(report.blank_lines, 1);
    }

    #[test]
    fn line_ends_may_lie_across_pieces() {
        for length in 65534..65538 {
            let long = "x".repeat(length);
            let (lines, report) = rows(format!("{long}\r\ny\r\n").as_bytes());
            assert_eq!(lines, [(1, long), (2, "y".to_string())]);
            assert_eq!(report.blank_lines, 0);
        }
    }
}
