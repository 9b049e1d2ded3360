//! The list of tasks.

use std::sync::Arc;

use temper_data::{DataError, Task as Kind, find_card};
use temper_models::{Model, ModelConfig};

use super::{LoadRequest, Splits, Task, text_classification};
use crate::TrainError;

/// The task of a model; `None` where its head is that of another.
pub(super) type OfModel = Result<Option<Arc<dyn Task>>, TrainError>;

/// How a task is reached.
struct Entry {
    kind: Kind,
    /// Reads and encodes a dataset for it; the task is what the data makes of it, such as its labels.
    load: fn(&LoadRequest<'_>) -> Result<Splits, TrainError>,
    /// The task that a fine-tuned model was trained for.
    of_model: fn(&Model, &ModelConfig) -> OfModel,
}

/// All tasks; the first is that of a path whose columns tell nothing else.
const TASKS: &[Entry] = &[Entry {
    kind: Kind::TextClassification,
    load: text_classification::load,
    of_model: text_classification::of_model,
}];

/// Reads and encodes a dataset for the task that its card names.
///
/// # Errors
/// [`TrainError::Data`], also for a card of a task that is not in the list.
pub fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let dataset = &request.dataset;
    let card = find_card(&dataset.name_or_path, &dataset.card_directories).ok();
    let kind = card.as_ref().map_or(TASKS[0].kind, |card| card.task);
    match TASKS.iter().find(|entry| entry.kind == kind) {
        Some(entry) => (entry.load)(request),
        None => Err(TrainError::Data(DataError::WrongTask {
            name: dataset.name_or_path.clone(),
            task: kind.name(),
            wanted: TASKS[0].kind.name(),
        })),
    }
}

/// The task that a fine-tuned model was trained for.
///
/// # Errors
/// [`TrainError::Usage`] when it has no head of a task.
pub fn of_model(model: &Model, config: &ModelConfig) -> Result<Arc<dyn Task>, TrainError> {
    for entry in TASKS {
        if let Some(task) = (entry.of_model)(model, config)? {
            return Ok(task);
        }
    }
    Err(TrainError::Usage(
        "the model has no classification head; fine-tune it first: temper finetune MODEL DATASET".into(),
    ))
}
