//! From label cells to class ids.

use std::path::Path;

use crate::{DataError, Table, Value};

/// The classes of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels {
    /// Names by id.
    pub names: Vec<String>,
    /// Whether the names were given: then a whole number is an id. Else it is a name.
    given: bool,
}

/// A label cell, read.
enum Cell {
    Unlabelled,
    Number(i64),
    Name(String),
}

/// What a label cell cannot be, and what else its place needs for a message.
pub(crate) struct Place<'a> {
    pub file: &'a Path,
    pub row: usize,
    pub column: &'a str,
}

impl Labels {
    /// Classes named by a card or by the files' schema.
    pub fn given(names: Vec<String>) -> Self {
        Self { names, given: true }
    }

    /// Classes as they occur in the label column: numbers in their order, else names in theirs.
    pub fn observed(tables: &[Table], column: &str) -> Result<Self, DataError> {
        let mut names = Vec::new();
        for table in tables {
            let index = table.column(column)?;
            for (row, cells) in table.rows.iter().enumerate() {
                let place = Place { file: &table.file, row: row + 1, column };
                match read(&cells[index], &place)? {
                    Cell::Unlabelled => {}
                    Cell::Number(number) => names.push(number.to_string()),
                    Cell::Name(name) => names.push(name),
                }
            }
        }
        names.sort();
        names.dedup();
        let number = |name: &String| name.parse::<i64>().ok();
        if names.iter().all(|name| number(name).is_some()) {
            names.sort_by_key(number);
        }
        Ok(Self { names, given: false })
    }

    /// The class id of a cell; `None` for a cell without a label.
    pub fn id(&self, value: &Value, place: &Place<'_>) -> Result<Option<usize>, DataError> {
        let unknown = |label: String| DataError::LabelOutOfRange {
            file: place.file.to_path_buf(),
            row: place.row,
            label,
            names: self.names.clone(),
        };
        let by_name = |name: &str| self.names.iter().position(|known| known == name);
        let found = match read(value, place)? {
            Cell::Unlabelled => return Ok(None),
            Cell::Name(name) => by_name(&name).ok_or_else(|| unknown(name)),
            Cell::Number(number) => {
                let name = number.to_string();
                let by_id = || usize::try_from(number).ok().filter(|id| self.given && *id < self.names.len());
                by_name(&name).or_else(by_id).ok_or_else(|| unknown(name))
            }
        };
        found.map(Some)
    }
}

/// Reads a cell. Text files write numbers as text, and some tools whole numbers as `1.0`.
fn read(value: &Value, place: &Place<'_>) -> Result<Cell, DataError> {
    let bad = |found| DataError::BadLabel {
        file: place.file.to_path_buf(),
        row: place.row,
        column: place.column.to_string(),
        found,
    };
    let cell = match value {
        Value::Null => Cell::Unlabelled,
        Value::Int(number) => Cell::Number(*number),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Cell::Number(*number as i64),
        Value::Text(text) => match text.trim() {
            "" => Cell::Unlabelled,
            name => name.parse().map_or_else(|_| Cell::Name(name.to_string()), Cell::Number),
        },
        other => return Err(bad(other.kind())),
    };
    Ok(match cell {
        // Hugging Face's mark for a label that is kept secret.
        Cell::Number(-1) => Cell::Unlabelled,
        cell => cell,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    fn table(labels: Vec<Value>) -> Table {
        Table {
            file: "rows.csv".into(),
            columns: vec![Column::plain("label")],
            rows: labels.into_iter().map(|label| vec![label]).collect(),
        }
    }

    fn id(labels: &Labels, value: Value) -> Result<Option<usize>, DataError> {
        let place = Place { file: Path::new("rows.csv"), row: 7, column: "label" };
        labels.id(&value, &place)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn given() -> Labels {
        Labels::given(vec!["neg".into(), "pos".into()])
    }

    #[test]
    fn given_names_take_ids_and_names() {
        assert_eq!(id(&given(), Value::Int(1)).unwrap(), Some(1));
        assert_eq!(id(&given(), text("pos")).unwrap(), Some(1));
        assert_eq!(id(&given(), text("0")).unwrap(), Some(0));
        assert_eq!(id(&given(), Value::Float(1.0)).unwrap(), Some(1));
    }

    #[test]
    fn null_empty_and_minus_one_are_unlabelled() {
        for value in [Value::Null, text(" "), Value::Int(-1), text("-1")] {
            assert_eq!(id(&given(), value).unwrap(), None);
        }
    }

    #[test]
    fn a_label_out_of_range_names_the_row_and_the_classes() {
        for value in [Value::Int(2), Value::Int(-2), text("positive")] {
            let message = id(&given(), value).unwrap_err().to_string();
            assert!(message.contains("row 7"), "{message}");
            assert!(message.contains("2 classes (`neg`, `pos`)"), "{message}");
        }
        let error = id(&given(), Value::Float(0.5)).unwrap_err();
        assert!(matches!(error, DataError::BadLabel { row: 7, .. }), "{error}");
    }

    #[test]
    fn observed_names_are_sorted_as_text_or_as_numbers() {
        let words = table(vec![text("sport"), text("art"), text("sport"), Value::Null]);
        let labels = Labels::observed(&[words], "label").unwrap();
        assert_eq!(labels.names, ["art", "sport"]);

        let stars = table(vec![text("10"), text("2"), Value::Int(1), Value::Int(-1)]);
        let labels = Labels::observed(&[stars], "label").unwrap();
        assert_eq!(labels.names, ["1", "2", "10"]);
        assert_eq!(id(&labels, Value::Int(2)).unwrap(), Some(1), "a name, not an id");
        assert!(id(&labels, Value::Int(0)).is_err());
    }
}
