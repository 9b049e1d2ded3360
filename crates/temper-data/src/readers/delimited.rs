//! Values separated by commas, TABs or semicolons, with a header line.

use std::path::Path;

use super::records::{FieldRow, Records, Spread};
use super::source::TextSource;
use super::{FileReport, Row, RowReader, SwallowedLines, choose};
use crate::{Column, DataError, Format, Value};

/// Characters of a value that are kept to compare it with labels.
const LONGEST_VALUE: usize = 80;

/// Fields whose lines have the shape of rows that are kept: most files have none, some have many.
const SWALLOWED: usize = 10_000;

/// What separates fields where the format's own delimiter does not give the columns.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The rows of a file with a header line; every cell is text.
///
/// Fields may be quoted with `"` and then contain separators and line breaks.
pub(super) struct DelimitedRows {
    records: Records,
    record: FieldRow,
    format: Format,
    /// How many fields the header has.
    width: usize,
    /// Of each column that is read, the index of its field.
    fields: Vec<usize>,
    columns: Vec<Column>,
    rows: usize,
    swallowed: Vec<SwallowedLines>,
}

impl DelimitedRows {
    /// Opens a file and reads its header.
    ///
    /// A file whose header lacks the wanted columns under its format's delimiter, but has them
    /// under another, is read with that one. Where it has them under none, the error names the columns under the
    /// delimiter that gives most.
    pub fn open(path: &Path, format: Format, wanted: &[&str]) -> Result<Self, DataError> {
        let usual = if format == Format::Tsv { b'\t' } else { b',' };
        let mut failed = match Self::open_with(path, format, usual, wanted) {
            Err(error @ DataError::MissingColumn { .. }) => error,
            result => return result,
        };
        let known = |error: &DataError| match error {
            DataError::MissingColumn { available, .. } => available.len(),
            _ => 0,
        };
        for delimiter in DELIMITERS.into_iter().filter(|delimiter| *delimiter != usual) {
            match Self::open_with(path, format, delimiter, wanted) {
                Ok(reader) => return Ok(reader),
                // Where it cuts the header into more columns, those are the columns that there are.
                Err(error) if known(&error) > known(&failed) => failed = error,
                Err(_) => {}
            }
        }
        Err(failed)
    }

    fn open_with(path: &Path, format: Format, delimiter: u8, wanted: &[&str]) -> Result<Self, DataError> {
        let mut records = Records::new(TextSource::open(path)?, delimiter);
        let mut record = FieldRow::default();
        let mut fields = Vec::new();
        if records.read(&mut record)? {
            let names: Vec<String> = (0..record.len()).map(|index| record.text(index)).collect();
            fields = choose(path, &names, wanted)?;
        }
        let columns = wanted.iter().map(|name| Column::untyped(*name)).collect();
        let width = record.len();
        Ok(Self { records, record, format, width, fields, columns, rows: 0, swallowed: Vec::new() })
    }

    /// What the lines of a quoted field would be as rows, if they have the shape of rows: a quote
    /// too many makes one field of them.
    fn swallowed(&self, spread: &Spread) -> Option<SwallowedLines> {
        let text = self.record.text(spread.field).replace("\r\n", "\n").replace('\r', "\n");
        let delimiter = char::from(self.records.delimiter());
        let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split(delimiter).collect()).collect();
        let last = lines.len() - 1;
        // The first line begins and the last one ends in the field; those between are whole.
        let has_shape = |(index, fields): (usize, &Vec<&str>)| {
            fields.len()
                == match index {
                    0 => self.width - spread.field,
                    _ if index == last => spread.field + 1,
                    _ => self.width,
                }
        };
        if self.width < 2 || !lines.iter().enumerate().all(has_shape) {
            return None;
        }
        let values_of = |field: usize| {
            let value = |(index, fields): (usize, &Vec<&str>)| {
                let is_cut = field == spread.field && (index == 0 || index == last);
                let place = field.checked_sub(if index == 0 { spread.field } else { 0 })?;
                let value = fields.get(place).filter(|_| !is_cut)?;
                Some(value.chars().take(LONGEST_VALUE).collect())
            };
            lines.iter().enumerate().filter_map(value).collect()
        };
        Some(SwallowedLines {
            first_line: spread.first_line,
            last_line: spread.last_line,
            values: self.fields.iter().map(|field| values_of(*field)).collect(),
        })
    }
}

