//! Rated snippets, as published with VADER (Hutto & Gilbert, ICWSM 2014): a line holds an id, a
//! mean rating from -4 (negative) to 4 (positive) and a text, separated by TABs.

use std::path::Path;

use super::lines::Lines;
use super::{FileReport, Row, RowReader, choose};
use crate::{Column, DataError, Format, Value};

/// The columns of every snippet file.
const COLUMNS: [&str; 4] = ["id", "rating", "text", "label"];

/// The rows of a snippet file: `id`, `rating`, `text` and `label`.
///
/// The label is 1 (`pos`) for a rating above 0, 0 (`neg`) below, and null for a tie.
pub(super) struct SnippetRows {
    lines: Lines,
    fields: Vec<usize>,
    columns: Vec<Column>,
    path: std::path::PathBuf,
    rows: usize,
    blank_lines: usize,
}

impl SnippetRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let class_names = Some(vec!["neg".into(), "pos".into()]);
        let column = |name: &&str| match *name {
            "label" => Column { class_names: class_names.clone(), ..Column::plain("label") },
            name => Column::plain(name),
        };
        Ok(Self {
            lines: Lines::open(path)?,
            fields: choose(path, &COLUMNS.map(String::from), wanted)?,
            columns: wanted.iter().map(column).collect(),
            path: path.to_path_buf(),
            rows: 0,
            blank_lines: 0,
        })
    }
}

impl RowReader for SnippetRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(line) = self.lines.next_filled(&mut self.blank_lines)? else {
            return Ok(None);
        };
        let number = self.lines.number;
        let cells = parse(&line).map_err(|reason| DataError::broken(&self.path, Some(number), reason))?;
        self.rows += 1;
        Ok(Some(Row { number, cells: self.fields.iter().map(|field| cells[*field].clone()).collect() }))
    }

    fn report(&self) -> FileReport {
        self.lines.report(Format::Snippets, self.rows, self.blank_lines)
    }
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

    fn read_bytes(bytes: &[u8]) -> Result<(Vec<Vec<Value>>, Vec<Column>), DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snippets.txt");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = SnippetRows::open(&path, &["text", "label"])?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row.cells);
        }
        Ok((rows, reader.columns().to_vec()))
    }

    #[test]
    fn the_sign_of_the_rating_is_the_label_and_a_tie_has_none() {
        let file = "1\t2.5\tA clich\u{e9}, but fun.\r\n2\t-0.6\ttepid\r\n3\t0.0\tso so";
        let (rows, columns) = read_bytes(file.as_bytes()).unwrap();
        let labels: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        assert_eq!(labels, [Value::Int(1), Value::Int(0), Value::Null]);
        assert_eq!(rows[0][0].as_text(), Some("A clich\u{e9}, but fun."));
        assert_eq!(columns[1].class_names, Some(vec!["neg".to_string(), "pos".to_string()]));
    }

    #[test]
    fn bad_rows_are_named() {
        for bad in ["2\tgood\ttext", "2\t1.0", "2\t5\ttext", "2\tNaN\ttext"] {
            let error = read_bytes(format!("1\t1\tfine\n{bad}\n").as_bytes()).unwrap_err();
            assert!(matches!(error, DataError::Broken { row: Some(2), .. }), "{bad}: {error}");
        }
    }
}
