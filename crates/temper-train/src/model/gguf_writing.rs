//! A model as a file for llama.cpp.

use std::path::Path;

use serde_json::{Map, Value};
use temper_gguf::{Converted, Packing, SourceError, SourceModel, Tensors, write};
use temper_models::ModelConfig;
use temper_models::weights::Checkpoint;

use super::LocalModel;
use crate::TrainError;

/// Writes a model as a file for llama.cpp, with its tokenizer.json and tokenizer_config.json. Its weights are read one
/// tensor at a time.
///
/// # Errors
/// [`TrainError::Model`] for weights that cannot be read; [`TrainError::Gguf`].
pub(crate) fn write_file(
    local: &LocalModel,
    config: &ModelConfig,
    (definition, tokenizer_config): (&str, Map<String, Value>),
    packing: Packing,
    out: &Path,
) -> Result<Converted, TrainError> {
    let definition =
        serde_json::from_str(definition).map_err(|error| TrainError::content(&local.dir, error))?;
    let id = local.resolved.id.trim_end_matches('/');
    let name = id.rsplit('/').next().unwrap_or(id);
    let model = SourceModel {
        name: name.strip_suffix(".gguf").unwrap_or(name),
        config: &config.saved(),
        tokenizer: &definition,
        tokenizer_config: &tokenizer_config,
        tensors: &GgufWeights(Checkpoint::open(&local.dir)?),
    };
    Ok(write(model, packing, out)?)
}

/// The weights of a folder.
struct GgufWeights(Checkpoint);

impl Tensors for GgufWeights {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.0.entries().into_iter().map(|entry| (entry.name, entry.shape)).collect()
    }

    fn numbers(&self, name: &str) -> Result<Vec<f32>, SourceError> {
        let data = self.0.values(name)?;
        data.try_into_vec::<f32>().map_err(|error| format!("{error:?}").into())
    }
}
