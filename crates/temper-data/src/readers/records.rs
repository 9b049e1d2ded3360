//! Records of delimited text (RFC 4180), with the lines that they are on.
//!
//! The csv crate reads the same records, but does not say where a quote was left open, which
//! fields hold line breaks, what came after a closing quote and how many lines were blank.

use std::path::{Path, PathBuf};

use super::FileReport;
use super::source::TextSource;
use crate::{DataError, Format};

/// The longest quoted field in bytes. A longer one has a quote that is never closed.
const LONGEST_FIELD: usize = 256 << 20;

/// A quoted field with line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    /// The field's index.
    pub field: usize,
    /// The line of its opening quote.
    pub first_line: u64,
    /// The line of its closing quote.
    pub last_line: u64,
}

/// A row of fields.
#[derive(Debug, Default)]
pub(super) struct FieldRow {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its quoted fields with line breaks.
    pub spreads: Vec<Spread>,
}

impl FieldRow {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field without its quotes. Delimiters are ASCII, so that no character is cut.
    pub fn text(&self, index: usize) -> String {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        String::from_utf8_lossy(&self.bytes[start..self.ends[index]]).into_owned()
    }

    fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.ends.clear();
        self.spreads.clear();
        self.line = line;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ParseState {
    /// Before a field's first character.
    Start,
    /// In a field without quotes, or after a closing quote and more text. Quotes are text here.
    Plain,
    /// In a quoted field.
    Quoted,
    /// After a quote in a quoted field: the end, or the first of two that mean one.
    Closed,
}

/// Reads the records of a file one by one.
pub(super) struct Records {
    source: TextSource,
    parser: Parser,
}

impl Records {
    pub fn new(source: TextSource, delimiter: u8) -> Self {
        let parser = Parser {
            file: source.path().to_path_buf(),
            delimiter,
            state: ParseState::Start,
            line: 1,
            after_return: false,
            opened: (0, 0),
            closed_line: 0,
            has_quotes: false,
            blank_lines: 0,
            loose_quotes: 0,
        };
        Self { source, parser }
    }

    pub fn path(&self) -> &Path {
        self.source.path()
    }

    pub fn delimiter(&self) -> u8 {
        self.parser.delimiter
    }

    /// The file's report, as far as it was read.
    pub fn report(&self, format: Format, rows: usize) -> FileReport {
        FileReport {
            rows,
            encoding: Some(self.source.encoding()),
            delimiter: Some(self.parser.delimiter.into()),
            blank_lines: self.parser.blank_lines,
            loose_quotes: self.parser.loose_quotes,
            ..FileReport::new(self.source.path(), format)
        }
    }

    /// Reads the next record that is not blank; false at the end of the file.
    pub fn read(&mut self, record: &mut FieldRow) -> Result<bool, DataError> {
        self.parser.begin(record);
        loop {
            let piece = self.source.piece()?;
            if piece.is_empty() {
                return self.parser.finish(record);
            }
            for (index, byte) in piece.iter().enumerate() {
                if self.parser.step(*byte, record)? {
                    self.source.consume(index + 1);
                    return Ok(true);
                }
            }
            let count = piece.len();
            self.source.consume(count);
        }
    }
}

struct Parser {
    file: PathBuf,
    delimiter: u8,
    state: ParseState,
    /// The line of the next character.
    line: u64,
    after_return: bool,
    /// The line on which the current quoted field was opened, and where its bytes begin.
    opened: (u64, usize),
    closed_line: u64,
    has_quotes: bool,
    blank_lines: usize,
    loose_quotes: usize,
}

impl Parser {
    fn begin(&mut self, record: &mut FieldRow) {
        record.clear(self.line);
        self.state = ParseState::Start;
        self.has_quotes = false;
    }

    /// Takes a character; true if it completes a record.
    fn step(&mut self, byte: u8, record: &mut FieldRow) -> Result<bool, DataError> {
        let is_second_half = byte == b'\n' && std::mem::take(&mut self.after_return);
        let is_end = matches!(byte, b'\n' | b'\r');
        self.after_return = byte == b'\r';
        self.line += u64::from(is_end && !is_second_half);
        match self.state {
            ParseState::Quoted if byte == b'"' => {
                self.state = ParseState::Closed;
                self.closed_line = self.line;
            }
            ParseState::Quoted => {
                record.bytes.push(byte);
                if record.bytes.len() - self.opened.1 > LONGEST_FIELD {
                    return Err(self.unclosed());
                }
            }
            // The CR of this line end has completed the record before.
            _ if is_second_half => {}
            _ if is_end => return Ok(self.end_record(record)),
            _ if byte == self.delimiter => self.end_field(record),
            ParseState::Start if byte == b'"' => {
                self.opened = (self.line, record.bytes.len());
                self.has_quotes = true;
                self.state = ParseState::Quoted;
            }
            ParseState::Closed if byte == b'"' => {
                record.bytes.push(b'"');
                self.state = ParseState::Quoted;
            }
            ParseState::Closed => {
                self.loosen()?;
                record.bytes.push(byte);
            }
            ParseState::Start | ParseState::Plain => {
                record.bytes.push(byte);
                self.state = ParseState::Plain;
            }
        }
        Ok(false)
    }

