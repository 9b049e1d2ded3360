//! Rows to questions, with what their answers say of themselves.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::settle::{UnsettledQuestion, settle};
use super::{AnswerError, Question, cells, offsets};
use crate::readers::Row;
use crate::rows::{DatasetRows, TableReader, TableRows};
use crate::{DataError, DatasetTables, Table, Unlabelled, Value};

/// What is done with a question without an answer, of which nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoAnswer {
    Refuse,
    Drop,
    Impossible,
}

/// Reads questions.
pub(super) struct QuestionReader {
    /// Names of the columns by role.
    columns: BTreeMap<String, String>,
    no_answer: NoAnswer,
    /// Answers that were taken from another place than their offset.
    pub moved: usize,
    /// The split that is read, and where each of its ids is.
    split: &'static str,
    ids: HashMap<String, (PathBuf, usize)>,
}

/// A row's cells by role.
struct RoleCells<'a> {
    table: &'a Table,
    row: &'a Row,
    columns: &'a BTreeMap<String, String>,
}

impl<'a> RoleCells<'a> {
    fn name(&self, role: &'a str) -> &'a str {
        self.columns.get(role).map_or(role, String::as_str)
    }

    /// The cell of a role, if the table has one.
    fn get(&self, role: &'a str) -> Option<&'a Value> {
        self.row.cells.get(self.table.column(self.name(role))?)
    }

    /// The text of a role, if there is one.
    fn optional_text(&self, role: &'a str) -> Result<Option<String>, DataError> {
        let text = match self.get(role) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Int(number)) => number.to_string(),
            Some(value) => value.to_text(&self.table.file, self.row.number, self.name(role))?,
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The text of a role, which may not be empty.
    fn text(&self, role: &'static str) -> Result<String, DataError> {
        let value = self.get(role).unwrap_or(&Value::Null);
        let text = value.to_text(&self.table.file, self.row.number, self.name(role))?;
        match text.trim().is_empty() {
            true => Err(self.error(|file, row| AnswerError::Empty { file, row, what: role })),
            false => Ok(text),
        }
    }

    fn error(&self, error: impl FnOnce(PathBuf, usize) -> AnswerError) -> DataError {
        error(self.table.file.clone(), self.row.number).into()
    }

    fn bad(&self, reason: String) -> DataError {
        self.error(|file, row| AnswerError::BadCell { file, row, reason })
    }
}

impl QuestionReader {
    pub fn new(dataset: &DatasetTables, unanswerable: bool) -> Self {
        let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
        let no_answer = match policy {
            _ if unanswerable => NoAnswer::Impossible,
            Unlabelled::Keep => NoAnswer::Impossible,
            Unlabelled::Drop => NoAnswer::Drop,
            Unlabelled::Error => NoAnswer::Refuse,
        };
        Self { columns: dataset.columns.clone(), no_answer, moved: 0, split: "", ids: HashMap::new() }
    }

    /// A row's question and what is known of its answers; `None` for one that should have an answer.
    fn row(&self, table: &Table, row: &Row) -> Result<Option<UnsettledQuestion>, DataError> {
        let cells = RoleCells { table, row, columns: &self.columns };
        let (question, context) = (cells.text("question")?, cells.text("context")?);
        let answers = cells.get("answers").unwrap_or(&Value::Null);
        let answers =
            cells::answers(answers, cells.get("answer_start")).map_err(|reason| cells.bad(reason))?;
        let marked = cells::is_impossible(cells.get("is_impossible")).map_err(|reason| cells.bad(reason))?;
        let is_impossible = match (marked, answers.is_empty()) {
            (Some(true), false) => {
                return Err(cells.bad("it is marked `is_impossible` and has an answer".into()));
            }
            (_, false) => false,
            (Some(true), true) => true,
            (None, true) if self.no_answer == NoAnswer::Impossible => true,
            (_, true) => return Ok(None),
        };
        let id = match cells.optional_text("id")? {
            Some(id) => id,
            None => format!("{}:{}", file_name(&table.file), row.number),
        };
        let title = cells.optional_text("title")?;
        let places = answers.iter().map(|answer| offsets::find(&context, answer)).collect();
        let question =
            Question { id, title, question, context, answers: Vec::new(), is_impossible, row: row.number };
        Ok(Some(UnsettledQuestion { question, answers, places }))
    }

    /// Refuses an id that another question of the split has.
    fn check_ids(&mut self, file: &Path, rows: &[Question]) -> Result<(), DataError> {
        for row in rows {
            let place = (file.to_path_buf(), row.row);
            if let Some((first_file, first_row)) = self.ids.insert(row.id.clone(), place) {
                let (file, id) = (file.to_path_buf(), row.id.clone());
                return Err(AnswerError::RepeatedId { file, row: row.row, id, first_file, first_row }.into());
            }
        }
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl TableReader for QuestionReader {
    type Record = Question;

    fn read(&mut self, table: Table, split: &'static str) -> Result<TableRows<Question>, DataError> {
        if self.split != split {
            self.split = split;
            self.ids.clear();
        }
        let mut found = Vec::with_capacity(table.rows.len());
        let mut unanswered = Vec::new();
        for row in &table.rows {
            match self.row(&table, row)? {
                Some(question) => found.push(question),
                None => unanswered.push(row.number),
            }
        }
        if let (Some(row), true) = (unanswered.first(), self.no_answer != NoAnswer::Drop) {
            let (file, count) = (table.file.clone(), unanswered.len());
            return Err(AnswerError::NoAnswer { file, row: *row, count }.into());
        }
        let settled = settle(&table.file, found)?;
        self.moved += settled.moved.len();
        self.check_ids(&table.file, &settled.rows)?;
        let notices = settled.notice.into_iter().collect();
        let (rows, doubts) = (settled.rows, settled.moved);
        Ok(TableRows { rows, unlabelled: unanswered.len(), doubts, notices })
    }

    fn check(&self, dataset: &DatasetRows<Question>) -> Result<(), DataError> {
        if dataset.train.iter().any(|row| !row.answers.is_empty()) {
            return Ok(());
        }
        let is_subset = dataset.train.len() < dataset.full_train_rows;
        let remedy = match is_subset {
            true => "keep more rows with --max-train-samples, or others with another --seed",
            false => "check the column of the answers",
        };
        let (dataset, rows) = (dataset.name.clone(), dataset.train.len());
        Err(AnswerError::NothingAnswered { dataset, rows, remedy }.into())
    }
}
