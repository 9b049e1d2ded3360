//! Reading the fixtures that `xtask fixtures` writes with transformers.
#![allow(dead_code)] // Each test file uses its own part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use temper_models::TokenBatch;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Shape and bytes by name.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

pub fn tensors(file: &Path) -> Tensors {
    let bytes = std::fs::read(file).expect("a file");
    let parsed = SafeTensors::deserialize(&bytes).expect("safetensors");
    let owned = |view: TensorView<'_>| (view.shape().to_vec(), view.data().to_vec());
    parsed.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect()
}

pub fn write(tensors: &Tensors, file: &Path) {
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a view"))
    });
    serialize_to_file(views, None, file).expect("written");
}

/// A copy of a model folder with changed weights and configuration.
pub fn changed(model: &Path, change: impl FnOnce(&mut Tensors, &mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut weights = tensors(&model.join("model.safetensors"));
    let text = std::fs::read_to_string(model.join("config.json")).expect("a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut weights, &mut config);
    write(&weights, &dir.path().join("model.safetensors"));
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    dir
}

/// The tensors of a reference file.
pub struct Reference {
    bytes: Vec<u8>,
}

impl Reference {
    pub fn read(name: &str) -> Self {
        let path = fixture(name).join("reference.safetensors");
        Self { bytes: std::fs::read(path).expect("the fixture is committed") }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a safetensors file")
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let tensors = self.tensors();
        let names = tensors.names().into_iter().filter_map(|name| name.strip_prefix(prefix));
        names.map(str::to_owned).collect()
    }

    pub fn data(&self, name: &str) -> TensorData {
        let tensors = self.tensors();
        let tensor = tensors.tensor(name).expect(name);
        let dtype = match tensor.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::I64 => DType::I64,
            other => panic!("{name} is {other:?}"),
        };
        TensorData::from_bytes_vec(tensor.data().to_vec(), tensor.shape().to_vec(), dtype)
    }

    pub fn values(&self, name: &str) -> Vec<f64> {
        self.data(name).iter::<f64>().collect()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.values(name).into_iter().map(|id| id as u32).collect()
    }

    pub fn batch(&self, device: &burn::tensor::Device) -> TokenBatch {
        let mask = self.data("attention_mask");
        let seq = mask.shape().as_slice()[1];
        let lengths: Vec<u32> = self.ids("attention_mask").chunks(seq).map(|row| row.iter().sum()).collect();
        TokenBatch::from_padded(&self.ids("input_ids"), &self.ids("token_type_ids"), &lengths, seq, device)
    }

    /// The values of the positions that are not padding, row after row: what a packed batch computes.
    pub fn packed(&self, name: &str) -> Vec<f64> {
        let (data, mask) = (self.data(name), self.ids("attention_mask"));
        let [_, _, width] = data.shape().dims::<3>();
        let values: Vec<f64> = data.iter::<f64>().collect();
        let rows = values.chunks(width).zip(mask);
        rows.filter(|(_, mask)| *mask == 1).flat_map(|(row, _)| row.to_vec()).collect()
    }

    pub fn labels(&self) -> Vec<i32> {
        self.values("labels").into_iter().map(|label| label as i32).collect()
    }
}

/// Largest absolute difference; NaN counts as infinite.
pub fn largest(left: impl IntoIterator<Item = f64>, right: impl IntoIterator<Item = f64>) -> f64 {
    let (left, right): (Vec<f64>, Vec<f64>) = (left.into_iter().collect(), right.into_iter().collect());
    assert_eq!(left.len(), right.len());
    left.iter().zip(&right).fold(0.0, |most, (left, right)| {
        let difference = (left - right).abs();
        if difference.is_nan() { f64::INFINITY } else { most.max(difference) }
    })
}
