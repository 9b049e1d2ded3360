//! One file per command.

mod adapter_head;
mod cache;
mod compare;
mod convert;
mod datasets;
mod differences;
mod doctor;
mod embed;
mod evaluate;
mod fetch;
mod figure;
mod finetune;
mod generate;
mod inspect;
mod manual;
mod merge;
mod models;
mod plan;
mod predict;
mod predicted;
mod quantize;
mod replay;
mod runs;
mod scaling;
mod search_depth;
mod text_groups;
mod texts;
mod verify;

pub use cache::{CacheArgs, cache};
pub use compare::{
    BaselineRow, CompareArgs, ScoreDifference, Shard, StrategyComparison, StrategyRow, compare_strategies,
};
pub use convert::{ConvertArgs, convert};
pub use datasets::{DatasetsArgs, datasets};
pub use doctor::{DoctorArgs, doctor};
pub use embed::{EmbedArgs, Pooled, embed, embeddings};
pub use evaluate::{EvaluateArgs, evaluate};
pub use fetch::{FetchArgs, fetch};
pub use figure::{FigureArgs, figure};
pub use finetune::{FinetuneArgs, finetune};
pub use generate::{GenerateArgs, generate};
pub use inspect::{InspectArgs, inspect};
pub use manual::{ManualArgs, manual};
pub use merge::{MergeArgs, UnmergeArgs, merge, unmerge};
pub use models::{ModelsArgs, models};
pub use plan::{PlanArgs, plan};
pub use predict::{PredictArgs, predict};
pub use predicted::PredictFormat;
pub use quantize::{QuantizeArgs, quantize};
pub use replay::{ReplayArgs, replay};
pub use runs::{RunsArgs, runs};
pub use scaling::{OnRanks, ScalingOptions};
pub use search_depth::{DepthRow, DepthSearch, SearchDepthArgs, search_depth};
pub use texts::TextOptions;
pub use verify::{
    Comparison, Difference, FixtureOutcome, FixtureResult, Impossible, VerifyArgs, VerifyBounds, compare,
    verify, verify_fixtures,
};

use std::sync::Arc;

use burn::tensor::Device;
use temper_data::{EncodeSettings, TextTokenizer};
use temper_models::{HeadRequest, Model, ModelConfig, Precision};

use crate::device::backend::Backend;
use crate::tasks::{self, DecisionOptions, Encoder, Task};
use crate::terminal::say;
use crate::training::TaskModel;
use crate::{
    CutOptions, LocalModel, ModelEncoding, PrecisionSetting, SourceOptions, TrainError, device::precision,
    model::padding,
};

/// A fine-tuned model, loaded to predict.
struct Predictor {
    model: TaskModel,
    task: Arc<dyn Task>,
    tokenizer: TextTokenizer,
    config: ModelConfig,
    encoding: ModelEncoding,
    /// How texts are cut.
    cut: EncodeSettings,
    /// Tokens that windows of a text share, where it is spread over them.
    stride: usize,
}

impl Predictor {
    /// Loads a model; texts are cut and predictions made as the options say, else as in training. Without `quiet`, what is
    /// unusual is said.
    fn load(
        name: &str,
        sources: &SourceOptions,
        (device, precision): (Device, Precision),
        (cut, decide): (&CutOptions, &DecisionOptions),
        quiet: bool,
    ) -> Result<Self, TrainError> {
        let local = LocalModel::find(&sources.hub(true), name)?;
        if let Some(notice) = local.resolved.notice() {
            say(&notice);
        }
        let encoding = local.encoding()?;
        let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &device)?;
        let tokenizer = local.tokenizer(loaded.config.bounds().vocab_size)?;
        let mut record = decide.over(&encoding.task_record());
        tasks::add_mask_token(&mut record, &tokenizer);
        let task = tasks::of_model(&loaded.model, &loaded.config, &record)?;
        decide.check(task.as_ref())?;
        let bounds = loaded.config.bounds();
        let asked = cut;
        let (cut, mut notices) = encoding.cut(asked, bounds.max_positions)?;
        let stride = asked.stride(&encoding, cut.max_length);
        padding::check_end(&loaded.model, &tokenizer)?;
        notices.extend(task.notice());
        if !quiet {
            notices.iter().for_each(|notice| say(&format!("note: {notice}")));
        }
        // Nothing is trained, so nothing is clipped.
        let model = TaskModel::new(loaded.model.with_precision(precision).packed(), task.clone());
        Ok(Self { model, task, tokenizer, config: loaded.config, encoding, cut, stride })
    }

    /// What makes token ids of texts.
    fn encoder(&self) -> Encoder<'_> {
        let EncodeSettings { max_length, truncation } = self.cut;
        Encoder { tokenizer: &self.tokenizer, max_length, truncation, stride: self.stride }
    }
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
        say(&notice);
    }
    Ok((device, precision))
}
