//! Rated snippets, as published with VADER (Hutto & Gilbert, ICWSM 2014): a line holds an id, a
//! mean rating from -4 (negative) to 4 (positive) and a text, separated by TABs.

use std::path::Path;

use super::text_lines;
use crate::{Column, DataError, Table, Value};

/// Reads a snippet file into the columns `id`, `rating`, `text` and `label`.
///
/// The label is 1 (`pos`) for a rating above 0, 0 (`neg`) below, and null for a tie.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::NotUtf8`] and [`DataError::Broken`] with the row.
pub fn read(path: &Path) -> Result<Table, DataError> {
    let mut rows = Vec::new();
    for (index, line) in text_lines(path)?.iter().enumerate() {
        let row = parse(line).map_err(|reason| DataError::broken(path, Some(index + 1), reason))?;
        rows.push(row);
    }
    let label = Column { name: "label".into(), class_names: Some(vec!["neg".into(), "pos".into()]) };
    Ok(Table {
        file: path.to_path_buf(),
        columns: vec![Column::plain("id"), Column::plain("rating"), Column::plain("text"), label],
        rows,
    })
}

fn parse(line: &str) -> Result<Vec<Value>, String> {
    let mut fields = line.splitn(3, '\t');
    let (Some(id), Some(rating), Some(text)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("expected id, rating and text, separated by TABs".into());
    };
    let value: f64 = rating.trim().parse().map_err(|_| format!("`{rating}` is not a rating"))?;
    if !(-4.0..=4.0).contains(&value) {
        return Err(format!("the rating {value} is not between -4 and 4"));
    }
    let label = if value == 0.0 { Value::Null } else { Value::Int(i64::from(value > 0.0)) };
    Ok(vec![Value::Text(id.to_string()), Value::Float(value), Value::Text(text.to_string()), label])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<Table, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snippets.txt");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn the_sign_of_the_rating_is_the_label_and_a_tie_has_none() {
        let table =
            read_bytes("1\t2.5\tA clich\u{e9}, but fun.\r\n2\t-0.6\ttepid\r\n3\t0.0\tso so".as_bytes());
        let table = table.unwrap();
        let label = table.column("label").unwrap();
        let labels: Vec<_> = table.rows.iter().map(|row| row[label].clone()).collect();
        assert_eq!(labels, [Value::Int(1), Value::Int(0), Value::Null]);
        assert_eq!(table.rows[0][2].as_text(), Some("A clich\u{e9}, but fun."));
        assert_eq!(table.columns[label].class_names, Some(vec!["neg".to_string(), "pos".to_string()]));
    }

    #[test]
    fn bad_rows_are_named() {
        for bad in ["2\tgood\ttext", "2\t1.0", "2\t5\ttext", "2\tNaN\ttext"] {
            let error = read_bytes(format!("1\t1\tfine\n{bad}\n").as_bytes()).unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(2), .. }), "{bad}: {error}");
        }
    }
}
