//! One file a command.

mod evaluate;
mod fetch;
mod finetune;
mod inspect;
mod predict;
mod verify;

pub use evaluate::{EvaluateArgs, evaluate};
pub use fetch::{FetchArgs, fetch};
pub use finetune::{FinetuneArgs, SettingFlags, finetune};
pub use inspect::{InspectArgs, inspect};
pub use predict::{PredictArgs, predict};
pub use verify::{VerifyArgs, verify};

use std::sync::Arc;

use temper_data::{EncodeSettings, TextInput, TextTokenizer, Truncation, encode_all};
use temper_models::{HeadRequest, Loaded, Model};

use crate::backend::Backend;
use crate::tasks::TextClassification;
use crate::training::Examples;
use crate::{LocalModel, SourceOptions, TrainError};

/// A fine-tuned classifier, loaded to predict.
struct Classifier {
    loaded: Loaded,
    tokenizer: TextTokenizer,
    labels: Vec<String>,
    recorded_max_length: Option<usize>,
}

impl Classifier {
    fn load(name: &str, sources: &SourceOptions, backend: Backend, quiet: bool) -> Result<Self, TrainError> {
        let local = LocalModel::find(&sources.hub(quiet), name)?;
        if let Some(notice) = local.resolved.notice() {
            eprintln!("{notice}");
        }
        let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &backend.device()?)?;
        if loaded.model.head.is_none() {
            return Err(TrainError::Usage(format!(
                "{name} has no classification head; fine-tune it first: cargo xtask finetune {name} DATASET"
            )));
        }
        let tokenizer = local.tokenizer(temper_models::Backbone::vocab_size(&loaded.model.backbone))?;
        let labels = loaded.config.labels()?;
        Ok(Self { loaded, tokenizer, labels, recorded_max_length: local.recorded_max_length() })
    }

    fn task(&self) -> TextClassification {
        TextClassification { labels: self.labels.clone() }
    }

    /// Encodes texts whose targets are not known or not needed.
    fn encode(
        &self,
        texts: &[TextInput<'_>],
        max_seq_length: usize,
        targets: Vec<usize>,
    ) -> Result<Examples<TextClassification>, TrainError> {
        let settings = EncodeSettings { max_length: max_seq_length, truncation: Truncation::Head };
        let encoded = Arc::new(encode_all(&self.tokenizer, texts, &settings, None)?);
        Ok(Examples { encoded, targets: Arc::new(targets), pad_id: self.tokenizer.pad_id() })
    }

    /// The length that training used, as the tokenizer's folder records it, or the model's limit.
    fn max_seq_length(&self, asked: Option<usize>) -> Result<usize, TrainError> {
        let limit = temper_models::Backbone::max_positions(&self.loaded.model.backbone);
        match asked {
            Some(asked) if asked > limit => Err(too_long(asked, limit)),
            Some(asked) => Ok(asked),
            None => Ok(limit.min(self.recorded_max_length.unwrap_or(limit))),
        }
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