impl RowReader for DelimitedRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        if !self.records.read(&mut self.record)? {
            return Ok(None);
        }
        let number = self.rows + 1;
        if self.record.len() != self.width {
            return Err(DataError::RaggedRow {
                file: self.records.path().to_path_buf(),
                row: number,
                line: self.record.line,
                expected: self.width as u64,
                found: self.record.len() as u64,
            });
        }
        self.rows = number;
        let found = self.record.spreads.iter().filter_map(|spread| self.swallowed(spread));
        let found: Vec<SwallowedLines> = found.take(SWALLOWED - self.swallowed.len()).collect();
        self.swallowed.extend(found);
        let cells = self.fields.iter().map(|field| Value::Text(self.record.text(*field))).collect();
        Ok(Some(Row { number, cells }))
    }

    fn report(&self) -> FileReport {
        FileReport { swallowed: self.swallowed.clone(), ..self.records.report(self.format, self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(
        name: &str,
        bytes: &[u8],
        wanted: &[&str],
    ) -> Result<(Vec<Vec<Value>>, FileReport), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut reader = DelimitedRows::open(&path, Format::of_path(&path)?, wanted)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            assert_eq!(row.number, rows.len() + 1);
            rows.push(row.cells);
        }
        Ok((rows, reader.report()))
    }

    fn texts(cells: &[Value]) -> Vec<&str> {
        cells.iter().map(|cell| cell.as_text().unwrap()).collect()
    }

    #[test]
    fn wanted_columns_are_read_by_their_names() {
        let file = b"\xef\xbb\xbfid,text,label\r\n1,\"a, b\",pos\r\n2,c,\r\n";
        let (rows, report) = read_all("a.csv", file, &["label", "text"]).unwrap();
        assert_eq!(texts(&rows[0]), ["pos", "a, b"]);
        assert_eq!(texts(&rows[1]), ["", "c"]);
        assert_eq!((report.rows, report.delimiter), (2, Some(',')));
    }

    #[test]
    fn tabs_separate_a_tsv() {
        let (rows, _) = read_all("a.tsv", b"text\tlabel\na, b\t1\n", &["text", "label"]).unwrap();
        assert_eq!(texts(&rows[0]), ["a, b", "1"]);
    }

    #[test]
    fn another_delimiter_is_taken_where_only_it_gives_the_columns() {
        let (rows, report) = read_all("a.csv", b"text;label\na, b;1\n", &["text", "label"]).unwrap();
        assert_eq!(texts(&rows[0]), ["a, b", "1"]);
        assert_eq!(report.delimiter, Some(';'));
        let error = read_all("a.csv", b"text;label\na;1\n", &["text", "lable"]).unwrap_err();
        assert!(error.to_string().contains("did you mean `label`"), "{error}");
    }

    #[test]
    fn a_row_with_too_many_or_too_few_fields_is_named_with_its_line() {
        for (row, found) in [("c, d,1", 3), ("c", 1)] {
            let file = format!("text,label\n\"a\nb\",1\n{row}\n");
            let error = read_all("a.csv", file.as_bytes(), &["text"]).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("row 2 (line 4): {found} field")), "{message}");
            assert!(matches!(error, DataError::RaggedRow { row: 2, line: 4, expected: 2, .. }));
        }
    }

    #[test]
    fn a_repeated_column_name_is_refused() {
        let error = read_all("a.csv", b"text,label,text\na,1,b\n", &["text"]).unwrap_err();
        assert!(error.to_string().contains("two columns are called `text`"), "{error}");
        assert!(read_all("a.csv", b",text,\n0,a,1\n", &["text"]).is_ok(), "unnamed columns are none");
    }

    #[test]
    fn a_file_without_a_header_has_no_rows() {
        assert_eq!(read_all("a.csv", b"\n\n", &["text"]).unwrap().0.len(), 0);
    }

    #[test]
    fn lines_in_a_field_that_look_like_rows_are_reported_with_their_values() {
        let file = b"text,label\na,pos\n\"b,neg\nc,pos\nd 27\",neg\n";
        let (rows, report) = read_all("a.csv", file, &["text", "label"]).unwrap();
        assert_eq!(rows.len(), 2);
        let found = &report.swallowed[0];
        assert_eq!((found.first_line, found.last_line), (3, 5));
        assert_eq!(found.values, [vec!["c".to_string()], vec!["neg".to_string(), "pos".to_string()]]);

        let file = b"label,text\npos,a\nneg,\"b\npos,c\nneg,d 27\"\n";
        let (_, report) = read_all("a.csv", file, &["text", "label"]).unwrap();
        assert_eq!(report.swallowed[0].values[1], ["pos", "neg"]);
    }

    #[test]
    fn a_text_of_several_lines_is_no_row() {
        let file = b"text,label\n\"Dear all,\n\nI like it, really, much.\nAda\",pos\n";
        let (rows, report) = read_all("a.csv", file, &["text", "label"]).unwrap();
        assert_eq!((rows.len(), report.swallowed.len()), (1, 0));
    }
}
