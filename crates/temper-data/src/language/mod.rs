//! Text to continue: documents, completions of prompts, chats.

mod encode;
mod pairs;
mod running;

use std::borrow::Cow;
use std::ops::Range;

use temper_hub::Hub;

pub use self::encode::{LanguageSequence, LanguageSettings, encode_documents};
pub use self::pairs::{SentencePair, SentencePairs, sentence_pairs};

use crate::chat::{ChatMessage, ChatTemplate};
use crate::dataset::load_tables;
use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::readers::Row;
use crate::request::RowsRequest;
use crate::rows::{DatasetRows, Record, TableReader, TableRows, rows_of};
use crate::{DataError, DatasetTables, Table, TaskKind, Value};

/// A text, and what of it is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The text.
    pub text: String,
    /// The bytes that are learned of a text that is one sequence: a completion, or the answers of a chat. Without them
    /// all of the text is, and it is cut into as many sequences as it needs.
    pub learned: Option<Vec<Range<usize>>>,
    /// Whether the text has an end of its own, as a chat has: else the token that ends a sequence is put after it.
    pub has_end: bool,
    /// The row in its file, from 1; of a running text the line.
    pub row: usize,
}

impl Document {
    /// All of a text.
    pub fn whole(text: String, row: usize) -> Self {
        Self { text, learned: None, has_end: false, row }
    }

    /// A prompt, and its completion, which is learned.
    pub fn completion(prompt: &str, completion: &str, row: usize) -> Self {
        let text = format!("{prompt}{completion}");
        let learned = std::iter::once(prompt.len()..text.len()).collect();
        Self { text, learned: Some(learned), has_end: false, row }
    }
}

impl Record for Document {
    fn key(&self) -> Cow<'_, str> {
        Cow::from(&self.text)
    }

    /// Completions of one prompt stay together, as do chats that begin alike.
    fn group(&self) -> Cow<'_, str> {
        let first = self.learned.as_ref().and_then(|learned| learned.first());
        Cow::from(first.map_or(self.text.as_str(), |first| &self.text[..first.start]))
    }
}

/// What to load.
#[derive(Debug, Clone)]
pub struct LanguageRequest {
    /// [`TaskKind::LanguageModeling`] or [`TaskKind::MaskedLanguageModeling`].
    pub task: TaskKind,
    /// The dataset. Columns have the roles text; prompt and completion; or messages.
    pub rows: RowsRequest,
    /// What writes chats as texts: the tokenizer's.
    pub template: Option<ChatTemplate>,
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct LanguageData {
    /// The documents.
    pub rows: DatasetRows<Document>,
    /// Whether each split is one running text: a plain text file. Limits of rows then mean nothing.
    pub is_running: bool,
}

/// Loads a dataset as documents, prompts with their completions, or chats.
///
/// A plain text file is one running text. Where it has no files for validation and test, these are its last tenth and the
/// tenth before, cut at the end of a line. Of other files each row is a document; documents without visible characters are
/// skipped, with a notice.
///
/// # Errors
/// Everything that [`load_tables`] and [`load_rows`](crate::load_rows) report; an empty completion; a chat that the template
/// refuses or that has no answer.
pub fn load_language(hub: &Hub, request: &LanguageRequest) -> Result<LanguageData, DataError> {
    let rows = &request.rows;
    let dataset = load_tables(hub, rows, request.task)?;
    if running::is_running(&dataset) {
        return Ok(LanguageData { rows: running::split(dataset)?, is_running: true });
    }
    let (rows, _) = rows_of(dataset, rows, |dataset| Ok(DocumentReader::new(dataset, request)))?;
    Ok(LanguageData { rows, is_running: false })
}

/// Examines a dataset as documents: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_language`].
pub fn examine_language(
    hub: &Hub,
    request: &LanguageRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    let prepare = |dataset: &DatasetTables| Ok(DocumentReader::new(dataset, request));
    examine_rows(hub, &request.rows, request.task, measure, prepare)
}

impl Examined for Document {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        vec![("text", Cow::from(&self.text))]
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
enum TextColumns {
    Documents { text: String },
    Completions { prompt: String, completion: String },
    Chats { messages: String, template: Option<ChatTemplate> },
}

/// Reads documents.
struct DocumentReader {
    source: TextColumns,
}

/// A row of a table.
struct RowCells<'a> {
    table: &'a Table,
    row: &'a Row,
}

impl RowCells<'_> {
    fn get(&self, name: &str) -> Result<&Value, DataError> {
        let place = self.table.column(name);
        place.map(|place| &self.row.cells[place]).ok_or_else(|| self.broken("a column is missing"))
    }

