//! Training from the output of frozen layers gives the same losses and gradients as training from the ids.

#[path = "../../temper-models/tests/common/zoo.rs"]
mod zoo;

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};
use temper_freeze::{FreezePlan, trunk_depth};
use temper_models::{HeadRequest, Mode, Model, TokenBatch};
use zoo::{Case, case, gradients_of, host, largest, size};

const CASES: [&str; 12] = [
    "bert-sequence-classification",
    "distilbert-token-classification",
    "roberta-question-answering",
    "gpt2-sequence-classification",
    "gpt-neo-sequence-classification",
    "bloom-sequence-classification",
    "llama3-sequence-classification",
    "falcon-40b-sequence-classification",
    "falcon-rw-sequence-classification",
    "t5-sequence-classification",
    "t5-v1.1-sequence-classification",
    "bart-sequence-classification",
];

/// The case with dropout wherever its configuration has a probability for it.
fn dropping(case: &Case, device: &Device) -> Model {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(case.dir.join("model.safetensors"), dir.path().join("model.safetensors")).expect("copied");
    let text = std::fs::read_to_string(case.dir.join("config.json")).expect("a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in config.as_object_mut().into_iter().flatten() {
        if key.contains("drop") && !key.contains("layerdrop") && value.is_number() {
            *value = json!(0.2);
        }
    }
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    Model::load(dir.path(), &HeadRequest::FromConfig, device).expect("loads").model
}

fn loss_and_gradients(model: &Model, batch: &TokenBatch) -> (f64, HashMap<String, Vec<f64>>) {
    let logits = model.logits(batch, Mode::train(3).without_frozen_dropout()).expect("a head");
    let loss: Tensor<1> = (logits.clone() * logits).mean();
    (host(loss.clone())[0], gradients_of(model, &loss.backward()))
}

#[test]
fn losses_and_gradients_agree_at_every_depth() {
    let device = Device::flex().autodiff();
    for case in CASES.map(case) {
        let mut depths = Vec::new();
        for strategy in ["head", "last:1", "last:2", "last:3"] {
            let model = dropping(&case, &device);
            let strategy = strategy.parse().expect("a strategy");
            let Ok(plan) = FreezePlan::new(&strategy, &model.parameters(), &[]) else { continue };
            let model = plan.apply(model);
            let depth = trunk_depth(&plan, 0);
            let batch = case.batch(&device);
            let (whole_loss, whole) = loss_and_gradients(&model, &batch);
            let state = model.trunk(&batch, depth);
            let (loss, gradients) = loss_and_gradients(&model, &batch.with_trunk(state));
            let what = format!("{}: {strategy:?}, depth {depth}", case.name);
            assert!((loss - whole_loss).abs() < 1e-6 * whole_loss.max(1.0), "{what}: {loss} {whole_loss}");
            assert_eq!(gradients.len(), whole.len(), "{what}");
            assert_eq!(gradients.len(), plan.rows.iter().filter(|row| row.trains).count(), "{what}");
            for (path, expected) in &whole {
                let worst = largest(&gradients[path], expected) / size(expected).max(1e-3);
                assert!(worst < 1e-5, "{what}: {path}: {worst}");
            }
            depths.push(depth);
        }
        depths.dedup();
        assert!(depths.len() > 2 && depths.is_sorted_by(|left, right| left > right), "{depths:?}");
    }
}
