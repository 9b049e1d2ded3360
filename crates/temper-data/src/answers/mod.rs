//! Question answering: questions with the spans of a context that answer them, as in SQuAD.

mod cells;
mod error;
mod offsets;
mod reader;
mod settle;

use std::borrow::Cow;

use temper_hub::Hub;

pub use self::error::AnswerError;

use self::reader::QuestionReader;
use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::request::RowsRequest;
use crate::rows::{DatasetRows, Record, load_rows};
use crate::{DataError, DatasetTables, TaskKind};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct QuestionRequest {
    /// The dataset. Columns have the roles question, context and answers, and perhaps id, title, is_impossible
    /// and answer_start.
    pub rows: RowsRequest,
    /// True if questions without an answer, about which the file says nothing else, are ones that their context does not
    /// answer, as in SQuAD 2.0 (`version_2_with_negative` of transformers' run_qa.py).
    pub unanswerable: bool,
}

/// A part of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Where it begins in the context, in characters (Unicode scalar values), from 0.
    pub start: usize,
}

/// A question and where its context answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The id of its source, unique in its split; `FILE:ROW` where the source has none.
    pub id: String,
    /// The title of the context's article.
    pub title: Option<String>,
    /// The question.
    pub question: String,
    /// The text that is to answer it.
    pub context: String,
    /// Its answers, in the order of the source; empty if there is none.
    pub answers: Vec<Answer>,
    /// Whether the context does not answer it.
    pub is_impossible: bool,
    /// The row in its file, from 1.
    pub row: usize,
}

impl Record for Question {
    const GROUP: &'static str = "context";

    /// The question and its context with a TAB between.
    fn key(&self) -> Cow<'_, str> {
        format!("{}\t{}", self.question, self.context).into()
    }

    /// The context: the questions of a paragraph stay together.
    fn group(&self) -> Cow<'_, str> {
        Cow::from(&self.context)
    }
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct QuestionAnsweringData {
    /// The questions.
    pub rows: DatasetRows<Question>,
    /// Answers of all files that are not at their offset, but in one other place of their context: that is taken.
    pub moved: usize,
}

/// Loads a dataset as questions with contexts and answers.
///
/// An answer that its context does not have at its offset is taken from where it is if it occurs exactly once, with a
/// notice; else it is an error, in any split.
///
/// # Errors
/// Everything that [`load_rows`] reports, and [`AnswerError`].
pub fn load_question_answering(
    hub: &Hub,
    request: &QuestionRequest,
) -> Result<QuestionAnsweringData, DataError> {
    let prepare = |dataset: &DatasetTables| Ok(QuestionReader::new(dataset, request.unanswerable));
    let (rows, reader) = load_rows(hub, &request.rows, TaskKind::QuestionAnswering, prepare)?;
    Ok(QuestionAnsweringData { rows, moved: reader.moved })
}

/// Examines a dataset as questions: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_question_answering`].
pub fn examine_question_answering(
    hub: &Hub,
    request: &QuestionRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    let prepare = |dataset: &DatasetTables| Ok(QuestionReader::new(dataset, request.unanswerable));
    examine_rows(hub, &request.rows, TaskKind::QuestionAnswering, measure, prepare)
}

impl Examined for Question {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        vec![("question", Cow::from(&self.question)), ("context", Cow::from(&self.context))]
    }

    /// Whether there is an answer: those who answer a question need not name the same words.
    fn target(&self, _labels: &[String]) -> String {
        if self.answers.is_empty() { "no answer".into() } else { "an answer".into() }
    }

    fn labels(&self) -> Vec<usize> {
        Vec::new()
    }
}

impl KnowsLabels for QuestionReader {
    fn label_names(&self) -> &[String] {
        &[]
    }
}