    fn text(&self, name: &str) -> Result<String, DataError> {
        self.get(name)?.to_text(&self.table.file, self.row.number, name)
    }

    fn broken(&self, reason: &str) -> DataError {
        DataError::broken(&self.table.file, Some(self.row.number), reason)
    }
}

impl DocumentReader {
    fn new(dataset: &DatasetTables, request: &LanguageRequest) -> Self {
        let name = |role: &str| dataset.columns.get(role).cloned();
        let source = match (name("messages"), name("prompt"), name("completion")) {
            (Some(messages), ..) => TextColumns::Chats { messages, template: request.template.clone() },
            (_, Some(prompt), Some(completion)) => TextColumns::Completions { prompt, completion },
            _ => TextColumns::Documents { text: name("text").unwrap_or_else(|| "text".into()) },
        };
        Self { source }
    }

    /// The document of a row; none where it has no text.
    fn document(&self, cells: &RowCells<'_>) -> Result<Option<Document>, DataError> {
        let row = cells.row.number;
        match &self.source {
            TextColumns::Documents { text } => {
                let text = cells.text(text)?;
                Ok((!text.trim().is_empty()).then(|| Document::whole(text, row)))
            }
            TextColumns::Completions { prompt, completion } => {
                let (prompt, completion) = (cells.text(prompt)?, cells.text(completion)?);
                match completion.trim().is_empty() {
                    true => Err(cells.broken("the completion is empty: fill or remove the row")),
                    false => Ok(Some(Document::completion(&prompt, &completion, row))),
                }
            }
            TextColumns::Chats { messages, template } => {
                let template = template.as_ref().ok_or_else(|| {
                    cells.broken(
                        "it is a chat, and the model's tokenizer has no chat_template in tokenizer_config.json to write \
                         one by; take a model with one, or columns `prompt` and `completion`",
                    )
                })?;
                let messages = read_messages(cells.get(messages)?).map_err(|reason| cells.broken(&reason))?;
                let rendered = template.render_answers(&messages).map_err(|reason| cells.broken(&reason))?;
                if rendered.answers.is_empty() {
                    return Err(cells.broken("no message is the assistant's: there is nothing to learn"));
                }
                Ok(Some(Document {
                    text: rendered.text,
                    learned: Some(rendered.answers),
                    has_end: true,
                    row,
                }))
            }
        }
    }
}

/// The messages of a cell: a list of objects with `role` and `content`, or with `from` and `value` as ShareGPT has them.
fn read_messages(value: &Value) -> Result<Vec<ChatMessage>, String> {
    let wrong = || "messages are a list of objects with the texts `role` and `content`".to_owned();
    let Value::List(messages) = value else { return Err(wrong()) };
    let message = |message: &Value| {
        let text =
            |names: [&str; 2]| names.iter().find_map(|name| message.part(name)?.as_text()).map(str::to_owned);
        let role = text(["role", "from"])?;
        let role = match role.as_str() {
            "human" => "user".to_owned(),
            "gpt" => "assistant".to_owned(),
            _ => role,
        };
        Some(ChatMessage { role, content: text(["content", "value"])? })
    };
    messages.iter().map(|each| message(each).ok_or_else(wrong)).collect()
}

impl KnowsLabels for DocumentReader {
    fn label_names(&self) -> &[String] {
        &[]
    }
}

impl TableReader for DocumentReader {
    type Record = Document;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<Document>, DataError> {
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut empty = Vec::new();
        for row in &table.rows {
            match self.document(&RowCells { table: &table, row })? {
                Some(document) => rows.push(document),
                None => empty.push(row.number),
            }
        }
        let passed_over = empty.first().map(|first| {
            let (file, count) = (table.file.display(), empty.len());
            format!("{file}: rows without text are skipped: {count} (the first is row {first})")
        });
        Ok(TableRows { rows, unlabelled: 0, doubts: Vec::new(), notices: passed_over.into_iter().collect() })
    }
}
