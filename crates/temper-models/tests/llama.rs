//! LLaMA beyond the zoo: old spellings, refused switches, and a real model that tells a story.

#[path = "../../temper-data/tests/common/outside.rs"]
mod outside;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Value, json};
use temper_models::{Backbone, Cache, HeadRequest, Mode, Model, ModelConfig, Rows, TokenBatch};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoo").join(name)
}

fn config(name: &str) -> Value {
    let text = std::fs::read_to_string(fixture(name).join("config.json")).expect("the fixture is committed");
    serde_json::from_str(&text).expect("JSON")
}

/// Writes a copy of a fixture with other names of tensors.
fn renamed(name: &str, rename: impl Fn(&str) -> String, extra: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let bytes = std::fs::read(fixture(name).join("model.safetensors")).expect("the fixture is committed");
    let parsed = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut tensors: BTreeMap<String, TensorView<'_>> =
        parsed.tensors().into_iter().map(|(name, view)| (rename(&name), view)).collect();
    let buffer = [0; 8];
    for name in extra {
        let view = TensorView::new(Dtype::F32, vec![2], &buffer).expect("a view");
        tensors.insert((*name).to_owned(), view);
    }
    serialize_to_file(tensors, None, &dir.path().join("model.safetensors")).expect("written");
    std::fs::write(dir.path().join("config.json"), config(name).to_string()).expect("written");
    dir
}

fn logits(dir: &Path) -> Vec<f32> {
    let device = Device::flex();
    let model = Model::load(dir, &HeadRequest::FromConfig, &device).expect("loads").model;
    let batch = TokenBatch::new(&[5, 9, 7], &[0; 3], &[3], &device);
    host(model.logits(&batch, Mode::Evaluate).expect("a head"))
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[test]
fn old_buffers_and_every_prefix_are_read() {
    for name in ["llama3-causal-lm", "llama-question-answering"] {
        let expected = logits(&fixture(name));
        let bare = |name: &str| name.replace("model.", "").replace("transformer.", "");
        let buffers = ["layers.0.self_attn.rotary_emb.inv_freq", "layers.1.self_attn.rotary_emb.inv_freq"];
        assert_eq!(logits(renamed(name, bare, &buffers).path()), expected, "{name}");
        let other = |name: &str| name.replace("transformer.", "model.");
        assert_eq!(logits(renamed(name, other, &[]).path()), expected, "{name}");
    }
}

#[test]
fn what_would_be_computed_otherwise_is_refused() {
    for (key, value, expected) in [
        ("rope_scaling", json!({"type": "dynamic", "factor": 2.0}), "rope_type = dynamic"),
        ("rope_parameters", json!({"rope_type": "proportional"}), "rope_type = proportional"),
        ("partial_rotary_factor", json!(0.5), "partial_rotary_factor = 0.5"),
        ("is_causal", json!(false), "is_causal = false"),
        ("token_classification_bias", json!(false), "token_classification_bias = false"),
        ("hidden_act", json!("xielu"), "xielu"),
        ("num_attention_heads", json!(3), "does not divide hidden_size"),
        ("num_key_value_heads", json!(3), "does not divide num_attention_heads"),
        ("head_dim", json!(5), "an even number of at most 5 numbers, not 5"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = config("llama-causal-lm");
        config[key] = value;
        std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
        let message = ModelConfig::read(dir.path()).expect_err(key).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// `Once upon a time`, and the continuation by transformers 5.23: 60 tokens, each the most probable.
const PROMPT: [u32; 5] = [1, 403, 407, 261, 378];
const STORY: [u32; 60] = [
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411,
    322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268, 388, 426, 338, 391,
    266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426, 13, 438, 310,
];

/// The likeliest tokens after a prompt, each computed from what the cache remembers.
fn continued(model: &Model, prompt: &[u32], count: usize, device: &Device) -> Vec<u32> {
    let head = model.head.as_ref().expect("a head");
    let (mut cache, mut read, mut made) = (Cache::new(1), prompt.to_vec(), Vec::new());
    for _ in 0..count {
        let batch = TokenBatch::following(&read, &[read.len() as u32], cache.lengths(), device);
        let hidden = model.backbone.forward_cached(&batch, Rows::Last, &mut cache);
        let logits = head.forward(&model.backbone, hidden, Mode::Evaluate); // [1, vocab]
        let likeliest = logits.argmax(1).into_data().iter::<u32>().next().expect("a row");
        made.push(likeliest);
        read = vec![likeliest];
    }
    made
}

/// The text of ids by the vocabulary of tokenizer.json; enough if no bytes except the line break are alone.
fn decoded(dir: &Path, ids: &[u32]) -> String {
    let text = std::fs::read_to_string(dir.join("tokenizer.json")).expect("a tokenizer");
    let tokenizer: Value = serde_json::from_str(&text).expect("JSON");
    let vocabulary = tokenizer["model"]["vocab"].as_object().expect("a vocabulary");
    let by_id: BTreeMap<u64, &String> =
        vocabulary.iter().map(|(piece, id)| (id.as_u64().expect("an id"), piece)).collect();
    let pieces = ids.iter().map(|&id| by_id[&u64::from(id)].as_str());
    pieces.collect::<String>().replace("<0x0A>", "\n").replace('▁', " ")
}

#[test]
fn a_real_model_tells_transformers_story() {
    // A model of Karpathy's llama2.c.
    let Some(dir) = outside::mirrored("karpathy/stories260K") else { return };
    let device = Device::flex();
    let loaded = Model::load(&dir, &HeadRequest::FromConfig, &device).expect("loads");
    let story = continued(&loaded.model, &PROMPT, STORY.len(), &device);
    assert_eq!(decoded(&dir, &PROMPT[1..]), " Once upon a time");
    let text = decoded(&dir, &story);
    assert!(text.starts_with(", there was a little girl named Lily. She loved to play outside"), "{text}");
    assert_eq!(story, STORY);
    // All at once, without a cache, every token is still the likeliest after those before it.
    let all: Vec<u32> = PROMPT.into_iter().chain(STORY).collect();
    let batch = TokenBatch::new(&all, &vec![0; all.len()], &[all.len() as u32], &device);
    let logits = loaded.model.logits(&batch, Mode::Evaluate).expect("a head");
    let likeliest: Vec<u32> = logits.argmax(1).into_data().iter::<u32>().collect();
    assert_eq!(likeliest[PROMPT.len() - 1..all.len() - 1], STORY);
}
