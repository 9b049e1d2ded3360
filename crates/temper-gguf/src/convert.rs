//! A file as a folder in Hugging Face's layout.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use safetensors::tensor::{Dtype, View, serialize_to_file};
use serde_json::{Map, Value as Json};
use temper_files::{FileError, publish, write};

use crate::blocks::BlockType;
use crate::error::GgufError;
use crate::file::{GgufFile, OTHER_FILE, TensorInfo};
use crate::llama::{Llama, Stored, in_halves};
use crate::metadata::Value;
use crate::tokenizer::{TokenizerFiles, tokenizer};

/// What was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// How its numbers were packed, in the order of their names in ggml; f32 throughout is nothing lost.
    pub packed: Vec<BlockType>,
    /// Numbers of all tensors.
    pub parameters: usize,
}

impl Converted {
    /// The packings in words.
    pub fn in_words(&self) -> String {
        self.packed.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    }
}

/// Writes a model as a folder: config.json, model.safetensors in f32, tokenizer.json, tokenizer_config.json. The folder is
/// complete or absent.
///
/// # Errors
/// [`GgufError`]; nothing is written where the file holds anything that is not understood.
pub fn convert(file: &GgufFile, folder: &Path) -> Result<Converted, GgufError> {
    let path = file.path();
    let unsupported =
        |what: String| GgufError::Unsupported { path: path.to_path_buf(), what, remedy: OTHER_FILE };
    let architecture = file.metadata.get("general.architecture").and_then(Value::as_text).unwrap_or_default();
    if architecture != "llama" {
        return Err(unsupported(format!("its architecture is `{architecture}`, and `llama` is read")));
    }
    let TokenizerFiles { definition, config: tokenizer_config, count } =
        tokenizer(&file.metadata).map_err(&unsupported)?;
    let names: HashSet<&str> = file.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let llama = Llama::of(&file.metadata, count, !names.contains("output.weight")).map_err(&unsupported)?;
    let config = llama.config(&file.metadata).map_err(&unsupported)?;
    if let Some(missing) = llama.needed().iter().find(|name| !names.contains(name.as_str())) {
        let reason = format!("the tensor {missing} is missing");
        return Err(GgufError::Damaged { path: path.to_path_buf(), reason });
    }
    let mut tensors = Vec::new();
    for tensor in &file.tensors {
        let stored = llama.stored(&tensor.name);
        let stored = stored.ok_or_else(|| unsupported(format!("it has the tensor {}", tensor.name)))?;
        check_heads(path, tensor, &stored)?;
        tensors.push((stored.name.clone(), Unpacked { file, tensor, heads: stored.heads }));
    }
    publish(folder, |dir| -> Result<(), GgufError> {
        let pretty = |value: &Map<String, Json>| format!("{:#}\n", Json::Object(value.clone()));
        write(&dir.join("config.json"), pretty(&config).as_bytes())?;
        write(&dir.join("tokenizer.json"), definition.to_string().as_bytes())?;
        write(&dir.join("tokenizer_config.json"), pretty(&tokenizer_config).as_bytes())?;
        let weights = dir.join("model.safetensors");
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        serialize_to_file(tensors, Some(metadata), &weights).map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            GgufError::File(FileError::io(&weights, source))
        })
    })?;
    let packed: BTreeSet<BlockType> = file.tensors.iter().map(|tensor| tensor.kind).collect();
    let parameters = file.tensors.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
    Ok(Converted { packed: packed.into_iter().collect(), parameters })
}

/// Refuses rows that are not those of whole heads.
fn check_heads(path: &Path, tensor: &TensorInfo, stored: &Stored) -> Result<(), GgufError> {
    let Some(heads) = stored.heads else { return Ok(()) };
    if tensor.shape.len() == 2 && tensor.shape[0].is_multiple_of(2 * heads) {
        return Ok(());
    }
    let reason =
        format!("the shape {:?} of the tensor {} is not that of {heads} heads", tensor.shape, tensor.name);
    Err(GgufError::Damaged { path: path.to_path_buf(), reason })
}

/// A tensor as it is written; its numbers are unpacked when they are.
struct Unpacked<'a> {
    file: &'a GgufFile,
    tensor: &'a TensorInfo,
    heads: Option<usize>,
}

impl View for Unpacked<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let numbers = self.file.numbers(self.tensor);
        let numbers = match self.heads {
            Some(heads) => in_halves(&numbers, heads, self.tensor.shape[1]),
            None => numbers,
        };
        numbers.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn data_len(&self) -> usize {
        4 * self.tensor.shape.iter().product::<usize>()
    }
}
