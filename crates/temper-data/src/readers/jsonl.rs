//! JSON: one object on each line, or one array of objects.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::lines::Lines;
use super::source::TextSource;
use super::{FileReport, Row, RowReader, missing_column};
use crate::{Column, DataError, Format, Value};

/// Names of the first row's keys that are kept for messages.
const KEYS: usize = 100;

/// The objects of a file, of each the wanted cells.
enum Objects {
    Lines(Lines),
    /// An array is parsed as a whole, so that a bad object anywhere is reported before a row is used.
    Array {
        rows: std::iter::Enumerate<std::vec::IntoIter<ObjectValues>>,
        report: FileReport,
    },
}

/// Of each wanted key its value, where the object has it.
type ObjectValues = Vec<Option<Value>>;

/// The rows of a file of JSON objects. Row n is line n, and blank lines are left out; where the file is one array, row n
/// is the n-th object.
///
/// Only the wanted keys are kept. One that a row does not have is null there; one that no row has
/// is an error at the end.
pub(super) struct JsonRows {
    objects: Objects,
    columns: Vec<Column>,
    /// Of each column, whether some row has it.
    seen: Vec<bool>,
    first_keys: Vec<String>,
    first: Option<Row>,
    rows: usize,
    blank_lines: usize,
    path: std::path::PathBuf,
}

impl JsonRows {
    /// Opens a file and reads its first row.
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let columns: Vec<Column> = wanted.iter().map(|name| Column::plain(*name)).collect();
        let mut first_keys = Vec::new();
        let mut source = TextSource::open(path)?;
        let is_array =
            source.piece()?.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'[');
        let objects = match is_array {
            true => parse_array(source, &columns, &mut first_keys)?,
            false => Objects::Lines(Lines::of(source)),
        };
        let mut reader = Self {
            objects,
            seen: vec![false; columns.len()],
            columns,
            first_keys,
            first: None,
            rows: 0,
            blank_lines: 0,
            path: path.to_path_buf(),
        };
        reader.first = reader.parse_next()?;
        Ok(reader)
    }

    fn parse_next(&mut self) -> Result<Option<Row>, DataError> {
        let (number, cells) = match &mut self.objects {
            Objects::Array { rows, .. } => match rows.next() {
                Some((index, cells)) => (index + 1, cells),
                None => return Ok(None),
            },
            Objects::Lines(lines) => {
                let Some(line) = lines.next_filled(&mut self.blank_lines)? else { return Ok(None) };
                let keys = if self.rows == 0 { KEYS } else { 0 };
                let object = Object { columns: &self.columns, keys, names: &mut self.first_keys };
                let mut json = serde_json::Deserializer::from_str(&line);
                let cells = object.deserialize(&mut json).and_then(|cells| json.end().map(|()| cells));
                let failed = |error| DataError::broken(&self.path, Some(lines.number), reason(&line, &error));
                (lines.number, cells.map_err(failed)?)
            }
        };
        self.rows += 1;
        for (seen, cell) in self.seen.iter_mut().zip(&cells) {
            *seen |= cell.is_some();
        }
        Ok(Some(Row { number, cells: cells.into_iter().map(Option::unwrap_or_default).collect() }))
    }

    fn check_seen(&self) -> Result<(), DataError> {
        let missing = self.columns.iter().zip(&self.seen).find(|(_, seen)| !**seen);
        match missing {
            Some((column, _)) if self.rows > 0 => {
                Err(missing_column(&self.path, &column.name, &self.first_keys))
            }
            _ => Ok(()),
        }
    }
}

impl RowReader for JsonRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn check_columns(&self) -> Result<(), DataError> {
        self.check_seen()
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let row = match self.first.take() {
            Some(row) => Some(row),
            None => self.parse_next()?,
        };
        if row.is_none() {
            self.check_seen()?;
        }
        Ok(row)
    }

    fn report(&self) -> FileReport {
        match &self.objects {
            Objects::Lines(lines) => lines.report(Format::Jsonl, self.rows, self.blank_lines),
            Objects::Array { report, .. } => FileReport { rows: self.rows, ..report.clone() },
        }
    }
}

/// Reads a file that is one array.
fn parse_array(
    source: TextSource,
    columns: &[Column],
    first_keys: &mut Vec<String>,
) -> Result<Objects, DataError> {
    let path = source.path().to_path_buf();
    let report = FileReport { encoding: Some(source.encoding()), ..FileReport::new(&path, Format::Jsonl) };
    let text = source.read_all()?;
    let mut rows = Vec::new();
    let mut json = serde_json::Deserializer::from_str(&text);
    let array = Array { columns, names: first_keys, rows: &mut rows };
    if let Err(error) = array.deserialize(&mut json).and_then(|()| json.end()) {
        let reason = format!("not an array of JSON objects ({error})");
        return Err(DataError::broken(&path, Some(rows.len() + 1), reason));
    }
    Ok(Objects::Array { rows: rows.into_iter().enumerate(), report })
}

/// An array of objects.
struct Array<'a> {
    columns: &'a [Column],
    /// The names of the first object's keys.
    names: &'a mut Vec<String>,
    /// The objects so far, also where one after them is bad.
    rows: &'a mut Vec<ObjectValues>,
}

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of JSON objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        loop {
            let keys = if self.rows.is_empty() { KEYS } else { 0 };
            let object = Object { columns: self.columns, keys, names: &mut *self.names };
            match sequence.next_element_seed(object)? {
                Some(cells) => self.rows.push(cells),
                None => return Ok(()),
            }
        }
    }
}

