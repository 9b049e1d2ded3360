//! The list of tasks.

use std::sync::Arc;

use serde_json::{Map, Value};
use temper_data::{DataError, Diagnosis, RowsRequest, TaskKind, find_card, task_of_files};
use temper_models::{Model, ModelConfig};

use super::{
    ExamineRequest, LoadRequest, OfModel, Splits, Task, language_modeling, masked_language_modeling,
    question_answering, text_classification, text_to_text, token_classification,
};
use crate::examples::Split;
use crate::{Columns, TrainError};

/// How a task is reached.
struct Entry {
    kind: TaskKind,
    /// Roles of columns that no other task has.
    roles: &'static [&'static str],
    /// Reads and encodes a dataset for it; the data determines details of the task, such as its labels.
    load: fn(&LoadRequest<'_>) -> Result<Splits, TrainError>,
    /// Finds what may be wrong with a dataset for it.
    examine: fn(&ExamineRequest<'_>) -> Result<Diagnosis, DataError>,
    /// The task that a fine-tuned model was trained for, with what it recorded.
    of_model: fn(&Model, &ModelConfig, &Map<String, Value>) -> OfModel,
}

/// All tasks; the first is that of files whose columns imply none.
const TASKS: &[Entry] = &[
    Entry {
        kind: TaskKind::TextClassification,
        roles: &["label", "text_pair"],
        load: text_classification::load,
        examine: text_classification::examine,
        of_model: text_classification::of_model,
    },
    Entry {
        kind: TaskKind::TokenClassification,
        roles: &["tokens", "tags", "spans"],
        load: token_classification::load,
        examine: token_classification::examine,
        of_model: token_classification::of_model,
    },
    Entry {
        kind: TaskKind::QuestionAnswering,
        roles: &["question", "context", "answers"],
        load: question_answering::load,
        examine: question_answering::examine,
        of_model: question_answering::of_model,
    },
    Entry {
        kind: TaskKind::LanguageModeling,
        roles: &["prompt", "completion", "messages"],
        load: language_modeling::load,
        examine: language_modeling::examine,
        of_model: language_modeling::of_model,
    },
    Entry {
        kind: TaskKind::MaskedLanguageModeling,
        roles: &[],
        load: masked_language_modeling::load,
        examine: masked_language_modeling::examine,
        of_model: masked_language_modeling::of_model,
    },
    Entry {
        kind: TaskKind::TextToText,
        roles: &["source", "target"],
        load: text_to_text::load,
        examine: text_to_text::examine,
        of_model: text_to_text::of_model,
    },
];

/// The task of that name.
///
/// # Errors
/// The names that there are.
pub fn by_name(name: &str) -> Result<TaskKind, String> {
    let names = || TASKS.iter().map(|entry| entry.kind.name()).collect::<Vec<_>>().join(", ");
    let found = TASKS.iter().find(|entry| entry.kind.name() == name);
    found.map(|entry| entry.kind).ok_or_else(|| format!("it must be one of {}", names()))
}

/// Reads and encodes a dataset for the task that is named, or that its card names, or that its columns imply.
///
/// # Errors
/// [`TrainError::Data`], also for a card of a task that is not in the list.
pub fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let entry = entry(&request.dataset, request.task)?;
    let mut splits = (entry.load)(request)?;
    let is_training = request.record.is_none() && request.wanted.contains(&Split::Train);
    if is_training && let Some(notice) = few_examples(splits.train.len()) {
        splits.report.notices.push(notice);
    }
    Ok(splits)
}

/// Fewer training examples than this are worth a word.
const FEW_EXAMPLES: usize = 50;

/// What to say where there is little to learn from.
fn few_examples(count: usize) -> Option<String> {
    (count < FEW_EXAMPLES).then(|| {
        format!(
            "only {count} training examples: results will vary between seeds (temper compare with --seeds 5 shows how much)"
        )
    })
}

/// Examines a dataset for the task that is named, or that its card names, or that its columns imply.
///
/// # Errors
/// [`TrainError::Data`] for what concerns no single row, and for a card of a task that is not in the list.
pub fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, TrainError> {
    let entry = entry(&request.dataset, request.task)?;
    Ok((entry.examine)(request)?)
}

/// The task that is named, or that a dataset's card names, or that its columns imply.
fn entry(dataset: &RowsRequest, named: Option<TaskKind>) -> Result<&'static Entry, TrainError> {
    let card = find_card(&dataset.name_or_path, &dataset.card_directories).ok();
    let kind = named.or(card.map(|card| card.task)).or_else(|| of_columns(&dataset.columns.asked));
    let kind = kind.or_else(|| task_of_files(&dataset.name_or_path, &dataset.columns));
    let kind = kind.unwrap_or(TASKS[0].kind);
    TASKS.iter().find(|entry| entry.kind == kind).ok_or_else(|| {
        TrainError::Data(DataError::WrongTask {
            name: dataset.name_or_path.clone(),
            task: kind.name(),
            wanted: TASKS[0].kind.name(),
        })
    })
}

/// The task that is the only one with one of these roles.
fn of_columns(columns: &Columns) -> Option<TaskKind> {
    let has_one = |entry: &&Entry| entry.roles.iter().any(|role| columns.contains_key(*role));
    TASKS.iter().find(has_one).map(|entry| entry.kind)
}

/// The task that a fine-tuned model was trained for, with what it recorded ([`Task::record`]).
///
/// # Errors
/// [`TrainError::Usage`] when it has no head of a task.
pub fn of_model(
    model: &Model,
    config: &ModelConfig,
    record: &Map<String, Value>,
) -> Result<Arc<dyn Task>, TrainError> {
    for entry in TASKS {
        if let Some(task) = (entry.of_model)(model, config, record)? {
            return Ok(task);
        }
    }
    Err(TrainError::Usage(
        "the model has no head of a task that temper trains; fine-tune it first: temper finetune MODEL DATASET".into(),
    ))
}
