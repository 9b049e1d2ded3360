//! A sentence's words and tags as a row has them: two lists.

use std::path::Path;

use super::TagError;
use crate::{DataError, Value};

/// Where a row is, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileRow<'a> {
    pub file: &'a Path,
    pub row: usize,
}

/// A tag as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WrittenTag<'a> {
    Id(i64),
    Name(&'a str),
}

impl WrittenTag<'_> {
    /// What messages and observed names call it.
    pub fn name(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Name(name) => name.to_string(),
        }
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Id(_) => "numbers",
            Self::Name(_) => "names",
        }
    }
}

/// The entries of a list; nothing is an empty one.
fn entries<'a>(value: &'a Value, place: FileRow<'_>, column: &str) -> Result<&'a [Value], DataError> {
    match value {
        Value::Null => Ok(&[]),
        Value::List(entries) => Ok(entries),
        other => Err(DataError::from(TagError::NotList {
            file: place.file.to_path_buf(),
            row: place.row,
            column: column.to_string(),
            found: other.kind(),
        })),
    }
}

fn bad_entry(place: FileRow<'_>, column: &str, index: usize, found: &Value) -> DataError {
    DataError::from(TagError::BadEntry {
        file: place.file.to_path_buf(),
        row: place.row,
        column: column.to_string(),
        entry: index + 1,
        found: found.kind(),
    })
}

/// The words of a cell.
pub(super) fn words(value: &Value, place: FileRow<'_>, column: &str) -> Result<Vec<String>, DataError> {
    let word = |(index, entry): (usize, &Value)| {
        entry.as_text().map(String::from).ok_or_else(|| bad_entry(place, column, index, entry))
    };
    entries(value, place, column)?.iter().enumerate().map(word).collect()
}

/// The tags of a cell.
pub(super) fn tags<'a>(
    value: &'a Value,
    place: FileRow<'_>,
    column: &str,
) -> Result<Vec<WrittenTag<'a>>, DataError> {
    let tag = |(index, entry): (usize, &'a Value)| match entry {
        Value::Int(id) => Ok(WrittenTag::Id(*id)),
        Value::Text(name) => Ok(WrittenTag::Name(name)),
        other => Err(bad_entry(place, column, index, other)),
    };
    entries(value, place, column)?.iter().enumerate().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: fn() -> FileRow<'static> = || FileRow { file: Path::new("a.jsonl"), row: 7 };

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn lists_of_text_are_words_and_nothing_is_none() {
        let list = Value::List(vec![text("a"), text("")]);
        assert_eq!(words(&list, PLACE(), "tokens").unwrap(), ["a", ""]);
        assert_eq!(words(&Value::Null, PLACE(), "tokens").unwrap(), [""; 0]);
        let list = Value::List(vec![Value::Int(2), text("O")]);
        assert_eq!(tags(&list, PLACE(), "tags").unwrap(), [WrittenTag::Id(2), WrittenTag::Name("O")]);
    }

    #[test]
    fn what_is_no_list_and_what_is_no_word_is_named() {
        let message = words(&text("a b"), PLACE(), "tokens").unwrap_err().to_string();
        assert!(message.contains("a.jsonl, row 7: column `tokens` holds text"), "{message}");
        let list = Value::List(vec![text("a"), Value::Null]);
        let message = words(&list, PLACE(), "tokens").unwrap_err().to_string();
        assert!(message.contains("row 7: entry 2 of column `tokens` is nothing"), "{message}");
        let list = Value::List(vec![Value::Float(0.5)]);
        let message = tags(&list, PLACE(), "ner").unwrap_err().to_string();
        assert!(message.contains("entry 1 of column `ner` is a number"), "{message}");
    }
}
