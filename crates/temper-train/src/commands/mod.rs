//! One file a command.

mod adapter_head;
mod compare;
mod doctor;
mod embed;
mod evaluate;
mod fetch;
mod finetune;
mod generate;
mod inspect;
mod merge;
mod models;
mod plan;
mod predict;
mod search_depth;
mod texts;
mod verify;

pub use compare::{
    BaselineRow, CompareArgs, ScoreDifference, StrategyComparison, StrategyRow, compare_strategies,
};
pub use doctor::{DoctorArgs, doctor};
pub use embed::{EmbedArgs, embed, embeddings};
pub use evaluate::{EvaluateArgs, evaluate};
pub use fetch::{FetchArgs, fetch};
pub use finetune::{FinetuneArgs, Prediction, SettingFlags, finetune};
pub use generate::{GenerateArgs, generate};
pub use inspect::{InspectArgs, inspect};
pub use merge::{MergeArgs, UnmergeArgs, merge, unmerge};
pub use models::{ModelsArgs, models};
pub use plan::{PlanArgs, plan};
pub use predict::{PredictArgs, predict};
pub use search_depth::{DepthRow, DepthSearch, SearchDepthArgs, search_depth};
pub use texts::TextOptions;
pub use verify::{
    Bounds, Comparison, Difference, FixtureOutcome, FixtureResult, Impossible, VerifyArgs, compare, verify,
    verify_fixtures,
};

use std::io::{ErrorKind, Write};

use burn::tensor::Device;
use temper_data::TextTokenizer;
use temper_models::{HeadRequest, Model, Precision};

use crate::backend::Backend;
use crate::tasks::Task;
use crate::training::TaskModel;
use crate::{LocalModel, PrecisionSetting, SourceOptions, TrainError, precision};

/// A fine-tuned model, loaded to predict.
struct Predictor<T: Task> {
    model: TaskModel<T>,
    task: T,
    tokenizer: TextTokenizer,
    max_seq_length: usize,
}

impl<T: Task> Predictor<T> {
    /// Loads a model; texts are cut to `max_seq_length`, else to the length that training used.
    fn load(
        name: &str,
        sources: &SourceOptions,
        (device, precision): (Device, Precision),
        max_seq_length: Option<usize>,
    ) -> Result<Self, TrainError> {
        let local = LocalModel::find(&sources.hub(true), name)?;
        if let Some(notice) = local.resolved.notice() {
            eprintln!("{notice}");
        }
        let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
        let task = T::of_model(&loaded.model, &loaded.config)?;
        let bounds = loaded.config.bounds();
        let max_seq_length = self::max_seq_length(max_seq_length, &local, bounds.max_positions)?;
        let tokenizer = local.tokenizer(bounds.vocab_size)?;
        // Nothing is trained, so nothing is clipped.
        let model = TaskModel::new(loaded.model.with_precision(precision), task.clone());
        Ok(Self { model, task, tokenizer, max_seq_length })
    }
}

/// The length asked for, else the one that the tokenizer's folder records, within the model's positions.
fn max_seq_length(asked: Option<usize>, local: &LocalModel, limit: usize) -> Result<usize, TrainError> {
    match asked {
        Some(asked) if asked > limit => Err(too_long(asked, limit)),
        Some(asked) => Ok(asked),
        None => Ok(limit.min(local.recorded_max_length().unwrap_or(limit))),
    }
}

/// Writes to stdout. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), TrainError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(TrainError::file("stdout", error)),
        _ => Ok(()),
    }
}

fn too_long(asked: usize, limit: usize) -> TrainError {
    TrainError::Usage(format!(
        "--max-seq-length {asked} is beyond the model's {limit} positions; give {limit} or less"
    ))
}

fn backend(asked: Option<Backend>) -> Result<Backend, TrainError> {
    let compiled = Backend::default_compiled;
    asked.or_else(compiled).ok_or_else(|| TrainError::Usage("this binary was built without a backend".into()))
}

/// Where a command computes, and in what; says so where that is not plain f32.
fn compute_on(
    backend: Option<Backend>,
    precision: PrecisionSetting,
) -> Result<(Device, Precision), TrainError> {
    let backend = self::backend(backend)?;
    let precision = precision.resolve(backend)?;
    let device = backend.device()?;
    precision::check(precision, backend, &device)?;
    if let Some(notice) = precision::notice(precision, backend) {
        eprintln!("{notice}");
    }
    Ok((device, precision))
}
