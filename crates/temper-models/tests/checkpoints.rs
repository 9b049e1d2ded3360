//! Reading, refusing and writing checkpoints.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use common::{Reference, Tensors, fixture, largest, tensors, write};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Value, json};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, ModelError, Pooling};

/// A copy of the fixture with changed weights and configuration.
fn changed(change: impl FnOnce(&mut Tensors, &mut Value)) -> tempfile::TempDir {
    common::changed(&fixture("bert"), change)
}

fn logits(dir: &Path) -> Vec<f64> {
    let device = Device::flex();
    let model = Model::load(dir, &HeadRequest::FromConfig, &device).expect("loads").model;
    let batch = Reference::read("bert").batch(&device);
    let logits = model.classify(&batch, Mode::Evaluate).expect("a head");
    logits.into_data().iter::<f64>().collect()
}

fn error(dir: &Path) -> ModelError {
    Model::load(dir, &HeadRequest::FromConfig, &Device::flex()).expect_err("refused")
}

fn assert_reference_logits(dir: &Path) {
    assert!(largest(logits(dir), Reference::read("bert").values("logits")) < 1e-5);
}

#[test]
fn a_pickle_gives_the_same_model() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "pytorch_model.bin"] {
        std::fs::copy(fixture("bert").join(name), dir.path().join(name)).expect("copied");
    }
    assert_reference_logits(dir.path());
}

#[test]
fn shards_give_the_same_model_and_a_missing_one_is_named() {
    let dir = changed(|_, _| {});
    let whole = dir.path().join("model.safetensors");
    let all = tensors(&whole);
    std::fs::remove_file(&whole).expect("removed");
    let (first, second): (Tensors, Tensors) = all.into_iter().partition(|(name, _)| name.len() % 2 == 0);
    let mut weight_map = serde_json::Map::new();
    for (number, part) in [(1, first), (2, second)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        weight_map.extend(part.keys().map(|name| (name.clone(), json!(file))));
        write(&part, &dir.path().join(file));
    }
    let index = json!({"metadata": {}, "weight_map": weight_map}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).expect("written");
    assert_reference_logits(dir.path());

    std::fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).expect("removed");
    let error = error(dir.path());
    assert!(
        matches!(&error, ModelError::MissingShard { missing, .. } if missing.contains("00002-of")),
        "{error}"
    );
}

#[test]
fn old_names_and_buffers_are_read() {
    let dir = changed(|weights, _| {
        let renamed = std::mem::take(weights).into_iter().map(|(name, tensor)| {
            let old = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            (old, tensor)
        });
        *weights = renamed.collect();
        weights.insert("bert.embeddings.position_ids".into(), (vec![1], vec![0; 4]));
    });
    assert_reference_logits(dir.path());
}

#[test]
fn a_backbone_without_prefix_takes_a_new_head_and_reports_what_is_new() {
    let dir = changed(|weights, config| {
        let bare = std::mem::take(weights).into_iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix("bert.")?.to_owned();
            (!name.starts_with("pooler")).then_some((name, tensor))
        });
        *weights = bare.collect();
        config["architectures"] = json!(["BertModel"]);
    });
    let labels = vec!["neg".to_owned(), "pos".to_owned()];
    let request = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels: labels.clone(),
        pooling: Pooling::Pooler,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load(dir.path(), &request, &Device::flex()).expect("loads");
    assert_eq!(loaded.new, ["pooler.weight", "pooler.bias", "head.output.weight", "head.output.bias"]);
    assert_eq!(loaded.config.labels().expect("labels"), labels);
    let bare = Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex()).expect("loads");
    assert!(bare.model.head.is_none());
}

#[test]
fn a_head_is_the_same_with_the_same_labels_alone() {
    let config = |id2label: serde_json::Value| {
        let config = json!({
            "model_type": "bert", "architectures": ["BertForSequenceClassification"], "id2label": id2label
        });
        temper_models::ModelConfig::parse(&config.to_string()).unwrap()
    };
    let labels: Vec<String> = ["neg", "pos"].map(str::to_owned).into();
    let meaning = temper_models::OutputMeaning::SingleLabel;
    let has = |id2label, task| config(id2label).has_head(task, &labels, meaning, Pooling::Pooler);
    let task = HeadTask::SequenceClassification;
    assert!(has(json!({"0": "neg", "1": "pos"}), task));
    assert!(!has(json!({"0": "pos", "1": "neg"}), task), "in another order");
    assert!(!has(json!({"0": "neg", "1": "pos"}), HeadTask::TokenClassification));
    assert!(!has(json!({"0": "neg", "7": "pos"}), task), "labels that cannot be understood are others");
}

#[test]
fn a_new_head_drops_the_old_one_and_says_so() {
    let labels: Vec<String> = ["a", "b"].map(str::to_owned).into();
    let request = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels,
        pooling: Pooling::Cls,
        seed: 1,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load(&fixture("bert"), &request, &Device::flex()).expect("loads");
    assert_eq!(loaded.new, ["head.output.weight", "head.output.bias"]);
    assert_eq!(
        loaded.dropped,
        ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"]
    );
}

