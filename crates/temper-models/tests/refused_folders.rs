//! Model folders with a fault that people meet: the message names it and says what to do.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{changed, fixture};
use serde_json::{Value, json};
use temper_models::{GenerateSettings, HeadRequest, Model, ModelError};

fn use_folder(dir: &Path) -> Result<(), ModelError> {
    let loaded = Model::load(dir, &HeadRequest::FromConfig, &Device::flex())?;
    GenerateSettings::of_model(dir, &loaded.config).map(drop)
}

/// What a folder is refused with, and the words in it.
fn refused(dir: &Path, words: &[&str]) {
    let text = use_folder(dir).expect_err("refused").to_string();
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 440449768\n";

#[test]
fn a_pointer_of_git_lfs_is_named() {
    for name in ["model.safetensors", "config.json", "generation_config.json", "model.safetensors.index.json"]
    {
        let dir = changed(&fixture("bert"), |_, _| {});
        if name.ends_with("index.json") {
            std::fs::remove_file(dir.path().join("model.safetensors")).expect("removed");
        }
        std::fs::write(dir.path().join(name), POINTER).expect("written");
        refused(dir.path(), &[name, "git-lfs", "git lfs pull"]);
    }
}

#[test]
fn parts_without_an_index_are_named() {
    for (part, index) in [
        ("model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"),
    ] {
        let dir = changed(&fixture("bert"), |_, _| {});
        std::fs::rename(dir.path().join("model.safetensors"), dir.path().join(part)).expect("renamed");
        refused(dir.path(), &[part, index]);
    }
    let dir = changed(&fixture("bert"), |_, _| {});
    std::fs::remove_file(dir.path().join("model.safetensors")).expect("removed");
    std::fs::write(dir.path().join("model-of-mine.safetensors"), "").expect("written");
    refused(dir.path(), &["holds no weights"]);
}

#[test]
fn an_index_names_files_beside_it_alone() {
    for outside in ["../model.safetensors", "/etc/passwd", "", ".."] {
        let dir = changed(&fixture("bert"), |_, _| {});
        std::fs::remove_file(dir.path().join("model.safetensors")).expect("removed");
        let index = json!({"weight_map": {"bert.embeddings.word_embeddings.weight": outside}});
        std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).expect("written");
        refused(dir.path(), &["index.json", "does not name a file"]);
    }
}

#[test]
fn names_under_a_wrapper_are_explained() {
    for (prefix, wrapper) in [("module.", "DataParallel"), ("_orig_mod.", "torch.compile")] {
        let dir = changed(&fixture("bert"), |weights, _| {
            *weights = std::mem::take(weights)
                .into_iter()
                .map(|(name, value)| (format!("{prefix}{name}"), value))
                .collect();
        });
        refused(dir.path(), &[prefix, wrapper, "model.module.save_pretrained"]);
    }
}

/// A folder with these weights in place of a fixture's.
fn with_weights(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(fixture("bert").join("config.json"), dir.path().join("config.json")).expect("copied");
    std::fs::write(dir.path().join("model.safetensors"), bytes).expect("written");
    dir
}

fn header_end(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize
}

/// The fixture's weights with the type of one tensor changed to one of the same or a smaller size.
fn retyped(dtype: &str, bytes_each: usize) -> tempfile::TempDir {
    let source = std::fs::read(fixture("bert").join("model.safetensors")).expect("weights");
    let end = header_end(&source);
    let header: Value = serde_json::from_slice(&source[8..end]).expect("JSON");
    let (mut data, mut entries) = (Vec::new(), serde_json::Map::new());
    for (name, entry) in
        header.as_object().expect("an object").iter().filter(|(name, _)| *name != "__metadata__")
    {
        let place = |at: usize| entry["data_offsets"][at].as_u64().expect("a place") as usize;
        let mut tensor = source[end..][place(0)..place(1)].to_vec();
        let mut entry = entry.clone();
        if name.ends_with("query.weight") {
            tensor.truncate(tensor.len() / 4 * bytes_each);
            entry["dtype"] = json!(dtype);
        }
        entry["data_offsets"] = json!([data.len(), data.len() + tensor.len()]);
        data.extend(tensor);
        entries.insert(name.clone(), entry);
    }
    let text = Value::Object(entries).to_string();
    with_weights(&[&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &data[..]].concat())
}

#[test]
fn weights_that_are_no_floats_are_refused_by_name() {
    for (dtype, bytes_each) in [("F8_E4M3", 1), ("F8_E5M2", 1), ("I8", 1), ("U8", 1), ("I32", 4), ("BOOL", 1)]
    {
        let dir = retyped(dtype, bytes_each);
        refused(dir.path(), &["query.weight", "quantised weights are not read", "dequantise"]);
    }
    for (dtype, bytes_each) in [("F16", 2), ("BF16", 2), ("F32", 4)] {
        assert!(use_folder(retyped(dtype, bytes_each).path()).is_ok(), "{dtype}");
    }
}

#[test]
fn a_word_about_quantisation_beside_floats_goes_away() {
    let quantization = json!({"quant_method": "bitsandbytes", "load_in_4bit": true});
    let dir = changed(&fixture("bert"), |_, config| config["quantization_config"] = quantization.clone());
    let loaded = Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex()).expect("loads");
    let saved = tempfile::tempdir().expect("a folder");
    loaded.model.save(&loaded.config, saved.path()).expect("saved");
    let text = std::fs::read_to_string(saved.path().join("config.json")).expect("a file");
    assert!(!text.contains("quantization_config"), "{text}");
    // Packed weights have other names, and the method is reported.
    let dir = changed(&fixture("bert"), |weights, config| {
        config["quantization_config"] = json!({"quant_method": "gptq"});
        let name = "bert.encoder.layer.0.attention.self.query.weight";
        let value = weights.remove(name).expect("a matrix");
        weights.insert(name.replace("weight", "qweight"), value);
    });
    refused(dir.path(), &["qweight", "gptq", "quantised weights are not read"]);
}

#[test]
fn a_bad_setting_of_generation_is_named() {
    for (key, value) in [
        ("eos_token_id", json!(-1)),
        ("eos_token_id", json!([2, -1])),
        ("bos_token_id", json!("x")),
        ("max_length", json!(-5)),
        ("temperature", json!("hot")),
    ] {
        let dir = changed(&fixture("zoo/gpt2-causal-lm"), |_, _| {});
        let text = json!({key: value}).to_string();
        std::fs::write(dir.path().join("generation_config.json"), text).expect("written");
        refused(dir.path(), &["generation_config.json", &format!("{key} = {value}"), "remove it"]);
    }
}

#[test]
fn a_token_that_is_not_embedded_starts_no_decoding() {
    for family in ["bart-sequence-classification", "t5-seq2seq-lm"] {
        let dir =
            changed(&fixture("zoo").join(family), |_, config| config["decoder_start_token_id"] = json!(48));
        refused(dir.path(), &["decoder_start_token_id = 48", "vocab_size = 48"]);
    }
}
