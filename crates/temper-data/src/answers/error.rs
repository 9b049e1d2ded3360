//! What can be wrong with questions and their answers.

use std::path::PathBuf;

/// What is wrong with a dataset of questions. Rows are counted from 1; of a JSON file of SQuAD a row is a question.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A question or a context without text.
    #[error("{}, row {row}: the {what} is empty; fill or remove the row", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// Question or context.
        what: &'static str,
    },

    /// A cell that does not hold what it should.
    #[error(
        "{}, row {row}: {reason}; answers are an object with the lists `text` and `answer_start` of equal length, or a \
         list of objects with one of each, where `answer_start` counts characters from 0: correct the row",
        file.display()
    )]
    BadCell {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A question without an answer in data that has none of these.
    #[error(
        "{}, row {row}: the question has no answer ({count} such rows in this file); if its context does not answer \
         it, say so with `is_impossible`: true, or, where all questions without answers are such ones, with \
         `unlabelled = \"keep\"` in a dataset card; else answer or remove the row",
        file.display()
    )]
    NoAnswer {
        /// The file.
        file: PathBuf,
        /// The first such row, from 1.
        row: usize,
        /// How many rows of the file are such ones.
        count: usize,
    },

    /// An answer that its context does not have at its offset, nor in one other place.
    #[error(
        "{}, row {row}: the answer `{text}` is not at offset {start} of its context, which has `{found}` there; \
         {}{hint}; offsets count characters (Unicode code points) from 0: correct the row",
        file.display(),
        if *places == 0 { "it is nowhere in the context".to_string() } else { format!("it is in {places} other places") }
    )]
    Misplaced {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The answer, shortened.
        text: String,
        /// Its offset.
        start: i64,
        /// What the context has there, as long as the answer, shortened.
        found: String,
        /// In how many places the context has the answer.
        places: usize,
        /// What all such answers of the file have in common, or nothing.
        hint: String,
    },

    /// Two questions of a split with one id.
    #[error(
        "{}, row {row}: the id `{id}` is also that of {}, row {first_row}; answers are found and scored by id: give each \
         question of a split its own id",
        file.display(), first_file.display()
    )]
    RepeatedId {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The id.
        id: String,
        /// The file of the first question with it.
        first_file: PathBuf,
        /// Its row.
        first_row: usize,
    },

    /// No training question has an answer.
    #[error("dataset `{dataset}`: none of the {rows} training questions has an answer; {remedy}")]
    NothingAnswered {
        /// The dataset.
        dataset: String,
        /// Training rows.
        rows: usize,
        /// What to do.
        remedy: &'static str,
    },
}
