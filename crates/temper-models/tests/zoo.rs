//! Every family and head computes what transformers computes: hidden states, logits, loss, gradients; and
//! writes the checkpoint back as it was.

#[path = "common/zoo.rs"]
mod zoo;

use burn::tensor::Device;
use safetensors::SafeTensors;
use temper_models::{Backbone, HeadKind, Mode, Rows, families};
use zoo::{Case, case, cases, gradients_of, host, largest, names, size};

/// Of f32 sums in another order, relative to the largest value of a tensor.
const ROUNDING: f64 = 1e-5;

/// The largest difference relative to the largest value, of every tensor of the forward pass.
fn forward(case: &Case, device: &Device) -> f64 {
    let (model, batch) = (case.load(device), case.batch(device));
    let mut worst: f64 = 0.0;
    let mut compare = |name: &str, ours: Vec<f64>, theirs: Vec<f64>| {
        let difference = largest(&ours, &theirs) / size(&theirs).max(1.0);
        assert!(difference < ROUNDING, "{}: {name}: {difference}", case.name);
        worst = worst.max(difference);
    };
    let states = model.backbone.hidden_states(&batch, Mode::Evaluate);
    assert_eq!(states.len(), case.states().len(), "{}", case.name);
    for (name, state) in case.states().iter().zip(states) {
        compare(name, host(state), case.packed(name));
    }
    let last = model.backbone.forward(&batch, Rows::All, Mode::Evaluate);
    compare("last_hidden_state", host(last), case.packed("last_hidden_state"));
    if case.has("encoder_last_hidden_state") {
        let encoded = model.backbone.encode(&batch, Mode::Evaluate).expect("an encoder");
        compare("encoder_last_hidden_state", host(encoded), case.packed("encoder_last_hidden_state"));
    }
    let logits = model.logits(&batch, Mode::Evaluate).expect("a head");
    match case.kind() {
        HeadKind::SequenceClassification(_) => compare("logits", host(logits), case.values("logits")),
        HeadKind::QuestionAnswering { .. } => {
            for (column, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
                compare(name, host(logits.clone().narrow(1, column, 1)), case.packed(name));
            }
        }
        HeadKind::Pretraining(_) => {
            let [tokens, sentences] = model.pretrain(&batch, Mode::Evaluate).expect("a head");
            compare("prediction_logits", host(tokens), case.packed("prediction_logits"));
            compare("seq_relationship_logits", host(sentences), case.values("seq_relationship_logits"));
        }
        _ => compare("logits", host(logits), case.packed("logits")),
    }
    worst
}

#[test]
fn every_forward_pass_agrees() {
    for case in cases() {
        let plain = forward(&case, &Device::flex());
        forward(&case, &Device::flex().autodiff());
        println!("{:<45} forward {plain:.1e}", case.name);
    }
}

#[test]
fn every_loss_and_gradient_agrees() {
    for case in cases() {
        let model = case.load(&Device::flex().autodiff());
        let loss = case.loss(&model, Mode::train(0));
        let difference = largest(&host(loss.clone()), &case.values("loss"));
        assert!(difference < ROUNDING, "{}: loss {difference}", case.name);
        let ours = gradients_of(&model, &loss.backward());
        let mut worst: f64 = 0.0;
        for (path, theirs) in case.parameters("grad.") {
            if theirs.iter().all(|value| value.is_nan()) {
                continue; // A buffer.
            }
            let ours = ours.get(&path).unwrap_or_else(|| panic!("{}: {path} has no gradient", case.name));
            let difference = largest(ours, &theirs) / size(&theirs).max(1e-2);
            assert!(difference < 10.0 * ROUNDING, "{}: {path}: {difference}", case.name);
            worst = worst.max(difference);
        }
        println!("{:<45} gradients {worst:.1e}", case.name);
    }
}

#[test]
fn every_checkpoint_is_written_back_as_it_was() {
    for case in cases() {
        let dir = tempfile::tempdir().expect("a folder");
        case.load(&Device::flex()).save(&case.config, dir.path()).expect("saved");
        let read = |dir: &std::path::Path| std::fs::read(dir.join("model.safetensors")).expect("a file");
        let (before, after) = (read(&case.dir), read(dir.path()));
        let parse = |bytes| SafeTensors::deserialize(bytes).expect("a safetensors file");
        let (before, after) = (parse(&before), parse(&after));
        let sorted = |tensors: &SafeTensors<'_>| {
            let mut names: Vec<String> = tensors.names().into_iter().map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&before), sorted(&after), "{}", case.name);
        for (name, tensor) in before.tensors() {
            let written = after.tensor(&name).expect("compared above");
            assert_eq!(tensor.shape(), written.shape(), "{}: {name}", case.name);
            assert_eq!(tensor.data(), written.data(), "{}: {name}", case.name);
        }
        let config = |dir: &std::path::Path| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(dir.join("config.json")).expect("a file")).expect("JSON")
        };
        assert_eq!(config(&case.dir), config(dir.path()), "{}", case.name);
    }
}

#[test]
fn every_family_has_a_case() {
    let covered: Vec<String> = names().iter().map(|name| case(name).config.model_type().to_owned()).collect();
    for family in families() {
        assert!(covered.iter().any(|name| name == family.model_type), "{} has no case", family.model_type);
    }
}
