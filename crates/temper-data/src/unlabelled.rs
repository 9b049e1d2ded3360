//! Texts to predict: lines, or a column of a table.

use std::path::Path;

use crate::{DataError, Format, TextInput, Value};

/// A text without a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlabelledText {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The row in its file, from 1.
    pub row: usize,
}

impl UnlabelledText {
    /// The text as [`encode_all`](crate::encode_all) takes it.
    pub fn input(&self) -> TextInput<'_> {
        (&self.text, self.pair.as_deref())
    }
}

/// The texts of a file, one at a time: see [`stream_unlabelled`].
pub struct UnlabelledTexts {
    rows: Box<dyn Iterator<Item = Result<UnlabelledText, DataError>> + Send>,
}

impl Iterator for UnlabelledTexts {
    type Item = Result<UnlabelledText, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

/// Opens a .txt file (a text a line, empty lines left out) or a column of a csv, tsv, jsonl or
/// parquet file (`text`, unless another is named).
///
/// # Errors
/// Here: [`DataError::UnknownFormat`], [`DataError::MissingColumn`] and those of opening a file.
/// From the iterator: [`DataError::NotText`] with the row, [`DataError::EmptyFile`] as the only
/// item of a file without texts, and those of the readers. Nothing follows an error.
pub fn stream_unlabelled(
    path: &Path,
    text_column: Option<&str>,
    text_pair_column: Option<&str>,
) -> Result<UnlabelledTexts, DataError> {
    let texts = read_unlabelled(path, text_column, text_pair_column)?;
    Ok(UnlabelledTexts { rows: Box::new(texts.into_iter().map(Ok)) })
}

/// Reads the texts of a .txt file (a text a line, empty lines left out) or of a column of a csv,
/// tsv, jsonl or parquet file (`text`, unless another is named).
///
/// # Errors
/// [`DataError::MissingColumn`], [`DataError::NotText`] with the row, [`DataError::EmptyFile`],
/// and those of the readers.
pub fn read_unlabelled(
    path: &Path,
    text_column: Option<&str>,
    text_pair_column: Option<&str>,
) -> Result<Vec<UnlabelledText>, DataError> {
    let format = Format::of_path(path)?;
    let table = format.read(path)?;
    let text_column = text_column.unwrap_or("text");
    let text = table.column(text_column)?;
    let pair = text_pair_column.map(|name| table.column(name).map(|index| (index, name))).transpose()?;
    let text_of = |value: &Value, row: usize, column: &str| match value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(DataError::NotText {
            file: path.to_path_buf(),
            row,
            column: column.to_string(),
            found: other.kind(),
        }),
    };
    let mut texts = Vec::with_capacity(table.rows.len());
    for (index, cells) in table.rows.iter().enumerate() {
        let row = index + 1;
        let text = text_of(&cells[text], row, text_column)?;
        if format == Format::Text && text.trim().is_empty() {
            continue;
        }
        let pair = pair.map(|(index, name)| text_of(&cells[index], row, name)).transpose()?;
        texts.push(UnlabelledText { text, pair, row });
    }
    if texts.is_empty() {
        return Err(DataError::EmptyFile { file: table.file });
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &str, column: Option<&str>) -> Result<Vec<UnlabelledText>, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_unlabelled(&path, column, None)
    }

    #[test]
    fn lines_are_texts_and_keep_their_numbers() {
        let texts = read("a.txt", "good\n\nbad\n", None).unwrap();
        let rows: Vec<_> = texts.iter().map(|t| (t.text.as_str(), t.row)).collect();
        assert_eq!(rows, [("good", 1), ("bad", 3)]);
    }

    #[test]
    fn a_column_is_named_or_called_text() {
        assert_eq!(read("a.csv", "text,x\na,1\n", None).unwrap()[0].text, "a");
        let texts = read("a.jsonl", "{\"review\": \"a\"}", Some("review")).unwrap();
        assert_eq!(texts[0].text, "a");
        let message = read("a.csv", "review\na\n", None).unwrap_err().to_string();
        assert!(message.contains("--text-column"), "{message}");
    }

    #[test]
    fn a_row_without_text_is_named() {
        let error = read("a.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}", None).unwrap_err();
        assert!(matches!(error, DataError::NotText { row: 2, .. }), "{error}");
        assert!(matches!(read("a.txt", "\n\n", None), Err(DataError::EmptyFile { .. })));
    }
}
