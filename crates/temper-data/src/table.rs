//! Rows and columns as they stand in a file, before they mean anything.

use std::path::PathBuf;

use temper_hub::near_names;

use crate::DataError;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: a null, or a field that the row does not have.
    Null,
    /// A whole number or a truth value (0 or 1).
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// A list, as the tokens of WNUT-17.
    List(Vec<Value>),
    /// Named parts, as the answers of SQuAD.
    Struct(Vec<(String, Value)>),
    /// Something no task reads (bytes, dates, maps); its kind, for messages.
    Other(&'static str),
}

impl Value {
    /// What the cell holds, in words for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Struct(_) => "named parts",
            Self::Other(kind) => kind,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A named part of a struct.
    pub fn part(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Struct(parts) => parts.iter().find(|(part, _)| part == name).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A column's name and what its numbers stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Names of the classes 0, 1, ..., where the file carries them.
    pub class_names: Option<Vec<String>>,
}

impl Column {
    /// A column without class names.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), class_names: None }
    }
}

/// A file's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The file (or folder) that was read.
    pub file: PathBuf,
    /// Its columns, in the file's order.
    pub columns: Vec<Column>,
    /// Its rows, in the file's order; each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    /// Index of the column `name`.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`] with the columns there are.
    pub fn column(&self, name: &str) -> Result<usize, DataError> {
        let known = || self.columns.iter().map(|column| column.name.as_str());
        known().position(|column| column == name).ok_or_else(|| DataError::MissingColumn {
            file: self.file.clone(),
            column: name.to_string(),
            available: known().map(String::from).collect(),
            near: near_names(name, known()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            file: PathBuf::from("reviews.csv"),
            columns: vec![Column::plain("review"), Column::plain("label")],
            rows: vec![],
        }
    }

    #[test]
    fn a_column_is_found_by_its_exact_name() {
        assert_eq!(table().column("label").unwrap(), 1);
    }

    #[test]
    fn a_missing_column_names_the_file_and_the_columns_there_are() {
        let message = table().column("labels").unwrap_err().to_string();
        for part in [
            "reviews.csv",
            "no column `labels`",
            "did you mean `label`",
            "`review`, `label`",
            "--label-column",
        ] {
            assert!(message.contains(part), "{part} not in: {message}");
        }
    }

    #[test]
    fn a_struct_gives_its_parts() {
        let answers = Value::Struct(vec![("answer_start".into(), Value::List(vec![Value::Int(7)]))]);
        assert_eq!(answers.part("answer_start"), Some(&Value::List(vec![Value::Int(7)])));
        assert_eq!(answers.part("text"), None);
    }
}
