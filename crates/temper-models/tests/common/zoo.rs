//! The fixtures of the zoo: a tiny model of every family and head, and what transformers computes with it.
#![allow(dead_code)] // Each test file uses its own part.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use temper_models::{HeadKind, HeadRequest, Mode, Model, ModelConfig, PathTracker, TokenBatch};

/// A folder of the zoo.
pub struct Case {
    pub name: String,
    pub dir: PathBuf,
    pub config: ModelConfig,
    pub settings: Value,
    reference: Vec<u8>,
}

/// Every case; with the variable TEMPER_ZOO those whose name begins so, to work on one family.
pub fn cases() -> Vec<Case> {
    let wanted = std::env::var("TEMPER_ZOO").unwrap_or_default();
    let known = names();
    let picked: Vec<&String> = known.iter().filter(|name| name.starts_with(&wanted)).collect();
    assert!(!picked.is_empty(), "TEMPER_ZOO={wanted}: no case begins so; there are {}", known.join(", "));
    picked.into_iter().map(|name| case(name)).collect()
}

/// The names of all cases.
pub fn names() -> Vec<String> {
    let folders = std::fs::read_dir(root()).expect("the zoo is committed");
    let names = folders.map(|entry| entry.expect("a folder").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The case of that name.
pub fn case(name: &str) -> Case {
    Case::read(root().join(name))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo")
}

impl Case {
    fn read(dir: PathBuf) -> Self {
        let read = |name: &str| std::fs::read(dir.join(name)).expect(name);
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        Self {
            config: ModelConfig::read(&dir).unwrap_or_else(|error| panic!("{name}: {error}")),
            settings: serde_json::from_slice(&read("settings.json")).expect("JSON"),
            reference: read("reference.safetensors"),
            name,
            dir,
        }
    }

    pub fn load(&self, device: &Device) -> Model {
        let loaded = Model::load(&self.dir, &HeadRequest::FromConfig, device);
        let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert!(loaded.new.is_empty() && loaded.dropped.is_empty(), "{}: {:?}", self.name, loaded.new);
        loaded.model
    }

    pub fn kind(&self) -> HeadKind {
        self.config.head().unwrap_or_else(|| panic!("{} has no head", self.name)).kind
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.reference).expect("a safetensors file")
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors().tensor(name).is_ok()
    }

    pub fn values(&self, name: &str) -> Vec<f64> {
        data(self.tensors().tensor(name).expect(name)).iter::<f64>().collect()
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        self.tensors().tensor(name).expect(name).shape().to_vec()
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.values(name).into_iter().map(|id| id as u32).collect()
    }

    fn lengths(&self) -> Vec<u32> {
        let seq = self.shape("attention_mask")[1];
        self.ids("attention_mask").chunks(seq).map(|row| row.iter().sum()).collect()
    }

    /// Lengths of what the decoder reads: those of the targets, else of the input.
    fn decoder_lengths(&self) -> Vec<u32> {
        match self.settings.get("target_lengths").and_then(Value::as_array) {
            Some(lengths) => lengths.iter().map(|length| length.as_u64().expect("a length") as u32).collect(),
            None => self.lengths(),
        }
    }

    pub fn batch(&self, device: &Device) -> TokenBatch {
        let (ids, seq) = (self.ids("input_ids"), self.shape("input_ids")[1]);
        let types = if self.has("token_type_ids") { self.ids("token_type_ids") } else { vec![0; ids.len()] };
        let batch = TokenBatch::from_padded(&ids, &types, &self.lengths(), seq, device);
        if !self.has("decoder_input_ids") {
            return batch;
        }
        let (ids, seq) = (self.ids("decoder_input_ids"), self.shape("decoder_input_ids")[1]);
        let decoder =
            TokenBatch::from_padded(&ids, &vec![0; ids.len()], &self.decoder_lengths(), seq, device);
        batch.with_decoder(decoder)
    }

    /// The values at real tokens, row after row: what a packed batch computes.
    pub fn packed(&self, name: &str) -> Vec<f64> {
        let lengths = if self.is_of_decoder(name) { self.decoder_lengths() } else { self.lengths() };
        let shape = self.shape(name);
        let (seq, width) = (shape[1], shape.get(2).copied().unwrap_or(1));
        let values = self.values(name);
        let rows = values.chunks(seq * width).zip(lengths);
        rows.flat_map(|(row, length)| row[..length as usize * width].to_vec()).collect()
    }

    /// True for what is computed a token of the decoder.
    fn is_of_decoder(&self, name: &str) -> bool {
        let of_encoder = ["input_ids", "attention_mask"].contains(&name) || name.starts_with("encoder_");
        self.has("decoder_input_ids") && !of_encoder
    }

    /// The names of the states in the order in which a backbone shows them.
    pub fn states(&self) -> Vec<String> {
        let stacks = ["hidden_states", "encoder_hidden_states", "decoder_hidden_states"];
        let names =
            stacks.iter().flat_map(|stack| (0..).map(move |layer| format!("{stack}.{layer}")).take(9));
        names.filter(|name| self.has(name)).collect()
    }

    /// The loss as transformers computes it.
    pub fn loss(&self, model: &Model, mode: Mode) -> Tensor<1> {
        let device = Device::flex();
        let batch = self.batch(&device);
        let mean = |logits: Tensor<2>, targets: Vec<i32>| {
            let count = targets.iter().filter(|&&target| target >= 0).count();
            temper_kernels::cross_entropy(logits, integers(targets)).sum() / count as f64
        };
        let integers_of = |name: &str| self.values(name).into_iter().map(|value| value as i32).collect();
        let packed = |name: &str| -> Vec<i32> { self.packed(name).into_iter().map(|id| id as i32).collect() };
        let logits = || model.logits(&batch, mode).expect("a head");
        match self.kind() {
            HeadKind::SequenceClassification(_) => mean(logits(), integers_of("labels")),
            HeadKind::TokenClassification { .. } | HeadKind::MaskedLm(_) | HeadKind::Seq2SeqLm(_) => {
                mean(logits(), packed("labels"))
            }
            HeadKind::CausalLm(_) => mean(logits(), next_tokens(&packed("labels"), &self.lengths())),
            HeadKind::Pretraining(_) => {
                let [tokens, sentences] = model.pretrain(&batch, mode).expect("a head");
                mean(tokens, packed("labels")) + mean(sentences, integers_of("next_sentence_label"))
            }
            HeadKind::QuestionAnswering { .. } => {
                let (logits, rows) = (logits(), self.lengths().len());
                let mut sum: Option<Tensor<1>> = None;
                for (column, name) in ["start_positions", "end_positions"].into_iter().enumerate() {
                    let targets: Vec<i32> = integers_of(name);
                    for (range, target) in batch.sequences.ranges().zip(targets) {
                        // [tokens, 2] -> [tokens of a row, 1] -> [1, tokens of a row]
                        let row = logits.clone().narrow(0, range.start, range.len()).narrow(1, column, 1);
                        let loss = mean(row.transpose(), vec![target]);
                        sum = Some(match sum {
                            Some(sum) => sum + loss,
                            None => loss,
                        });
                    }
                }
                sum.expect("rows") / (2 * rows) as f64
            }
        }
    }

    /// Tensors of the reference that stand for parameters (`grad.` or `after.`), by our paths and in our
    /// layout: written as a checkpoint and loaded.
    pub fn parameters(&self, prefix: &str) -> HashMap<String, Vec<f64>> {
        self.as_parameters(|name, view| {
            let values =
                self.tensors().tensor(&format!("{prefix}{name}")).map(|view| data(view).iter().collect());
            // A buffer: nothing is known of it.
            values.unwrap_or_else(|_| vec![f32::NAN; view.shape().iter().product()])
        })
    }

    /// Elements, by path, whose gradient is rounding noise: they are 1.
    pub fn noise(&self) -> HashMap<String, Vec<f64>> {
        let zero = self.settings["zero_gradient"].as_array().expect("a list");
        self.as_parameters(|name, view| {
            // An output map that equals the token embedding would be taken for tied: -0 is another 0.
            let none = if name == "lm_head.weight" { -0.0 } else { 0.0 };
            let mut values = vec![none; view.shape().iter().product()];
            if zero.iter().any(|zero| zero == name) {
                values.fill(1.0);
            }
            for range in self.settings["noisy_elements"][name].as_array().into_iter().flatten() {
                let end = |at: usize| range[at].as_u64().expect("a place") as usize;
                values[end(0)..end(1)].fill(1.0);
            }
            values
        })
    }

    fn as_parameters(&self, values: impl Fn(&str, &TensorView<'_>) -> Vec<f32>) -> HashMap<String, Vec<f64>> {
        let bytes = std::fs::read(self.dir.join("model.safetensors")).expect("a checkpoint");
        let stored = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let owned: Vec<(String, Vec<usize>, Vec<u8>)> = stored
            .tensors()
            .into_iter()
            .map(|(name, view)| {
                let bytes = values(&name, &view).into_iter().flat_map(f32::to_le_bytes).collect();
                (name, view.shape().to_vec(), bytes)
            })
            .collect();
        let views = owned.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a view"))
        });
        let dir = tempfile::tempdir().expect("a folder");
        serialize_to_file(views, None, &dir.path().join("model.safetensors")).expect("written");
        std::fs::copy(self.dir.join("config.json"), dir.path().join("config.json")).expect("copied");
        let model = Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex()).expect("loads").model;
        parameters_of(&model)
    }
}

