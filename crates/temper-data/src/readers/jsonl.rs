//! JSON lines: one object a line.

use std::fmt;
use std::path::Path;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::lines::Lines;
use super::{FileReport, Row, RowReader, missing_column};
use crate::{Column, DataError, Format, Value};

/// Names of the first row's keys that are kept for messages.
const KEYS: usize = 100;

/// The rows of a file of JSON objects; row n is line n, blank lines are left out.
///
/// Only the wanted keys are kept. One that a row does not have is null there; one that no row has
/// is an error at the end.
pub(super) struct JsonRows {
    lines: Lines,
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
        let mut reader = Self {
            lines: Lines::open(path)?,
            columns: wanted.iter().map(|name| Column::plain(*name)).collect(),
            seen: vec![false; wanted.len()],
            first_keys: Vec::new(),
            first: None,
            rows: 0,
            blank_lines: 0,
            path: path.to_path_buf(),
        };
        reader.first = reader.parse_next()?;
        Ok(reader)
    }

    fn parse_next(&mut self) -> Result<Option<Row>, DataError> {
        let Some(line) = self.lines.next_filled(&mut self.blank_lines)? else {
            return Ok(None);
        };
        let number = self.lines.number;
        let mut cells = vec![None; self.columns.len()];
        let keys = if self.rows == 0 { KEYS } else { 0 };
        let object = Object { columns: &self.columns, cells: &mut cells, keys, names: &mut self.first_keys };
        let mut json = serde_json::Deserializer::from_str(&line);
        object
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| DataError::broken(&self.path, Some(number), reason(&line, &error)))?;
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
        self.lines.report(Format::Jsonl, self.rows, self.blank_lines)
    }
}

/// An object of which the wanted keys are kept and the others passed over.
struct Object<'a> {
    columns: &'a [Column],
    cells: &'a mut [Option<Value>],
    /// How many names of keys to keep.
    keys: usize,
    names: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let mut wanted = (0..self.columns.len()).filter(|index| self.columns[*index].name == key);
            match wanted.next() {
                Some(index) if self.cells[index].is_some() => {
                    return Err(serde::de::Error::custom(format!("the key `{key}` stands there twice")));
                }
                Some(index) => {
                    let value = convert(map.next_value()?);
                    for other in wanted {
                        self.cells[other] = Some(value.clone());
                    }
                    self.cells[index] = Some(value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if self.names.len() < self.keys {
                self.names.push(key);
            }
        }
        Ok(())
    }
}

/// Why a line is no row. serde_json counts lines of its own, of which there is only one.
fn reason(line: &str, error: &serde_json::Error) -> String {
    let message = error.to_string().replace(&format!(" at line {} column ", error.line()), " at column ");
    let hint = match line.trim_start().chars().next() {
        Some('[') => "; for a file that is one array, write one object a line: jq -c '.[]' FILE > FILE.jsonl",
        Some('{') if error.is_eof() => {
            "; if the file has objects of several lines, write one a line: jq -c . FILE > FILE.jsonl"
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
    fn an_array_says_how_to_write_lines() {
        let error = read_text("[{\"text\": \"a\"}]", &["text"]).unwrap_err();
        assert!(error.to_string().contains("jq -c '.[]'"), "{error}");
    }
}
