//! Products in bfloat16, in every family and head: as near to f32 as PyTorch's autocast, not the f32 values, with
//! f32 parameters, gradients, states and logits.

#[path = "common/zoo.rs"]
mod zoo;

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use serde_json::Value;
use temper_models::layers::{LowRank, LowRankConfig};
use temper_models::{Backbone, Cache, HeadKind, Mode, Model, Precision, Rows, TokenBatch};
use zoo::{Case, case, cases, gradients_of, host};

/// Of hidden states, relative to the size of the reference.
const FORWARD: f64 = 8.0 / 256.0;
/// Of an error relative to that of PyTorch's autocast: roundings fall otherwise where sums have another order.
const TIMES: f64 = 4.0;
/// What f32 stays below, and bfloat16 must not.
const ROUNDED: f64 = 1e-4;

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// The norm of a difference relative to that of the reference.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    norm(ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs)) / norm(theirs.iter().copied())
}

/// The error of PyTorch's autocast on a model of the zoo: of `logits` or of all `gradients` together.
fn autocast(case: &Case, what: &str) -> f64 {
    let table: Value = serde_json::from_str(include_str!("fixtures/autocast.json")).expect("JSON");
    table[&case.name][what].as_f64().unwrap_or_else(|| panic!("{} is not in autocast.json", case.name))
}

fn load(case: &Case, device: &Device) -> Model {
    case.load(device).with_precision(Precision::Bf16)
}

#[test]
fn states_and_logits_are_near_the_reference_and_f32() {
    for case in cases() {
        let device = Device::flex();
        let (model, batch) = (load(&case, &device), case.batch(&device));
        let last = model.backbone.forward(&batch, Rows::All, Mode::Evaluate);
        assert_eq!(last.dtype(), DType::F32, "{}", case.name);
        for state in model.backbone.hidden_states(&batch, Mode::Evaluate) {
            assert_eq!(state.dtype(), DType::F32, "{}", case.name);
        }
        let hidden = relative(&host(last), &case.packed("last_hidden_state"));
        let logits = model.logits(&batch, Mode::Evaluate).expect("a head");
        assert_eq!(logits.dtype(), DType::F32, "{}", case.name);
        let exact = case.load(&device).logits(&batch, Mode::Evaluate).expect("a head");
        let logits = relative(&host(logits), &host(exact));
        let theirs = autocast(&case, "logits");
        println!("{:<45} hidden {hidden:.1e} logits {logits:.1e}, of autocast {theirs:.1e}", case.name);
        assert!(hidden > ROUNDED && hidden < FORWARD, "{}: {hidden:e}", case.name);
        assert!(logits > ROUNDED && logits < TIMES * theirs, "{}: {logits:e} {theirs:e}", case.name);
        if let HeadKind::Pretraining(_) = case.kind() {
            let [tokens, sentences] = model.pretrain(&batch, Mode::Evaluate).expect("a head");
            assert_eq!([tokens.dtype(), sentences.dtype()], [DType::F32; 2]);
        }
    }
}

/// Types of all parameters and of their gradients.
struct Types<'a> {
    gradients: &'a Gradients,
    found: Vec<DType>,
}

impl ModuleVisitor for Types<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push(param.val().dtype());
        self.found.extend(param.val().grad(self.gradients).map(|gradient| gradient.dtype()));
    }
}

