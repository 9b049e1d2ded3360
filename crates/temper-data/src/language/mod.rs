//! Text to continue: documents, and completions of prompts.

mod encode;
mod running;

use std::borrow::Cow;

use temper_hub::Hub;

pub use self::encode::{LanguageSequence, LanguageSettings, encode_documents};

use crate::dataset::load_tables;
use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::rows::{DatasetRows, Record, RowsRequest, TableReader, TableRows, rows_of};
use crate::{DataError, DatasetTables, Table, Task};

/// A text to learn, or the completion of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What stands before the text and is read, not learned; empty for a document.
    pub prompt: String,
    /// The text.
    pub text: String,
    /// Whether it is the completion of a prompt: then it is one sequence. A document is cut into as many as it needs.
    pub is_completion: bool,
    /// The row in its file, from 1; of a running text the line.
    pub row: usize,
}

impl Record for Document {
    /// A prompt and its completion stand with a TAB between.
    fn key(&self) -> Cow<'_, str> {
        match self.is_completion {
            true => format!("{}\t{}", self.prompt, self.text).into(),
            false => Cow::from(&self.text),
        }
    }

    /// Completions of one prompt stay together.
    fn group(&self) -> Cow<'_, str> {
        Cow::from(if self.is_completion { &self.prompt } else { &self.text })
    }
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct LanguageData {
    /// The documents.
    pub rows: DatasetRows<Document>,
    /// Whether each split is one running text: a plain text file. Limits of rows then mean nothing.
    pub is_running: bool,
}

/// Loads a dataset as documents, or as prompts with their completions.
///
/// A plain text file is one running text. Where it has no files for validation and test, these are its last tenth and the
/// tenth before, cut at the end of a line. Of other files each row is a document; documents without visible characters are
/// passed over, with a notice.
///
/// # Errors
/// Everything that [`load_tables`] and [`load_rows`](crate::load_rows) report; an empty completion.
pub fn load_language(hub: &Hub, request: &RowsRequest) -> Result<LanguageData, DataError> {
    let (name, cards) = (&request.name_or_path, &request.card_directories);
    let dataset = load_tables(hub, name, cards, Task::LanguageModeling, &request.columns)?;
    if running::is_running(&dataset) {
        return Ok(LanguageData { rows: running::split(dataset)?, is_running: true });
    }
    let (rows, _) = rows_of(dataset, request, |dataset| Ok(DocumentReader::new(dataset)))?;
    Ok(LanguageData { rows, is_running: false })
}

/// Examines a dataset as documents: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_language`].
pub fn examine_language(
    hub: &Hub,
    request: &RowsRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    examine_rows(hub, request, Task::LanguageModeling, measure, |dataset| Ok(DocumentReader::new(dataset)))
}

impl Examined for Document {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        match self.is_completion {
            true => vec![("prompt", Cow::from(&self.prompt)), ("completion", Cow::from(&self.text))],
            false => vec![("text", Cow::from(&self.text))],
        }
    }

    /// Nothing is said of a text but itself.
    fn target(&self, _labels: &[String]) -> String {
        String::new()
    }

    fn labels(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// Which columns hold what.
enum Source {
    Documents { text: String },
    Completions { prompt: String, completion: String },
}

/// Reads documents.
struct DocumentReader {
    source: Source,
}

impl DocumentReader {
    fn new(dataset: &DatasetTables) -> Self {
        let name = |role: &str| dataset.columns.get(role).cloned();
        let source = match (name("prompt"), name("completion")) {
            (Some(prompt), Some(completion)) => Source::Completions { prompt, completion },
            _ => Source::Documents { text: name("text").unwrap_or_else(|| "text".into()) },
        };
        Self { source }
    }
}

impl KnowsLabels for DocumentReader {
    fn label_names(&self) -> &[String] {
        &[]
    }
}

impl TableReader for DocumentReader {
    type Record = Document;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<Document>, DataError> {
        let file = &table.file;
        let place = |name: &str| {
            table.column(name).ok_or_else(|| DataError::broken(file, None, "a column is missing"))
        };
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut empty = Vec::new();
        for row in &table.rows {
            let text = |name: &str| row.cells[place(name)?].to_text(file, row.number, name);
            let document = match &self.source {
                Source::Documents { text: name } => Document {
                    prompt: String::new(),
                    text: text(name)?,
                    is_completion: false,
                    row: row.number,
                },
                Source::Completions { prompt, completion } => {
                    let (prompt, text) = (text(prompt)?, text(completion)?);
                    Document { prompt, text, is_completion: true, row: row.number }
                }
            };
            if !document.text.trim().is_empty() {
                rows.push(document);
            } else if document.is_completion {
                return Err(DataError::broken(
                    file,
                    Some(row.number),
                    "the completion is empty: fill or remove the row",
                ));
            } else {
                empty.push(row.number);
            }
        }
        let passed_over = empty.first().map(|first| {
            let (file, count) = (file.display(), empty.len());
            format!("{file}: rows without text are passed over: {count} (the first is row {first})")
        });
        Ok(TableRows { rows, unlabelled: 0, doubts: Vec::new(), notices: passed_over.into_iter().collect() })
    }
}
