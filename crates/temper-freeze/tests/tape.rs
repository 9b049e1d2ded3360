//! Layers that are computed again in the backward pass give the loss and the gradients of those that keep what they
//! compute: in every family, under every kind of strategy, with dropout and sequences of different lengths.

#[path = "../../temper-models/tests/common/zoo.rs"]
mod zoo;

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};
use temper_freeze::lora::{LoraSettings, attach};
use temper_freeze::{FreezePlan, trunk_depth};
use temper_models::{Backbone, HeadRequest, Mode, Model, PathTracker, Tape, TokenBatch};
use zoo::{Case, cases, host, largest, size};

/// Every way in which what trains can be in a model: everywhere, above everything, above a frozen part, below one,
/// at the very bottom, in every layer a little, between the layers alone.
const STRATEGIES: [&str; 8] =
    ["all", "head", "last:1", "layers:0-0", "embeddings", "lora", "norms+head", "pattern:.*relative_bias.*"];

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

/// The case under a strategy; nothing where nothing would train.
fn prepared(case: &Case, strategy: &str, device: &Device) -> Option<(Model, FreezePlan)> {
    let mut model = dropping(case, device);
    if strategy == "lora" {
        let settings = LoraSettings { lora_dropout: 0.2, ..LoraSettings::default() };
        model = attach(model, &settings, &[], 5).expect("adapters");
    }
    let plan = FreezePlan::new(&strategy.parse().expect("a strategy"), &model.parameters(), &[]).ok()?;
    (plan.trainable_in(0) > 0).then(|| (plan.apply(model), plan))
}

fn loss(model: &Model, batch: &TokenBatch, mode: Mode) -> Tensor<1> {
    let logits = model.logits(batch, mode).expect("a head");
    (logits.clone() * logits).mean()
}

type Gradients = HashMap<String, Vec<f64>>;

fn kept(model: &Model, batch: &TokenBatch, mode: Mode) -> (f64, Gradients) {
    let loss = loss(model, batch, mode);
    (host(loss.clone())[0], named(model, GradientsParams::from_grads(loss.backward(), model)))
}

fn recomputed(model: &Model, batch: &TokenBatch, mode: Mode) -> (f64, Gradients) {
    let tape = Tape::default();
    let loss = loss(model, &batch.clone().with_tape(&tape), mode);
    (host(loss.clone())[0], named(model, tape.backward(loss, model)))
}

fn named(model: &Model, gradients: GradientsParams) -> Gradients {
    let mut names = Names { path: PathTracker::default(), gradients, found: HashMap::new() };
    model.visit(&mut names);
    names.found
}

struct Names {
    path: PathTracker,
    gradients: GradientsParams,
    found: Gradients,
}

impl ModuleVisitor for Names {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id);
        self.found.extend(gradient.map(|gradient| (self.path.path(), host(gradient))));
    }
}

/// The largest difference of any gradient relative to the largest gradient of all.
fn worst(what: &str, [expected, found]: [&(f64, Gradients); 2]) -> f64 {
    assert_eq!(found.0, expected.0, "{what}: the loss");
    assert_eq!(found.1.len(), expected.1.len(), "{what}");
    let differences = expected.1.iter().map(|(path, expected)| {
        let found = found.1.get(path).unwrap_or_else(|| panic!("{what}: {path} has no gradient"));
        largest(found, expected)
    });
    let size = expected.1.values().map(|gradient| size(gradient)).fold(0.0, f64::max);
    assert!(size > 0.0, "{what}: nothing has a gradient");
    differences.fold(0.0, f64::max) / size
}

/// How far gradients may be from those of the whole graph. An encoder's output has the gradients of several decoder
/// layers, which are summed in another order; all else is the same to the last bit.
fn bound(model: &Model, batch: &TokenBatch) -> f64 {
    if model.backbone.encode(batch, Mode::Evaluate).is_some() { 1e-6 } else { 0.0 }
}

#[test]
fn gradients_are_those_of_the_whole_graph() {
    let device = Device::flex().autodiff();
    let mode = Mode::train(3);
    for case in cases() {
        let batch = case.batch(&device);
        let lengths: Vec<usize> = batch.sequences.ranges().map(|range| range.len()).collect();
        assert!(lengths.iter().any(|&length| length != lengths[0]), "{}: all of one length", case.name);
        let strategies = STRATEGIES.iter().filter_map(|&strategy| {
            prepared(&case, strategy, &device).map(|model| (format!("{}: {strategy}", case.name), model))
        });
        for (what, (model, _)) in strategies {
            let (whole, found) = (kept(&model, &batch, mode), recomputed(&model, &batch, mode));
            let difference = worst(&what, [&whole, &found]);
            assert!(difference <= bound(&model, &batch), "{what}: {difference}");
            // Other masks would be seen.
            assert!(recomputed(&model, &batch, Mode::train(4)).0 != found.0, "{what}: nothing drops out");
        }
    }
}

#[test]
fn so_they_are_above_a_trunk() {
    let device = Device::flex().autodiff();
    let mode = Mode::train(3).without_frozen_dropout();
    for case in cases().iter().filter(|case| case.name.ends_with("sequence-classification")) {
        let (model, plan) = prepared(case, "last:1", &device).expect("a layer trains");
        let depth = trunk_depth(&plan, 0);
        let batch = case.batch(&device);
        let batch = batch.clone().with_trunk(model.trunk(&batch, depth));
        let (whole, found) = (kept(&model, &batch, mode), recomputed(&model, &batch, mode));
        let difference = worst(&case.name, [&whole, &found]);
        assert!(difference <= bound(&model, &batch), "{}: {difference}", case.name);
    }
}
