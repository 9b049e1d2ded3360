//! Reading checkpoints: safetensors, sharded or not, and PyTorch's pickles.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore};
use burn::tensor::{DType, TensorData};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pickle::refuse_calls;
use super::quantized::{dequantized, scale_name};
use crate::ModelError;
use crate::files::{read_text, refuse_pointer};

/// The longest header of a safetensors file.
const MOST_HEADER: u64 = 100_000_000;

/// The names under which transformers looks for weights, in its order.
const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Name, shape and type of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name in the file.
    pub name: String,
    /// Its shape as stored.
    pub shape: Vec<usize>,
    /// Its element type as stored, such as `F16`.
    pub dtype: String,
    /// Whether that is a float, as weights are.
    pub is_float: bool,
}

/// The stored tensors of a model; data is read only when asked for.
pub struct Checkpoint {
    /// The file, or the index of the shards.
    pub path: PathBuf,
    tensors: BTreeMap<String, StoredTensor>,
    /// Of all files together: no tensor has more.
    bytes: u64,
}

impl Checkpoint {
    /// Opens the weights of a model folder.
    ///
    /// # Errors
    /// [`ModelError::NoWeights`] when the folder holds none, [`ModelError::BrokenFile`] when a
    /// file cannot be read, [`ModelError::ForbiddenCall`] when a pickle names what weights do not
    /// need, [`ModelError::MissingShard`] when an index names a file that is not there.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let path = NAMES.iter().map(|name| dir.join(name)).find(|path| path.is_file());
        let Some(path) = path else { return Err(no_weights(dir)) };
        let files = if path.extension().is_some_and(|extension| extension == "json") {
            shards(&path)?
        } else {
            vec![path.clone()]
        };
        let (mut tensors, mut bytes) = (BTreeMap::new(), 0);
        for file in files {
            tensors.extend(read(&file)?);
            bytes += length(&file);
        }
        Ok(Self { path, tensors, bytes })
    }

    /// Opens one file of tensors: safetensors, or a pickle under any other extension.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Ok(Self { path: path.into(), tensors: read(path)?, bytes: length(path) })
    }

    /// Every stored tensor, sorted by name. Integers with scales count as one tensor of floats.
    pub fn entries(&self) -> Vec<TensorEntry> {
        let is_scale = |name: &str| {
            name.strip_suffix("_scale")
                .is_some_and(|of| self.tensors.contains_key(of) && self.is_quantized(of))
        };
        let entries = self.tensors.iter().filter(|(name, _)| !is_scale(name));
        entries
            .map(|(name, tensor)| TensorEntry {
                is_float: is_float(tensor.dtype) || self.is_quantized(name),
                ..entry(name, tensor)
            })
            .collect()
    }

    /// Whether a tensor is stored as integers of 8 bits with scales.
    pub fn is_quantized(&self, name: &str) -> bool {
        let is_int8 = self.tensors.get(name).is_some_and(|tensor| tensor.dtype == DType::I8);
        is_int8 && self.tensors.get(&scale_name(name)).is_some_and(|scales| is_float(scales.dtype))
    }

    /// The values of a tensor as f32, whatever the stored type.
    ///
    /// # Errors
    /// [`ModelError::BrokenFile`] when the name is unknown or the data cannot be read.
    pub fn values(&self, name: &str) -> Result<TensorData, ModelError> {
        let broken = |reason: String| ModelError::BrokenFile { path: self.path.clone(), reason };
        let tensor = self.tensors.get(name).ok_or_else(|| broken(format!("there is no tensor {name}")))?;
        // A pickle may repeat one number as often as it likes.
        if tensor.byte_len() as u64 > self.bytes {
            return Err(broken(format!("{name} has {:?} numbers, more than the file", tensor.shape)));
        }
        if self.is_quantized(name) {
            return self.dequantized(name, tensor);
        }
        unpanicked(&self.path, || {
            let bytes = tensor.to_bytes().map_err(|error| broken(format!("{name}: {error}")))?;
            let data = TensorData::from_bytes(bytes, tensor.shape.clone(), tensor.dtype);
            Ok(data.convert_dtype(DType::F32))
        })
    }

    fn dequantized(&self, name: &str, tensor: &StoredTensor) -> Result<TensorData, ModelError> {
        let broken = |reason: String| ModelError::BrokenFile { path: self.path.clone(), reason };
        let scales = self.values(&scale_name(name))?;
        let of_scales = scales.shape().as_slice().to_vec();
        let scales: Vec<f32> = scales.try_into_vec().map_err(|error| broken(format!("{name}: {error:?}")))?;
        let shape = tensor.shape.as_slice().to_vec();
        unpanicked(&self.path, || {
            let bytes = tensor.to_bytes().map_err(|error| broken(format!("{name}: {error}")))?;
            let values = dequantized(bytemuck::cast_slice(&bytes), &shape, &scales, &of_scales);
            let values = values.ok_or_else(|| {
                broken(format!(
                    "{name} has the shape {shape:?} and its scales {of_scales:?}; \
                     scales of the rows or columns of a matrix are read"
                ))
            })?;
            Ok(TensorData::new(values, shape.clone()))
        })
    }
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F64 | DType::F32 | DType::F16 | DType::BF16)
}

