//! JSON lines: one object a line.

use std::path::Path;

use super::text_lines;
use crate::{Column, DataError, Table, Value};

/// Reads a file of JSON objects; row n is line n.
///
/// The columns are the keys in the order in which they first appear; a key that a row does not
/// have is null there.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::NotUtf8`] and [`DataError::Broken`] with the line.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let mut columns: Vec<Column> = Vec::new();
    let mut rows = Vec::new();
    for (index, line) in text_lines(path)?.iter().enumerate() {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|error| {
                let reason = format!("not a JSON object ({error})");
                DataError::broken(path, Some(index + 1), reason)
            })?;
        rows.push(row_of(object, &mut columns));
    }
    for row in &mut rows {
        row.resize(columns.len(), Value::Null);
    }
    Ok(Table { file: path.to_path_buf(), columns, rows })
}

fn row_of(object: serde_json::Map<String, serde_json::Value>, columns: &mut Vec<Column>) -> Vec<Value> {
    let mut row = vec![Value::Null; columns.len()];
    for (key, value) in object {
        let value = convert(value);
        match columns.iter().position(|column| column.name == key) {
            Some(index) => row[index] = value,
            None => {
                columns.push(Column::plain(key));
                row.push(value);
            }
        }
    }
    row
}

fn convert(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Int(i64::from(truth)),
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

    fn read_text(text: &str) -> Result<Table, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn keys_become_columns_and_missing_keys_are_null() {
        let table =
            read_text("{\"text\": \"a\", \"label\": 1}\n{\"label\": \"x\", \"score\": 0.5, \"ok\": true}\n")
                .unwrap();
        let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["text", "label", "score", "ok"]);
        assert_eq!(table.rows[0], [Value::Text("a".into()), Value::Int(1), Value::Null, Value::Null]);
        assert_eq!(table.rows[1], [Value::Null, Value::Text("x".into()), Value::Float(0.5), Value::Int(1)]);
    }

    #[test]
    fn lists_and_objects_keep_their_shape() {
        let table = read_text("{\"answers\": {\"text\": [\"a\"], \"answer_start\": [3]}}").unwrap();
        let start = table.rows[0][0].part("answer_start");
        assert_eq!(start, Some(&Value::List(vec![Value::Int(3)])));
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in ["{\"text\": ", "[1, 2]", ""] {
            let error = read_text(&format!("{{\"text\": \"a\"}}\n{bad}\n{{}}\n")).unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(2), .. }), "{bad}: {error}");
        }
    }
}
