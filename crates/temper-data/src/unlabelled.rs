//! Texts to predict: lines, or a column of a table.

use std::path::{Path, PathBuf};

use crate::readers::{FileReport, Row, RowReader};
use crate::{DataError, Format, TextInput, Value};

/// A text without a label.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnlabelledText {
    /// The text; of a list of words, these with a space between.
    pub text: String,
    /// The words, where the column holds a list of them.
    pub words: Option<Vec<String>>,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The cells of the columns that are kept, in the order in which these were asked for.
    pub kept: Vec<Value>,
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
    reader: Box<dyn RowReader>,
    file: PathBuf,
    text: String,
    pair: Option<String>,
    kept: Vec<String>,
    is_empty: bool,
    ended: bool,
}

impl UnlabelledTexts {
    /// What the reader of the file decided, and counted so far.
    pub fn report(&self) -> FileReport {
        self.reader.report()
    }

    /// What the user should look at, as far as the file was read.
    pub fn notice(&self) -> Option<String> {
        self.reader.report().suspicion()
    }

    fn next_text(&mut self) -> Result<Option<UnlabelledText>, DataError> {
        let Some(Row { number, cells }) = self.reader.next_row()? else {
            return match self.is_empty {
                true => Err(DataError::EmptyFile { file: self.file.clone() }),
                false => Ok(None),
            };
        };
        self.is_empty = false;
        let mut cells = cells.into_iter();
        let mut next = || cells.next().unwrap_or_default();
        let first = next();
        let words = words(&first);
        let text = match &words {
            Some(words) => words.join(" "),
            None => first.to_text(&self.file, number, &self.text)?,
        };
        let pair = match &self.pair {
            Some(name) => Some(next().to_text(&self.file, number, name)?),
            None => None,
        };
        let kept = self.kept.iter().map(|name| self.kept_cell(name, next(), number));
        let kept = kept.collect::<Result<_, _>>()?;
        Ok(Some(UnlabelledText { text, words, pair, kept, row: number }))
    }

    /// A cell that is kept, unless nothing could be written of it.
    fn kept_cell(&self, name: &str, cell: Value, row: usize) -> Result<Value, DataError> {
        match cell {
            Value::Other(kind) => {
                let reason = format!("column `{name}` holds {kind}, which cannot be kept");
                Err(DataError::broken(&self.file, Some(row), reason))
            }
            cell => Ok(cell),
        }
    }
}

