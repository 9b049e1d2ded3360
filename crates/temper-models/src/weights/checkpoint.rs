//! Reading checkpoints: safetensors, sharded or not, and PyTorch's pickles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::store::burn_pack::Tensor as StoredTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore};
use burn::tensor::{DType, TensorData};
use serde::Deserialize;

use super::pickle::refuse_calls;
use crate::ModelError;

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
}

/// The stored tensors of a model; data is read only when asked for.
pub struct Checkpoint {
    /// The file, or the index of the shards.
    pub path: PathBuf,
    tensors: BTreeMap<String, StoredTensor>,
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
        let Some(path) = path else {
            return Err(ModelError::NoWeights { dir: dir.into(), looked_for: NAMES.join(", ") });
        };
        let files = if path.extension().is_some_and(|extension| extension == "json") {
            shards(&path)?
        } else {
            vec![path.clone()]
        };
        let mut tensors = BTreeMap::new();
        for file in files {
            tensors.extend(read(&file)?);
        }
        Ok(Self { path, tensors })
    }

    /// Opens one file of tensors: safetensors, or a pickle under any other extension.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Ok(Self { path: path.into(), tensors: read(path)? })
    }

    /// Every stored tensor, sorted by name.
    pub fn entries(&self) -> Vec<TensorEntry> {
        self.tensors.iter().map(|(name, tensor)| entry(name, tensor)).collect()
    }

    /// The values of a tensor as f32, whatever the stored type.
    ///
    /// # Errors
    /// [`ModelError::BrokenFile`] when the name is unknown or the data cannot be read.
    pub fn values(&self, name: &str) -> Result<TensorData, ModelError> {
        let broken = |reason: String| ModelError::BrokenFile { path: self.path.clone(), reason };
        let tensor = self.tensors.get(name).ok_or_else(|| broken(format!("there is no tensor {name}")))?;
        let bytes = tensor.to_bytes().map_err(|error| broken(format!("{name}: {error}")))?;
        let data = TensorData::from_bytes(bytes, tensor.shape.clone(), tensor.dtype);
        Ok(data.convert_dtype(DType::F32))
    }
}

fn entry(name: &str, tensor: &StoredTensor) -> TensorEntry {
    TensorEntry {
        name: name.into(),
        shape: tensor.shape.as_slice().to_vec(),
        dtype: format!("{:?}", tensor.dtype),
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, StoredTensor>, ModelError> {
    let broken = |reason: String| ModelError::BrokenFile { path: file.into(), reason };
    if file.extension().is_some_and(|extension| extension == "safetensors") {
        let mut store = SafetensorsStore::from_file(file);
        return store.get_all_tensors().cloned().map_err(|error| broken(error.to_string()));
    }
    refuse_calls(file)?;
    // Left on, it would renumber the layers of a checkpoint whose numbers have gaps.
    let mut store = PytorchStore::from_file(file).map_indices_contiguous(false);
    store.get_all_tensors().cloned().map_err(|error| broken(error.to_string()))
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn shards(index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let broken = |reason: String| ModelError::BrokenFile { path: index.into(), reason };
    let text = std::fs::read_to_string(index).map_err(|error| broken(error.to_string()))?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let dir = index.parent().unwrap_or(Path::new("."));
    let missing: Vec<String> = names.iter().filter(|name| !dir.join(name).is_file()).cloned().collect();
    if !missing.is_empty() {
        return Err(ModelError::MissingShard { index: index.into(), missing: missing.join(", ") });
    }
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}