/// For each token the one that follows it in its sequence; -100 after the last.
fn next_tokens(ids: &[i32], lengths: &[u32]) -> Vec<i32> {
    let mut rest = ids;
    let mut targets = Vec::with_capacity(ids.len());
    for &length in lengths {
        let (row, behind) = rest.split_at(length as usize);
        targets.extend(row.iter().skip(1).copied().chain([-100]));
        rest = behind;
    }
    targets
}

pub fn integers(values: Vec<i32>) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), &Device::flex())
}

fn data(view: TensorView<'_>) -> TensorData {
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        other => panic!("{other:?}"),
    };
    TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
}

pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The value of every parameter.
pub fn parameters_of<M: Module>(module: &M) -> HashMap<String, Vec<f64>> {
    Collector::collect(module, None)
}

/// The gradient of every parameter that has one.
pub fn gradients_of<M: Module>(module: &M, gradients: &Gradients) -> HashMap<String, Vec<f64>> {
    Collector::collect(module, Some(gradients))
}

struct Collector<'a> {
    path: PathTracker,
    /// Collected instead of the values.
    gradients: Option<&'a Gradients>,
    found: HashMap<String, Vec<f64>>,
}

impl<'a> Collector<'a> {
    fn collect<M: Module>(module: &M, gradients: Option<&'a Gradients>) -> HashMap<String, Vec<f64>> {
        let mut collector = Self { path: PathTracker::default(), gradients, found: HashMap::new() };
        module.visit(&mut collector);
        collector.found
    }
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = match self.gradients {
            Some(gradients) => param.val().grad(gradients).map(host),
            None => Some(host(param.val())),
        };
        self.found.extend(values.map(|values| (self.path.path(), values)));
    }
}

/// Largest absolute difference; NaN counts as infinite.
pub fn largest(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).fold(0.0, |most, (left, right)| {
        let difference = (left - right).abs();
        if difference.is_nan() { f64::INFINITY } else { most.max(difference) }
    })
}

/// Largest absolute value.
pub fn size(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}
