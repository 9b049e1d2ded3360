//! A file as a folder in Hugging Face's layout.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, View, serialize_to_file};
use serde_json::{Map, Value as Json, json};
use temper_files::{FileError, publish, write};

use crate::architecture::Architecture;
use crate::converted::Converted;
use crate::error::GgufError;
use crate::file::{GgufFile, OTHER_FILE, TensorInfo};
use crate::metadata::{Metadata, Value};
use crate::names::{Place, is_tied};
use crate::order::Order;
use crate::tokenizer::{TokenizerFiles, tokenizer};

/// What a file holds, once all of it is understood.
pub(crate) struct Understood<'a> {
    pub architecture: Architecture,
    pub tokenizer: TokenizerFiles,
    /// Its tensors, with what is known of each.
    pub tensors: Vec<(Place, &'a TensorInfo)>,
}

impl<'a> Understood<'a> {
    /// Reads all but the numbers.
    ///
    /// # Errors
    /// [`GgufError::Unsupported`], [`GgufError::Damaged`].
    pub fn of(file: &'a GgufFile) -> Result<Self, GgufError> {
        let path = file.path();
        let unsupported =
            |what: String| GgufError::Unsupported { path: path.to_path_buf(), what, remedy: OTHER_FILE };
        let damaged = |reason: String| GgufError::Damaged { path: path.to_path_buf(), reason };
        let names = file.tensors.iter().map(|tensor| tensor.name.as_str());
        // The architecture before the tokenizer: it is what a file of another kind differs by first.
        Architecture::check_name(&file.metadata).map_err(&unsupported)?;
        let tokenizer = tokenizer(&file.metadata).map_err(&unsupported)?;
        let architecture = Architecture::of_metadata(&file.metadata, tokenizer.count, is_tied(names));
        let architecture = architecture.map_err(&unsupported)?;
        let places = architecture.places(file.tensors.len()).map_err(damaged)?;
        let mut by_name: HashMap<&str, &TensorInfo> =
            file.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut tensors = Vec::new();
        for place in places {
            let tensor = by_name.remove(place.ggml.as_str());
            let tensor = tensor.ok_or_else(|| damaged(format!("the tensor {} is missing", place.ggml)))?;
            if tensor.shape != place.shape {
                let (name, found, expected) = (&tensor.name, &tensor.shape, &place.shape);
                return Err(damaged(format!("the tensor {name} has the shape {found:?}, not {expected:?}")));
            }
            tensors.push((place, tensor));
        }
        match by_name.into_keys().min() {
            Some(other) => Err(unsupported(format!("it has the tensor {other}"))),
            None => Ok(Self { architecture, tokenizer, tensors }),
        }
    }

    /// config.json.
    pub fn config(&self, metadata: &Metadata) -> Map<String, Json> {
        let mut config = self.architecture.config();
        for (name, key) in [
            ("bos_token_id", "bos_token_id"),
            ("eos_token_id", "eos_token_id"),
            ("pad_token_id", "padding_token_id"),
        ] {
            let id = metadata.get(&format!("tokenizer.ggml.{key}")).and_then(Value::as_u64);
            config.insert(name.into(), json!(id));
        }
        config
    }
}

/// Writes a model as a folder: config.json, model.safetensors in f32, tokenizer.json, tokenizer_config.json. The folder is
/// complete or absent.
///
/// # Errors
/// [`GgufError`]; nothing is written where the file holds anything that is not understood.
pub fn convert(file: &GgufFile, folder: &Path) -> Result<Converted, GgufError> {
    let understood = Understood::of(file)?;
    let config = understood.config(&file.metadata);
    let Understood { tokenizer, tensors, .. } = understood;
    let tensors = tensors.into_iter().map(|(place, tensor)| {
        let shape = place.order.stored_shape(&tensor.shape);
        (place.stored, Unpacked { file, tensor, shape, order: place.order })
    });
    publish(folder, |dir| -> Result<(), GgufError> {
        let pretty = |value: &Map<String, Json>| format!("{:#}\n", Json::Object(value.clone()));
        write(&dir.join("config.json"), pretty(&config).as_bytes())?;
        write(&dir.join("tokenizer.json"), tokenizer.definition.to_string().as_bytes())?;
        write(&dir.join("tokenizer_config.json"), pretty(&tokenizer.config).as_bytes())?;
        let weights = dir.join("model.safetensors");
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        serialize_to_file(tensors, Some(metadata), &weights).map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            GgufError::File(FileError::io(&weights, source))
        })
    })?;
    Ok(Converted::of(file.tensors.iter().map(|tensor| (tensor.kind, &tensor.shape[..]))))
}

/// A tensor as it is written; its numbers are unpacked when they are.
struct Unpacked<'a> {
    file: &'a GgufFile,
    tensor: &'a TensorInfo,
    shape: Vec<usize>,
    order: Order,
}

impl View for Unpacked<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let numbers = self.order.stored(self.file.numbers(self.tensor), &self.tensor.shape);
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}