    /// Text after a closing quote: the field continues without quotes, unless it has swallowed lines.
    fn loosen(&mut self) -> Result<(), DataError> {
        let (first_line, _) = self.opened;
        if self.line > first_line {
            return Err(DataError::StrayQuote { file: self.file.clone(), first_line, last_line: self.line });
        }
        self.loose_quotes += 1;
        self.state = ParseState::Plain;
        Ok(())
    }

    fn end_field(&mut self, record: &mut FieldRow) {
        let first_line = self.opened.0;
        if self.state == ParseState::Closed && self.closed_line > first_line {
            let last_line = self.closed_line;
            record.spreads.push(Spread { field: record.ends.len(), first_line, last_line });
        }
        record.ends.push(record.bytes.len());
        self.state = ParseState::Start;
    }

    /// Ends a record; false for a blank line, which is none.
    fn end_record(&mut self, record: &mut FieldRow) -> bool {
        self.end_field(record);
        let is_blank =
            record.len() == 1 && !self.has_quotes && record.bytes.iter().all(u8::is_ascii_whitespace);
        if is_blank {
            self.blank_lines += 1;
            self.begin(record);
        }
        !is_blank
    }

    fn finish(&mut self, record: &mut FieldRow) -> Result<bool, DataError> {
        if self.state == ParseState::Quoted {
            return Err(self.unclosed());
        }
        let is_empty = record.bytes.is_empty() && record.ends.is_empty() && !self.has_quotes;
        Ok(!is_empty && self.end_record(record))
    }

    fn unclosed(&self) -> DataError {
        DataError::UnclosedQuote { file: self.file.clone(), line: self.opened.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Records with their lines.
    type Numbered = Vec<(u64, Vec<String>)>;

    fn records(bytes: &[u8]) -> Result<(Numbered, FileReport), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, bytes).unwrap();
        let mut records = Records::new(TextSource::open(&path)?, b',');
        let mut record = FieldRow::default();
        let mut all = Vec::new();
        while records.read(&mut record)? {
            let fields = (0..record.len()).map(|index| record.text(index)).collect();
            all.push((record.line, fields));
        }
        let report = records.report(Format::Csv, all.len());
        Ok((all, report))
    }

    fn fields(bytes: &[u8]) -> Vec<Vec<String>> {
        records(bytes).unwrap().0.into_iter().map(|(_, fields)| fields).collect()
    }

    #[test]
    fn quoted_fields_keep_commas_quotes_and_line_breaks() {
        let rows = fields(b"\"a, \"\"b\"\"\r\nc\",pos\r\nd,\"\"\r\n");
        assert_eq!(rows, [["a, \"b\"\r\nc", "pos"], ["d", ""]]);
    }

    #[test]
    fn a_quote_in_a_field_without_quotes_is_text() {
        assert_eq!(fields(b"a 5\" disk,say \"no\"\n"), [["a 5\" disk", "say \"no\""]]);
    }

    #[test]
    fn text_behind_a_closing_quote_is_kept_and_counted() {
        let (rows, report) = records(b"\"good\" he said,pos\n\"fine\",pos\n").unwrap();
        assert_eq!(rows[0].1, ["good he said", "pos"]);
        assert_eq!(report.loose_quotes, 1);
    }

    #[test]
    fn every_line_end_counts_once_and_blank_lines_are_passed_over() {
        let (rows, report) = records(b"a,1\r\n\r\n  \t\nb,2\r\rc,3\n\"\"\n").unwrap();
        let lines: Vec<_> = rows.iter().map(|(line, fields)| (*line, fields[0].as_str())).collect();
        assert_eq!(lines, [(1, "a"), (4, "b"), (6, "c"), (7, "")]);
        assert_eq!(report.blank_lines, 3);
    }

    #[test]
    fn an_open_quote_is_named_by_its_line() {
        let error = records(b"a,1\nb,\"2\nc,3\n").unwrap_err();
        assert!(matches!(error, DataError::UnclosedQuote { line: 2, .. }), "{error}");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn a_quote_that_closes_in_the_middle_of_a_later_line_is_refused() {
        let error = records(b"a,1\n\"b,2\nc,3\n\"d,4\n").unwrap_err();
        assert!(matches!(error, DataError::StrayQuote { first_line: 2, last_line: 4, .. }), "{error}");
    }

    #[test]
    fn fields_with_line_breaks_say_where_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "a,\"b\nc\"\n").unwrap();
        let mut records = Records::new(TextSource::open(&path).unwrap(), b',');
        let mut record = FieldRow::default();
        assert!(records.read(&mut record).unwrap());
        assert_eq!(record.spreads, [Spread { field: 1, first_line: 1, last_line: 2 }]);
    }

    proptest! {
        /// What the csv crate writes comes back, and its reader sees the same.
        #[test]
        fn what_the_csv_crate_writes_is_read(
            rows in prop::collection::vec(prop::array::uniform3("[a\", \r\n\t]{0,6}"), 1..8)
        ) {
            let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            prop_assert_eq!(fields(&writer.into_inner().unwrap()), rows);
        }

        /// Where no quote is open or out of place, any text gives the records of the csv crate.
        #[test]
        fn any_text_is_read_as_by_the_csv_crate(text in "[a\",\r\n]{0,24}") {
            let Ok((rows, _)) = records(text.as_bytes()) else { return Ok(()) };
            let mut reader =
                csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let theirs: Vec<Vec<String>> =
                reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect();
            let ours: Vec<Vec<String>> = rows.into_iter().map(|(_, fields)| fields).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
