//! What a GPU computes is what the CPU computes: every family's values and gradients, whole runs, layers that are
//! computed again.
//!
//! Only in a build with a GPU backend. Any device will do, a software one, too:
//! `cargo test --release -p temper-train --features wgpu --test gpu` (docs/CUDA.md).
#![cfg(feature = "gpu")]

mod common;

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::{Value, json};
use temper_freeze::GradientSquares;
use temper_models::{HeadRequest, Mode, Model, ModelConfig, Tape, TokenBatch};
use temper_train::Backend;

const BACKEND: Backend = if cfg!(feature = "cuda") { Backend::Cuda(0) } else { Backend::Wgpu };
const LENGTHS: [u32; 3] = [7, 3, 5];

fn zoo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo")
}

fn gpu() -> Device {
    BACKEND.device().unwrap_or_else(|error| panic!("{error}")).autodiff()
}

fn load(dir: &Path, device: &Device) -> Model {
    Model::load(dir, &HeadRequest::FromConfig, device).expect("loads").model
}

fn batch(dir: &Path, device: &Device) -> TokenBatch {
    let vocabulary = ModelConfig::read(dir).expect("a configuration").bounds().vocab_size as u32;
    let tokens: u32 = LENGTHS.iter().sum();
    let ids: Vec<u32> = (0..tokens).map(|token| (token * token * 7 + 3) % vocabulary).collect();
    TokenBatch::new(&ids, &vec![0; ids.len()], &LENGTHS, device)
}

/// The mean square of the logits.
fn loss(model: &Model, batch: &TokenBatch, mode: Mode) -> Tensor<1> {
    let logits = model.logits(batch, mode).expect("a head");
    (logits.clone() * logits).mean()
}

/// A loss and the norm of the gradient of every parameter that has one.
fn loss_and_norms(dir: &Path, device: &Device) -> (f32, Vec<f32>) {
    let (model, batch) = (load(dir, device), batch(dir, device));
    let loss = loss(&model, &batch, Mode::Evaluate);
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let norms = GradientSquares::of(&model, &gradients).read();
    (loss.into_scalar(), norms.each.into_iter().map(|(_, norm)| norm).collect())
}

#[test]
fn every_fixture_has_the_values_of_its_reference() {
    let bench = Bench::new();
    let (zoo, backend) = (zoo().display().to_string(), BACKEND.to_string());
    let output =
        bench.run(&["verify", "--all", "--fixtures", &zoo, "--backend", &backend, "--precision", "f32"]);
    assert_succeeds(&output);
    assert!(stdout(&output).contains(" 0 not"), "{}", stdout(&output));
}

/// One of every family, and of every kind of attention: their other heads differ in the last map alone.
#[test]
fn gradients_are_those_of_the_cpu() {
    let (cpu, gpu) = (Device::flex().autodiff(), gpu());
    for name in [
        "bart-sequence-classification",
        "bert-sequence-classification",
        "bloom-causal-lm",
        "distilbert-masked-lm",
        "falcon-7b-causal-lm",
        "falcon-rw-causal-lm",
        "gpt-neo-causal-lm",
        "gpt2-causal-lm",
        "llama2-gqa-causal-lm",
        "openai-gpt-causal-lm",
        "roberta-token-classification",
        "t5-seq2seq-lm",
    ] {
        let dir = zoo().join(name);
        let (expected_loss, expected) = loss_and_norms(&dir, &cpu);
        let (found_loss, found) = loss_and_norms(&dir, &gpu);
        assert!((found_loss - expected_loss).abs() < 1e-3 * expected_loss, "{name}: {found_loss}");
        assert_eq!(found.len(), expected.len(), "{name}");
        let size = expected.iter().copied().fold(0.0, f32::max);
        for (found, expected) in found.iter().zip(&expected) {
            // Vulkan's erf, exp and tanh are approximations.
            let close = (found - expected).abs() < 1e-3 * size;
            assert!(close, "{name}: {found}, not {expected}; the largest is {size}");
        }
    }
}