/// An object of which the wanted keys are kept and the others skipped.
struct Object<'a> {
    columns: &'a [Column],
    /// How many names of keys to keep.
    keys: usize,
    names: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ObjectValues;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<ObjectValues, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ObjectValues;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectValues, A::Error> {
        let mut cells = vec![None; self.columns.len()];
        while let Some(key) = map.next_key::<String>()? {
            let mut wanted = (0..self.columns.len()).filter(|index| self.columns[*index].name == key);
            match wanted.next() {
                Some(index) if cells[index].is_some() => {
                    return Err(serde::de::Error::custom(format!("the key `{key}` occurs twice")));
                }
                Some(index) => {
                    let value = convert(map.next_value()?);
                    for other in wanted {
                        cells[other] = Some(value.clone());
                    }
                    cells[index] = Some(value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if self.names.len() < self.keys {
                self.names.push(key);
            }
        }
        Ok(cells)
    }
}

/// Why a line is no row. serde_json counts lines of its own, of which there is only one.
fn reason(line: &str, error: &serde_json::Error) -> String {
    let message = error.to_string().replace(&format!(" at line {} column ", error.line()), " at column ");
    let hint = match line.trim_start().chars().next() {
        Some('{') if error.is_eof() => {
            "; if the file has objects of several lines, write one on each line: jq -c . FILE > FILE.jsonl"
        }
        _ => "",
    };
    format!("not a JSON object ({message}){hint}")
}

fn convert(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(convert).collect()),
        serde_json::Value::Object(parts) => {
            Value::Struct(parts.into_iter().map(|(name, part)| (name, convert(part))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, wanted: &[&str]) -> Result<(Vec<Row>, FileReport), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut reader = JsonRows::open(&path, wanted)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        Ok((rows, reader.report()))
    }

    #[test]
    fn wanted_keys_are_read_and_missing_ones_are_null() {
        let text = "{\"text\": \"a\", \"x\": [1, {}], \"label\": 1}\n{\"score\": 0.5, \"text\": \"b\"}\n";
        let (rows, _) = read_text(text, &["text", "label", "score"]).unwrap();
        assert_eq!(rows[0].cells, [Value::Text("a".into()), Value::Int(1), Value::Null]);
        assert_eq!(rows[1].cells, [Value::Text("b".into()), Value::Null, Value::Float(0.5)]);
    }

    #[test]
    fn lists_objects_and_truth_values_keep_their_shape() {
        let text = "{\"answers\": {\"text\": [\"a\"], \"answer_start\": [3]}, \"ok\": true}";
        let (rows, _) = read_text(text, &["answers", "ok"]).unwrap();
        assert_eq!(rows[0].cells[0].part("answer_start"), Some(&Value::List(vec![Value::Int(3)])));
        assert_eq!(rows[0].cells[1], Value::Bool(true));
    }

    #[test]
    fn blank_lines_are_passed_over_and_counted() {
        let (rows, report) =
            read_text("\n{\"text\": \"a\"}\r\n \t\n{\"text\": \"b\"}\n\n", &["text"]).unwrap();
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((report.rows, report.blank_lines), (2, 3));
    }

    #[test]
    fn a_key_that_no_row_has_is_missing() {
        let error = read_text("{\"texts\": \"a\"}\n{}\n", &["text"]).unwrap_err();
        assert!(matches!(error, DataError::MissingColumn { .. }), "{error}");
        assert!(error.to_string().contains("did you mean `texts`"), "{error}");
        assert!(read_text("{}\n{\"text\": \"a\"}\n", &["text"]).is_ok());
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in ["{\"text\": ", "[1, 2]", "{} {}", "null", "{\"text\": 1, \"text\": 2}", "{\"a\": }"] {
            let error = read_text(&format!("{{\"text\": \"a\"}}\n{bad}\n{{}}\n"), &["text"]).unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(2), .. }), "{bad}: {error}");
            assert!(!error.to_string().contains("line 1"), "{error}");
        }
    }

    #[test]
    fn a_file_may_be_one_array() {
        let text = " [\n{\"text\": \"a\", \"x\": [1]},\n{\"label\": 1,\n \"text\": \"b\"}]\n";
        let (rows, report) = read_text(text, &["text", "label"]).unwrap();
        assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(rows[1].cells, [Value::Text("b".into()), Value::Int(1)]);
        assert_eq!((rows.len(), report.rows), (2, 2));
        assert_eq!(read_text("[]", &["text"]).unwrap().0.len(), 0);
        let error = read_text("[{\"texts\": \"a\"}]", &["text"]).unwrap_err();
        assert!(error.to_string().contains("did you mean `texts`"), "{error}");
        for bad in
            ["[{\"text\": \"a\"}, 3]", "[{\"text\": \"a\"}, {\"text\": \"b\"", "[{\"text\": \"a\"} {}]"]
        {
            let error = read_text(bad, &["text"]).unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(2..=3), .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn compressed_files_are_unpacked_as_they_are_read() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..20_000).map(|row| format!("{{\"text\": \"row {row}\"}}\n")).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
        for (name, bytes) in [("a.jsonl.gz", gzip), ("a.json.zst", zstd)] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(Format::of_file(&path).unwrap(), Format::Jsonl);
            let table = Format::Jsonl.read(&path, &["text"]).unwrap();
            assert_eq!(table.rows.len(), 20_000);
            assert_eq!(table.rows[19_999].cells[0].as_text(), Some("row 19999"));
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            assert!(Format::Jsonl.read(&path, &["text"]).is_err(), "{name}: half a file");
        }
    }
}