/// Reads with a library of Burn's; a panic in it means that the file is damaged.
fn unpanicked<R>(path: &Path, read: impl FnOnce() -> Result<R, ModelError>) -> Result<R, ModelError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let reason = "its reader failed on what it says of itself".into();
        Err(ModelError::BrokenFile { path: path.into(), reason })
    })
}

/// Why there are no weights: no file at all, or parts of some that nothing joins.
fn no_weights(dir: &Path) -> ModelError {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| file.file_name().into_string().ok()).filter(|name| is_shard(name)).collect();
    names.sort();
    match names.into_iter().next() {
        Some(shard) => {
            let index = if shard.ends_with(".safetensors") { NAMES[1] } else { NAMES[3] };
            ModelError::NoIndex { dir: dir.into(), shard, index }
        }
        None => ModelError::NoWeights { dir: dir.into(), looked_for: NAMES.join(", ") },
    }
}

/// Whether a file is a part of sharded weights, such as `model-00001-of-00002.safetensors`.
fn is_shard(name: &str) -> bool {
    let stem = ["model-", "pytorch_model-"].iter().find_map(|start| name.strip_prefix(start));
    let stem = stem.and_then(|rest| rest.strip_suffix(".safetensors").or(rest.strip_suffix(".bin")));
    stem.and_then(|numbers| numbers.split_once("-of-")).is_some_and(|(part, of)| {
        [part, of].iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

fn entry(name: &str, tensor: &StoredTensor) -> TensorEntry {
    TensorEntry {
        name: name.into(),
        shape: tensor.shape.as_slice().to_vec(),
        dtype: format!("{:?}", tensor.dtype),
        is_float: is_float(tensor.dtype),
    }
}

fn length(file: &Path) -> u64 {
    file.metadata().map_or(0, |data| data.len())
}

fn read(file: &Path) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let broken = |reason: String| ModelError::BrokenFile { path: file.into(), reason };
    refuse_pointer(file)?;
    if file.extension().is_some_and(|extension| extension == "safetensors") {
        refuse_packed(file)?;
        let mut store = SafetensorsStore::from_file(file);
        return unpanicked(file, || {
            store.get_all_tensors().cloned().map_err(|error| broken(error.to_string()))
        });
    }
    refuse_calls(file)?;
    // Left on, it would renumber the layers of a checkpoint whose numbers have gaps.
    let mut store = PytorchStore::from_file(file).map_indices_contiguous(false);
    unpanicked(file, || store.get_all_tensors().cloned().map_err(|error| broken(error.to_string())))
}

/// Refuses types of safetensors that are no plain numbers, which Burn does not know either. What else is wrong with
/// the file, its reader says.
fn refuse_packed(file: &Path) -> Result<(), ModelError> {
    let Some(header) = header(file) else { return Ok(()) };
    for (name, tensor) in &header {
        let dtype = tensor.get("dtype").and_then(Value::as_str).unwrap_or_default();
        if ["F8", "F6", "F4"].iter().any(|packed| dtype.starts_with(packed)) {
            return Err(ModelError::Quantized {
                path: file.into(),
                tensor: name.clone(),
                dtype: dtype.into(),
                method: String::new(),
            });
        }
    }
    Ok(())
}

/// The header of a safetensors file, if it is one.
fn header(file: &Path) -> Option<Map<String, Value>> {
    let mut file = File::open(file).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    // As many bytes are there to be read, and no more than the format allows.
    if length > file.metadata().ok()?.len().min(MOST_HEADER) {
        return None;
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn shards(index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let broken = |reason: String| ModelError::BrokenFile { path: index.into(), reason };
    let parsed: Index =
        serde_json::from_str(&read_text(index)?).map_err(|error| broken(error.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let is_plain = |name: &String| Path::new(name).file_name().is_some_and(|file| file == name.as_str());
    if let Some(outside) = names.iter().find(|name| !is_plain(name)) {
        return Err(broken(format!("{outside:?} does not name a file in the same folder")));
    }
    let dir = index.parent().unwrap_or(Path::new("."));
    let missing: Vec<String> = names.iter().filter(|name| !dir.join(name).is_file()).cloned().collect();
    if !missing.is_empty() {
        return Err(ModelError::MissingShard { index: index.into(), missing: missing.join(", ") });
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}
