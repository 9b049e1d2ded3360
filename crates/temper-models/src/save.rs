//! Writing a model's folder.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use crate::parameters::is_adapter;
use crate::weights::{Layout, Outputs, description, scale_name, write_tensors};
use crate::{BackboneModule, Model, ModelConfig, ModelError};

/// The path of the one embedding that is quantised.
const TOKEN_EMBEDDING: &str = "token_embedding.weight";

impl<B: BackboneModule> Model<B> {
    /// Writes `config.json` and `model.safetensors` such that transformers loads the folder as it is;
    /// adapters are left out.
    ///
    /// # Errors
    /// [`ModelError::Write`] when a file cannot be written; files are complete or absent.
    pub fn save(&self, config: &ModelConfig<B>, dir: &Path) -> Result<(), ModelError> {
        let stored = self.stored(config, |path| !is_adapter(path))?;
        write_tensors(&stored, &dir.join("model.safetensors"))?;
        write_config(&config.saved(), dir)
    }

    /// As [`Self::save`], with the weights of linear maps and the token embedding as integers of 8 bits with a scale for
    /// each output, as the library compressed-tensors stores them. The maps of classifiers stay f32, as do norms, biases
    /// and embeddings of positions.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_quantized(&self, config: &ModelConfig<B>, dir: &Path) -> Result<(), ModelError> {
        let (quantized, others) = self.quantized_paths();
        let mut stored = self.stored(config, |path| !is_adapter(path))?;
        for path in quantized {
            let Some(place) = self.stored_place(config, &path) else { continue };
            let is_by_row = path == TOKEN_EMBEDDING || place.layout == Layout::Transposed;
            let outputs = if is_by_row { Outputs::Rows } else { Outputs::Columns };
            // Fused maps are stored as one tensor, which may be quantised already; a tied map is not stored.
            let tensor = stored.get(&place.name).filter(|_| !stored.contains_key(&scale_name(&place.name)));
            if let Some([numbers, scales]) = tensor.and_then(|tensor| tensor.quantized(outputs)) {
                stored.insert(scale_name(&place.name), scales);
                stored.insert(place.name, numbers);
            }
        }
        write_tensors(&stored, &dir.join("model.safetensors"))?;
        let module = |path: &str| {
            let name = self.stored_place(config, path)?.name;
            Some(name.trim_end_matches(".weight").to_owned())
        };
        let others: Vec<String> = others.iter().filter_map(|path| module(path)).collect();
        let mut saved = config.saved();
        let embedding = module(TOKEN_EMBEDDING).unwrap_or_default();
        saved.insert("quantization_config".into(), description(&embedding, &others));
        write_config(&saved, dir)
    }

    /// Paths of the weights that are quantised, and of those of the other linear maps.
    fn quantized_paths(&self) -> (BTreeSet<String>, Vec<String>) {
        let (mut quantized, mut others) = (BTreeSet::from([TOKEN_EMBEDDING.to_owned()]), Vec::new());
        let is_vocabulary = self.head.as_ref().is_some_and(|head| head.language_model().is_some());
        self.clone().each_linear_and_head(&mut |path, _| {
            let path = format!("{path}.weight");
            if is_vocabulary || !path.starts_with("head.") {
                quantized.insert(path);
            } else {
                others.push(path);
            }
        });
        (quantized, others)
    }
}

fn write_config(config: &Map<String, Value>, dir: &Path) -> Result<(), ModelError> {
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(config).map_err(std::io::Error::other);
    text.and_then(|text| std::fs::write(&path, text + "\n"))
        .map_err(|error| ModelError::Write { path, reason: error.to_string() })
}
