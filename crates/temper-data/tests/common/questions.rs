//! Questions with answers: rows, and how they are loaded.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::Path;

use temper_data::{AnswerError, DataError, QuestionAnsweringData, QuestionRequest, load_question_answering};

use crate::datasets::{hub, request};

pub fn load_with(root: &Path, name: &str, unanswerable: bool) -> Result<QuestionAnsweringData, DataError> {
    let known = root.join(name);
    let name = if known.exists() { known.display().to_string() } else { name.to_string() };
    let request = QuestionRequest { rows: request(root, name), unanswerable };
    load_question_answering(&hub(root, &root.join("mirror")), &request)
}

pub fn load(root: &Path, name: &str) -> Result<QuestionAnsweringData, DataError> {
    load_with(root, name, false)
}

pub fn answer_error(error: DataError) -> AnswerError {
    match error {
        DataError::Answers(error) => *error,
        other => panic!("{other}"),
    }
}

/// A row of JSON lines.
pub fn row(id: usize, context: &str, answers: &str) -> String {
    format!(
        "{{\"id\": \"q{id}\", \"question\": \"What {id}?\", \"context\": \"{context}\", \"answers\": {answers}}}\n"
    )
}

/// A good row of its own context.
pub fn good(id: usize) -> String {
    row(id, &format!("It is {id}."), &format!("{{\"text\": [\"{id}\"], \"answer_start\": [6]}}"))
}