impl Iterator for UnlabelledTexts {
    type Item = Result<UnlabelledText, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_text().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// The words of a cell that is a list of them.
fn words(cell: &Value) -> Option<Vec<String>> {
    let Value::List(items) = cell else { return None };
    items.iter().map(|item| item.as_text().map(String::from)).collect()
}

/// Opens a .txt file (one text on each line, empty lines left out) or a column of a csv, tsv, jsonl or
/// parquet file (`text`, unless another is named). Memory holds a row, not the file. The cells of the columns
/// `kept` come with each text.
///
/// # Errors
/// Here: [`DataError::UnknownFormat`], [`DataError::MissingColumn`] and those of opening a file.
/// From the iterator: [`DataError::NotText`] with the row, [`DataError::EmptyFile`] as the only
/// item of a file without texts, and those of the readers. Nothing follows an error.
pub fn stream_unlabelled(
    path: &Path,
    text_column: Option<&str>,
    text_pair_column: Option<&str>,
    kept: &[String],
) -> Result<UnlabelledTexts, DataError> {
    let text = text_column.unwrap_or("text");
    let kept_names = kept.iter().map(String::as_str);
    let wanted: Vec<&str> = std::iter::once(text).chain(text_pair_column).chain(kept_names).collect();
    let reader = Format::of_file(path)?.open(path, &wanted)?;
    reader.check_columns()?;
    Ok(UnlabelledTexts {
        reader,
        file: path.to_path_buf(),
        text: text.to_string(),
        pair: text_pair_column.map(String::from),
        kept: kept.to_vec(),
        is_empty: true,
        ended: false,
    })
}

/// Reads all texts that [`stream_unlabelled`] gives.
///
/// # Errors
/// As [`stream_unlabelled`] and its iterator.
pub fn read_unlabelled(
    path: &Path,
    text_column: Option<&str>,
    text_pair_column: Option<&str>,
) -> Result<Vec<UnlabelledText>, DataError> {
    stream_unlabelled(path, text_column, text_pair_column, &[])?.collect()
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
    fn questions_of_squads_own_files_are_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.json");
        let text = r#"{"data": [{"title": "t", "paragraphs": [{"context": "Ada wrote it.", "qas": [
            {"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}]}]}]}"#;
        std::fs::write(&path, text).unwrap();
        let texts = read_unlabelled(&path, Some("question"), Some("context")).unwrap();
        assert_eq!((texts[0].text.as_str(), texts[0].pair.as_deref()), ("Who?", Some("Ada wrote it.")));
    }

    #[test]
    fn a_row_without_text_is_named() {
        let error = read("a.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}", None).unwrap_err();
        assert!(matches!(error, DataError::NotText { row: 2, .. }), "{error}");
        assert!(matches!(read("a.txt", "\n\n", None), Err(DataError::EmptyFile { .. })));
    }

    #[test]
    fn rows_come_before_an_error_behind_them_and_nothing_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "text,x\na,1\nb\nc,3\n").unwrap();
        let mut texts = stream_unlabelled(&path, None, None, &[]).unwrap();
        assert_eq!(texts.next().unwrap().unwrap().text, "a");
        assert!(matches!(texts.next(), Some(Err(DataError::RaggedRow { row: 2, .. }))));
        assert!(texts.next().is_none());
    }

    #[test]
    fn a_key_that_the_first_row_has_not_is_missing_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, "{\"body\": \"a\"}\n{\"text\": \"b\"}\n").unwrap();
        let error = stream_unlabelled(&path, None, None, &[]).err().unwrap();
        assert!(matches!(error, DataError::MissingColumn { .. }), "{error}");
    }

    #[test]
    fn a_field_that_may_have_swallowed_rows_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "text,id\na,1\n\"b,2\nc,3\nd,4\ne 27\",5\n").unwrap();
        let mut texts = stream_unlabelled(&path, None, None, &[]).unwrap();
        assert_eq!(texts.by_ref().count(), 2);
        assert!(texts.notice().unwrap().contains("lines 3 to 6"), "{:?}", texts.notice());
    }

    #[test]
    fn kept_columns_come_with_their_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(
            &path,
            "{\"id\": 7, \"text\": \"a\", \"by\": \"Ada\"}\n{\"id\": 8, \"text\": \"b\"}\n",
        )
        .unwrap();
        let kept = ["by", "id", "text"].map(String::from);
        let texts: Vec<_> =
            stream_unlabelled(&path, None, None, &kept).unwrap().map(Result::unwrap).collect();
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(texts[0].kept, [text("Ada"), Value::Int(7), text("a")]);
        assert_eq!(texts[1].kept, [Value::Null, Value::Int(8), text("b")]);
        let error = stream_unlabelled(&path, None, None, &["idd".to_string()]).err().unwrap();
        assert!(error.to_string().contains("did you mean `id`"), "{error}");
    }

    #[test]
    fn a_list_of_words_is_a_text_with_its_words() {
        let texts = read("a.jsonl", "{\"tokens\": [\"Don't\", \"go\"]}", Some("tokens")).unwrap();
        assert_eq!(texts[0].text, "Don't go");
        assert_eq!(texts[0].words.as_deref(), Some(&["Don't".to_string(), "go".to_string()][..]));
        let error = read("a.jsonl", "{\"tokens\": [\"a\", 1]}", Some("tokens")).unwrap_err();
        assert!(matches!(error, DataError::NotText { row: 1, .. }), "{error}");
    }
}