#[test]
fn gradients_are_near_the_reference_and_f32() {
    for case in cases() {
        let model = load(&case, &Device::flex().autodiff());
        let gradients = case.loss(&model, Mode::train(0)).backward();
        let mut types = Types { gradients: &gradients, found: Vec::new() };
        model.visit(&mut types);
        assert!(types.found.iter().all(|dtype| *dtype == DType::F32), "{}: {:?}", case.name, types.found);
        let ours = gradients_of(&model, &gradients);
        let theirs: HashMap<String, Vec<f64>> = case.parameters("grad.");
        let pairs = theirs.iter().filter(|(_, theirs)| !theirs.iter().any(|value| value.is_nan()));
        let (ours, theirs): (Vec<_>, Vec<_>) =
            pairs.map(|(path, theirs)| (ours[path].clone(), theirs.clone())).unzip();
        let difference = relative(&ours.concat(), &theirs.concat());
        let of_autocast = autocast(&case, "gradients");
        println!("{:<45} gradients {difference:.1e}, of autocast {of_autocast:.1e}", case.name);
        let is_near = difference > ROUNDED && difference < TIMES * of_autocast;
        assert!(is_near, "{}: {difference:e} {of_autocast:e}", case.name);
    }
}

#[test]
fn a_cache_continues_what_was_read() {
    let device = Device::flex();
    for name in ["gpt2-causal-lm", "llama2-gqa-causal-lm", "falcon-7b-causal-lm", "bloom-causal-lm"] {
        let model = load(&case(name), &device);
        let ids = [3, 9, 4, 7, 5, 2, 8];
        let whole = TokenBatch::new(&ids, &[0; 7], &[4, 3], &device);
        let whole = model.backbone.forward(&whole, Rows::Last, Mode::Evaluate);
        let mut cache = Cache::new(2);
        let (first, second) = ([3, 9, 5, 2], [4, 7, 8]);
        let read = TokenBatch::following(&first, &[2, 2], cache.lengths(), &device);
        model.backbone.forward_cached(&read, Rows::Last, &mut cache);
        let read = TokenBatch::following(&second, &[2, 1], cache.lengths(), &device);
        let continued = model.backbone.forward_cached(&read, Rows::Last, &mut cache);
        let difference = relative(&host(continued), &host(whole));
        assert!(difference < FORWARD, "{name}: {difference:e}");
    }
}

#[test]
fn an_adapter_computes_in_the_precision_of_its_map() {
    let (case, device) = (case("bert-sequence-classification"), Device::flex().autodiff());
    let mut model = load(&case, &device);
    let config = LowRankConfig { rank: 2, scale: 2.0, dropout: 0.1 };
    model.each_linear(&mut |path, linear| {
        let mut adapter = LowRank::draw(path, linear.sizes(), config, 7, &device);
        // B is zero at first, so that the path would add nothing.
        adapter.b = adapter.b.map(|b| b.add_scalar(0.05).detach().require_grad());
        linear.adapter = Some(adapter);
    });
    let logits = |model: &Model| host(model.logits(&case.batch(&device), Mode::Evaluate).expect("a head"));
    let difference = relative(&logits(&model), &logits(&model.clone().with_precision(Precision::F32)));
    assert!(difference > ROUNDED && difference < FORWARD, "{difference:e}");
    let gradients = case.loss(&model, Mode::train(3)).backward();
    let mut types = Types { gradients: &gradients, found: Vec::new() };
    model.visit(&mut types);
    assert!(types.found.iter().all(|dtype| *dtype == DType::F32), "{:?}", types.found);
    assert!(gradients_of(&model, &gradients).keys().any(|path| path.ends_with("adapter.a")));
}

#[test]
fn a_model_tells_its_precision_and_can_go_back() {
    let (case, device) = (case("gpt2-causal-lm"), Device::flex());
    let model = case.load(&device);
    assert_eq!(model.precision(), Precision::F32);
    let rounded = model.clone().with_precision(Precision::Bf16);
    assert_eq!(rounded.precision(), Precision::Bf16);
    let logits = |model: &Model| host(model.logits(&case.batch(&device), Mode::Evaluate).expect("a head"));
    assert_ne!(logits(&model), logits(&rounded));
    assert_eq!(logits(&model), logits(&rounded.with_precision(Precision::F32)));
    assert_eq!(logits(&model), logits(&model.clone().with_precision(Precision::Tf32)), "the CPU has none");
}