/// The tiny model with dropout of that probability.
fn with_dropout(probability: f64) -> Bench {
    let bench = Bench::new();
    let mut config = bench.json("model/config.json");
    for field in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        config[field] = json!(probability);
    }
    bench.write("model/config.json", &config.to_string());
    bench
}

/// Loss and gradient norm of every step.
fn steps(bench: &Bench, run: &str) -> Vec<[f64; 2]> {
    let text = bench.read(&format!("runs/{run}/metrics.jsonl"));
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let rows = rows.filter(|row| row["kind"] == "train");
    rows.map(|row| ["loss", "grad_norm"].map(|name| row[name].as_f64().expect("a number"))).collect()
}

#[test]
fn runs_are_those_of_the_cpu() {
    let bench = with_dropout(0.0);
    let backend = BACKEND.to_string();
    for (name, flags) in [
        ("all", &["--strategy", "all"][..]),
        ("lora", &["--strategy", "lora"]),
        ("last", &["--strategy", "last:1", "--gradient-checkpointing", "--max-tokens-per-batch", "48"]),
    ] {
        let run = |kind: &str, backend: &str| {
            let name = format!("{kind}-{name}");
            let same = ["--backend", backend, "--max-steps", "6", "--logging-steps", "1", "--preset", "full"];
            let output = bench.finetune(&name, &[&same[..], flags, &["--precision", "f32"]].concat());
            assert_succeeds(&output);
            assert!(stderr(&output).contains("every trained parameter had a finite gradient and changed"));
            steps(&bench, &name)
        };
        let (cpu, gpu) = (run("cpu", "flex"), run("gpu", &backend));
        assert_eq!((cpu.len(), gpu.len()), (6, 6));
        for (cpu, gpu) in cpu.iter().flatten().zip(gpu.iter().flatten()) {
            assert!((cpu - gpu).abs() < 1e-3 * cpu.max(0.1), "{name}: {gpu}, not {cpu}");
        }
    }
}

/// A step of every parameter along its gradient.
struct Moved<'a> {
    gradients: &'a GradientsParams,
    distance: f32,
}

impl ModuleMapper for Moved<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let moved = match self.gradients.get::<D>(id) {
            Some(gradient) => tensor.inner() + gradient * self.distance,
            None => tensor.inner(),
        };
        Param::from_mapped_value(id, moved.autodiff().require_grad(), mapper)
    }
}

/// Masks come from the device's generator: those of the second forward pass must be those of the first. Then,
/// and only then, a step along the gradient moves the loss by the square of the gradient's norm.
#[test]
fn layers_computed_again_draw_the_same_masks() {
    let bench = with_dropout(0.3);
    let (dir, device) = (bench.path("model"), gpu());
    let (model, tape) = (load(&dir, &device), Tape::default());
    let batch = batch(&dir, &device).with_tape(&tape);
    let value = |model: &Model| {
        device.seed(11);
        loss(model, &batch, Mode::train(3))
    };
    let gradients = tape.backward(value(&model), &model);
    let square = GradientSquares::of(&model, &gradients).read().total.powi(2);
    let distance = 1e-2 / square.sqrt();
    let [up, down] = [distance, -distance].map(|distance| {
        let moved = model.clone().map(&mut Moved { gradients: &gradients, distance });
        value(&moved).into_scalar::<f32>()
    });
    let slope = (up - down) / (2.0 * distance);
    assert!((slope - square).abs() < 0.02 * square, "{slope} {square}");
}

#[test]
fn what_the_device_lacks_is_refused() {
    let bench = Bench::new();
    let backend = BACKEND.to_string();
    if !BACKEND.device().expect("a device").supports_dtype(burn::tensor::DType::BF16) {
        let output = bench.finetune("bf16", &["--backend", &backend, "--precision", "bf16"]);
        assert_fails(&output, 2, &["does not compute in bfloat16", "use f32"]);
    }
    let devices = ["--backend", "wgpu", "--devices", "0,1"];
    assert_fails(&bench.finetune("devices", &devices), 2, &["--devices names the GPUs of --backend cuda"]);
}