#[test]
fn writing_gives_back_every_name_and_bit() {
    let dir = tempfile::tempdir().expect("a folder");
    let loaded = Model::load(&fixture("bert"), &HeadRequest::FromConfig, &Device::flex()).expect("loads");
    loaded.model.save(&loaded.config, dir.path()).expect("saved");
    let file = dir.path().join("model.safetensors");
    assert_eq!(tensors(&file), tensors(&fixture("bert").join("model.safetensors")));
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 2, "nothing but the two files");
    let bytes = std::fs::read(&file).expect("a file");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("metadata");
    assert_eq!(
        metadata.metadata().as_ref().and_then(|map| map.get("format")).map(String::as_str),
        Some("pt")
    );
}

#[test]
fn a_random_model_is_a_function_of_its_seed_and_can_be_saved() {
    let (device, dir) = (Device::flex(), tempfile::tempdir().expect("a folder"));
    let config = ModelConfig::read(&fixture("bert")).expect("a configuration");
    let saved = |seed: u64| {
        Model::random(&config, seed, &device).expect("drawn").save(&config, dir.path()).expect("saved");
        tensors(&dir.path().join("model.safetensors"))
    };
    assert!(saved(1) != saved(2));
    let drawn = saved(1);
    assert_eq!(
        drawn.keys().collect::<Vec<_>>(),
        tensors(&fixture("bert").join("model.safetensors")).keys().collect::<Vec<_>>()
    );
    let loaded = Model::load(dir.path(), &HeadRequest::FromConfig, &device).expect("loads");
    assert!(loaded.new.is_empty());
    assert!(logits(dir.path()).iter().all(|logit| logit.is_finite() && *logit != 0.0));
}

#[test]
fn the_textbook_head_survives_saving() {
    let device = Device::flex();
    let labels: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let request = HeadRequest::New {
        task: HeadTask::SequenceClassification,
        labels,
        pooling: Pooling::Cls,
        seed: 7,
        outputs: temper_models::OutputMeaning::SingleLabel,
        keep: false,
    };
    let loaded = Model::load(&fixture("bert"), &request, &device).expect("loads");
    let dir = tempfile::tempdir().expect("a folder");
    loaded.model.save(&loaded.config, dir.path()).expect("saved");
    let batch = Reference::read("bert").batch(&device);
    let before = loaded.model.classify(&batch, Mode::Evaluate).expect("a head");
    assert_eq!(logits(dir.path()), before.into_data().iter::<f64>().collect::<Vec<_>>());
}

#[test]
fn every_misfit_is_listed_at_once() {
    let dir = changed(|weights, config| {
        weights.remove("bert.pooler.dense.weight");
        weights.remove("bert.encoder.layer.0.output.dense.bias");
        weights.insert("bert.encoder.layer.9.output.dense.bias".into(), (vec![1], vec![0; 4]));
        weights.insert("something.else".into(), (vec![1], vec![0; 4]));
        config["intermediate_size"] = json!(48);
    });
    let ModelError::Misfit { misfits, .. } = error(dir.path()) else { panic!("another error") };
    // A pooler may be missing: some checkpoints have none.
    assert_eq!(misfits.missing, ["layers.0.ffn.outer.bias"]);
    assert_eq!(misfits.unexpected, ["bert.encoder.layer.9.output.dense.bias", "something.else"]);
    let names: Vec<&str> = misfits.misshapen.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.contains(&"bert.encoder.layer.1.intermediate.dense.weight"));
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let refused = |field: &str, value: Value| {
        let dir = changed(|_, config| config[field] = value);
        error(dir.path()).to_string()
    };
    assert!(refused("position_embedding_type", json!("relative_key")).contains("relative_key"));
    assert!(refused("is_decoder", json!(true)).contains("is_decoder"));
    assert!(refused("hidden_act", json!("mish")).contains("mish"));
    assert!(refused("num_attention_heads", json!(5)).contains("does not divide"));
    assert!(refused("model_type", json!("gpt5")).contains("gpt5"));
}

#[test]
fn broken_files_are_errors() {
    let dir = changed(|_, _| {});
    let file = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&file).expect("a file");
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).expect("written");
        assert!(matches!(error(dir.path()), ModelError::BrokenFile { .. }), "{length} bytes");
    }
    std::fs::remove_file(&file).expect("removed");
    assert!(matches!(error(dir.path()), ModelError::NoWeights { .. }));
    std::fs::write(dir.path().join("pytorch_model.bin"), b"not a pickle").expect("written");
    assert!(matches!(error(dir.path()), ModelError::BrokenFile { .. }));
    std::fs::write(dir.path().join("config.json"), b"{").expect("written");
    assert!(matches!(error(dir.path()), ModelError::BrokenFile { .. }));
}

#[test]
fn half_precision_is_read_as_f32() {
    let dir = changed(|_, _| {});
    let file = dir.path().join("model.safetensors");
    let all = tensors(&file);
    let halves: BTreeMap<String, (Vec<usize>, Vec<u8>)> = all
        .into_iter()
        .map(|(name, (shape, bytes))| {
            let upper = bytes.chunks(4).flat_map(|value| value[2..].to_vec()).collect();
            (name, (shape, upper))
        })
        .collect();
    let views = halves.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("a view"))
    });
    serialize_to_file(views, None, &file).expect("written");
    // bfloat16 keeps 8 bits of the significand.
    let difference = largest(logits(dir.path()), Reference::read("bert").values("logits"));
    assert!(difference > 0.0 && difference < 0.05, "{difference}");
}
