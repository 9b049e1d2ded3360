//! The head under which an adapter was trained.

use std::path::Path;

use temper_freeze::lora::{PeftAdapter, PeftConfig};
use temper_models::{HeadRequest, HeadTask, ModelConfig, Pooling};

use crate::TrainError;

/// The one that a config.json next to the adapter names, or that of the class it was trained on, or one for its
/// task type, or the model's own.
pub(super) fn head_request(
    config: &ModelConfig,
    folder: &Path,
    adapter: &PeftAdapter,
) -> Result<HeadRequest, TrainError> {
    if folder.join("config.json").is_file() {
        let beside = ModelConfig::read(folder)?;
        return Ok(match beside.head() {
            Some(head) => new(head.kind.task(), beside.labels()?, beside.pooling()),
            None => HeadRequest::None,
        });
    }
    let Some(task) = task(config, &adapter.config) else { return Ok(HeadRequest::FromConfig) };
    let Some(task) = task else { return Ok(HeadRequest::None) };
    if config.head().is_some_and(|head| head.kind.task() == task) {
        return Ok(HeadRequest::FromConfig);
    }
    Ok(new(task, labels(config, task, adapter)?, Pooling::Pooler))
}

fn new(task: HeadTask, labels: Vec<String>, pooling: Pooling) -> HeadRequest {
    HeadRequest::New {
        task,
        labels,
        pooling,
        keep: false,
        seed: 0,
        outputs: temper_models::OutputMeaning::SingleLabel,
    }
}

/// The task that the adapter's configuration names: `None` where it names none, `Some(None)` for a model without
/// a head.
fn task(config: &ModelConfig, adapter: &PeftConfig) -> Option<Option<HeadTask>> {
    let own = config.head().map(|head| head.kind.task());
    match adapter.task_type.as_deref() {
        Some("SEQ_CLS") => Some(Some(HeadTask::SequenceClassification)),
        Some("TOKEN_CLS") => Some(Some(HeadTask::TokenClassification)),
        Some("QUESTION_ANS") => Some(Some(HeadTask::QuestionAnswering)),
        Some("CAUSAL_LM") => Some(Some(HeadTask::CausalLm)),
        Some("SEQ_2_SEQ_LM") => Some(Some(HeadTask::Seq2SeqLm)),
        Some("FEATURE_EXTRACTION") => Some(None),
        _ => {
            let class = adapter.architecture.as_deref()?;
            let heads = &config.facts().heads;
            let named = heads.iter().find(|head| head.architecture == class).map(|head| head.kind.task());
            // Without a head the class is called such as BertModel.
            if named.is_some() {
                Some(named)
            } else {
                (class.ends_with("Model") && own.is_some()).then_some(None)
            }
        }
    }
}

/// Names of the labels: the model's, if there are as many as the adapter's head has.
fn labels(config: &ModelConfig, task: HeadTask, adapter: &PeftAdapter) -> Result<Vec<String>, TrainError> {
    let head = config.facts().heads.iter().find(|head| head.kind.task() == task);
    let output = head.and_then(|head| head.rows.iter().find_map(|row| row.place_of("head.output.weight")));
    let count = match output.and_then(|place| adapter.shape_of(&place.name)).as_deref() {
        // A matrix without values may claim any number of labels.
        Some(&[labels, hidden]) if hidden > 0 => labels,
        _ => 0,
    };
    let named = config.labels()?;
    Ok(match named.len() == count {
        true => named,
        false => (0..count).map(|label| format!("LABEL_{label}")).collect(),
    })
}
