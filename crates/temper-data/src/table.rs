//! Rows and columns of a file, before they are interpreted.

use std::path::{Path, PathBuf};

use crate::DataError;
use crate::readers::{FileReport, Row};

/// One cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: a null, or a field that the row does not have.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
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
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Struct(_) => "named parts",
            Self::Other(kind) => kind,
        }
    }

    /// The text of a column that must have one.
    ///
    /// # Errors
    /// [`DataError::NotText`] with the row.
    pub(crate) fn to_text(&self, file: &Path, row: usize, column: &str) -> Result<String, DataError> {
        let not_text = || DataError::NotText {
            file: file.to_path_buf(),
            row,
            column: column.to_string(),
            found: self.kind(),
        };
        self.as_text().map(String::from).ok_or_else(not_text)
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

/// A column's name and what its cells mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Names of the classes 0, 1, ..., where the file carries them.
    pub class_names: Option<Vec<String>>,
    /// Whether the file distinguishes numbers from text. A csv file does not.
    pub typed: bool,
}

impl Column {
    /// A column of typed cells without class names.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), class_names: None, typed: true }
    }

    /// A column whose cells are all text, whatever they mean.
    pub fn untyped(name: impl Into<String>) -> Self {
        Self { typed: false, ..Self::plain(name) }
    }
}

/// Some columns of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The file (or folder) that was read.
    pub file: PathBuf,
    /// The columns, in the order in which they were asked for.
    pub columns: Vec<Column>,
    /// The rows, in the file's order; each as long as `columns`.
    pub rows: Vec<Row>,
    /// What the reader decided.
    pub report: FileReport,
}

impl Table {
    /// Index of the column `name`, if it was asked for.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_gives_its_parts() {
        let answers = Value::Struct(vec![("answer_start".into(), Value::List(vec![Value::Int(7)]))]);
        assert_eq!(answers.part("answer_start"), Some(&Value::List(vec![Value::Int(7)])));
        assert_eq!(answers.part("text"), None);
    }
}
