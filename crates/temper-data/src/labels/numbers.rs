//! Label cells that are numbers.

use super::{LabelError, LabelPlace};
use crate::{DataError, Table, Value};

/// Names of the numbers: the column's; of lists, with their place in it.
pub(crate) fn names(tables: &[Table], column: &str) -> Vec<String> {
    let of_table = |table: &Table| {
        let index = table.column(column)?;
        table.rows.iter().find_map(|row| match &row.cells[index] {
            Value::Null => None,
            Value::List(entries) => Some(entries.len()),
            _ => Some(1),
        })
    };
    match tables.iter().find_map(of_table) {
        None | Some(0 | 1) => vec![column.to_owned()],
        Some(count) => (0..count).map(|place| format!("{column}_{place}")).collect(),
    }
}

/// The numbers of a cell; `None` for a cell without any.
///
/// # Errors
/// [`LabelError::BadNumber`] for what is not a number, or for another number of them.
pub(crate) fn read(
    value: &Value,
    count: usize,
    place: &LabelPlace<'_>,
) -> Result<Option<Vec<f32>>, DataError> {
    let entries = match value {
        Value::Null => return Ok(None),
        Value::Text(text) if text.trim().is_empty() => return Ok(None),
        Value::List(entries) => entries.as_slice(),
        value => std::slice::from_ref(value),
    };
    let bad = |found: String| {
        DataError::from(LabelError::BadNumber {
            file: place.file.to_path_buf(),
            row: place.row,
            column: place.column.to_string(),
            found,
        })
    };
    if entries.len() != count {
        return Err(bad(format!("{} numbers where other rows have {count}", entries.len())));
    }
    let number = |value: &Value| {
        let number = match value {
            Value::Int(number) => *number as f32,
            Value::Float(number) => *number as f32,
            Value::Text(text) => text.trim().parse().map_err(|_| bad(format!("`{text}`")))?,
            other => return Err(bad(other.kind().to_owned())),
        };
        if number.is_finite() { Ok(number) } else { Err(bad(format!("{number}"))) }
    };
    entries.iter().map(number).collect::<Result<_, _>>().map(Some)
}
