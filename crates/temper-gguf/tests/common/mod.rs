//! Fixtures, and folders as models to write.
#![allow(dead_code)] // Each test file uses its own part.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Map, Value as Json};
use temper_gguf::{SourceError, SourceModel, Tensors};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

pub fn json(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Compares the weights of a folder with those of a fixture.
pub fn assert_same_tensors(folder: &Path, expected: &str) {
    let (written, expected) =
        (std::fs::read(folder.join("model.safetensors")).unwrap(), std::fs::read(fixture(expected)).unwrap());
    let (written, expected) =
        (SafeTensors::deserialize(&written).unwrap(), SafeTensors::deserialize(&expected).unwrap());
    let names = |tensors: &SafeTensors<'_>| {
        let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(&written), names(&expected));
    for name in names(&expected) {
        let (found, right) = (written.tensor(&name).unwrap(), expected.tensor(&name).unwrap());
        assert_eq!((found.shape(), found.data()), (right.shape(), right.data()), "{name}");
    }
}

/// A folder in Hugging Face's layout, in memory.
pub struct Folder {
    pub config: Map<String, Json>,
    pub tokenizer: Json,
    pub tokenizer_config: Map<String, Json>,
    pub weights: Weights,
}

/// Tensors by name.
pub struct Weights(pub Vec<(String, Vec<usize>, Vec<f32>)>);

impl Tensors for Weights {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.0.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect()
    }

    fn numbers(&self, name: &str) -> Result<Vec<f32>, SourceError> {
        let tensor = self.0.iter().find(|tensor| tensor.0 == name);
        Ok(tensor.ok_or("no such tensor")?.2.clone())
    }
}

impl Folder {
    pub fn read(folder: &Path) -> Self {
        let object = |name: &str| json(&folder.join(name)).as_object().unwrap().clone();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors =
            tensors.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec(), numbers(view.data())));
        Self {
            config: object("config.json"),
            tokenizer: json(&folder.join("tokenizer.json")),
            tokenizer_config: object("tokenizer_config.json"),
            weights: Weights(tensors.collect()),
        }
    }

    pub fn model(&self) -> SourceModel<'_> {
        SourceModel {
            name: "tiny",
            config: &self.config,
            tokenizer: &self.tokenizer,
            tokenizer_config: &self.tokenizer_config,
            tensors: &self.weights,
        }
    }
}
