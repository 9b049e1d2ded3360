//! Five AdamW steps move parameters as PyTorch's do; frozen parameters do not move at all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::lr_scheduler::LrScheduler;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation};
use temper_freeze::{
    ClipFactor, FreezePlan, GradientSquares, OptimizerSettings, RateSchedule, TrainingProof,
};
use temper_models::weights::{Layout, Place};
use temper_models::{HeadRequest, Mode, Model, ModelConfig, PathTracker, TokenBatch};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert")
}

fn reference() -> HashMap<String, TensorData> {
    let bytes = std::fs::read(fixture().join("reference.safetensors")).expect("the fixture is committed");
    let parsed = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let data = |view: safetensors::tensor::TensorView<'_>| {
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::F64 => DType::F64,
            _ => DType::I64,
        };
        TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
    };
    parsed.tensors().into_iter().map(|(name, view)| (name, data(view))).collect()
}

fn numbers(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

fn batch(reference: &HashMap<String, TensorData>, rows: std::ops::Range<usize>) -> TokenBatch {
    let seq = reference["input_ids"].shape().as_slice()[1];
    let cut = |name: &str| -> Vec<u32> {
        let all: Vec<u32> = numbers(&reference[name]).into_iter().map(|id| id as u32).collect();
        all[rows.start * seq..rows.end * seq].to_vec()
    };
    let lengths: Vec<u32> = cut("attention_mask").chunks(seq).map(|row| row.iter().sum()).collect();
    TokenBatch::from_padded(&cut("input_ids"), &cut("token_type_ids"), &lengths, seq, &Device::flex())
}

/// The loss summed over some rows, divided by the rows of the whole batch.
fn loss(model: &Model, reference: &HashMap<String, TensorData>, rows: std::ops::Range<usize>) -> Tensor<1> {
    let logits = model.classify(&batch(reference, rows.clone()), Mode::train(0)).expect("a head");
    let labels: Vec<i32> = numbers(&reference["labels"]).into_iter().map(|label| label as i32).collect();
    let all = labels.len();
    let labels = labels[rows.clone()].to_vec();
    let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [rows.len(), 1]), &Device::flex());
    activation::log_softmax(logits, 1).gather(1, labels).sum().neg() / all as f64
}

fn load() -> Model {
    Model::load(&fixture(), &HeadRequest::FromConfig, &Device::flex().autodiff()).expect("loads").model
}

fn gradients(model: &Model, reference: &HashMap<String, TensorData>) -> GradientsParams {
    GradientsParams::from_grads(loss(model, reference, 0..4).backward(), model)
}

/// AdamW with a common norm of 1 at most.
struct Clipped {
    optimizer: ModuleOptimizer,
    clip: ClipFactor,
}

impl Clipped {
    fn new(plan: &FreezePlan) -> Self {
        let clip = ClipFactor::default();
        Self { optimizer: OptimizerSettings::default().init(plan, &clip), clip }
    }
}

fn step(
    optimizer: &mut Clipped,
    rate: f64,
    model: Model,
    gradients: GradientsParams,
) -> (Model, temper_freeze::GradientNorms) {
    let squares = GradientSquares::of(&model, &gradients);
    optimizer.clip.set(squares.clip_factor(1.0));
    (optimizer.optimizer.step(rate, model, gradients), squares.read())
}

struct After<'a> {
    path: PathTracker,
    reference: &'a HashMap<String, TensorData>,
    compared: usize,
}

impl ModuleVisitor for After<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.path();
        let (name, layout) = stored_name(&path);
        let tensor = param.val();
        let tensor = if layout == Layout::Transposed { tensor.swap_dims(0, 1) } else { tensor };
        let theirs = numbers(&self.reference[&format!("after.{name}")]);
        let ours = numbers(&tensor.into_data());
        let difference =
            ours.iter().zip(&theirs).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max);
        // The gradient of a key's bias is zero but for rounding, which Adam blows up.
        let tolerance = if path.ends_with("key.bias") { 3e-3 } else { 2e-6 };
        assert!(difference < tolerance, "{path}: {difference}");
        self.compared += 1;
    }
}

fn stored_name(path: &str) -> (String, Layout) {
    let config = ModelConfig::read(&fixture()).expect("a configuration");
    let Place { name, layout, .. } = config.stored_place(path).expect(path);
    (name, layout)
}

#[test]
fn five_steps_agree_with_pytorch() {
    let reference = reference();
    let mut model = load();
    let plan =
        FreezePlan::new(&"all".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan");
    let mut optimizer = Clipped::new(&plan);
    let mut schedule = RateSchedule::linear(1e-3, 2, 5);
    for number in 0..5 {
        let rate = schedule.step();
        assert!((rate - numbers(&reference["lrs"])[number]).abs() < 1e-12);
        let value: f64 = loss(&model, &reference, 0..4).into_data().iter::<f64>().sum();
        assert!((value - numbers(&reference["losses"])[number]).abs() < 1e-5, "loss of step {number}");
        let gradients = gradients(&model, &reference);
        let (updated, norms) = step(&mut optimizer, rate, model, gradients);
        let expected = numbers(&reference["grad_norm"])[number];
        assert!((f64::from(norms.total) - expected).abs() < 1e-4 * expected, "norm of step {number}");
        model = updated;
    }
    let mut after = After { path: PathTracker::default(), reference: &reference, compared: 0 };
    model.visit(&mut after);
    assert_eq!(after.compared, 41);
}

#[test]
fn accumulated_parts_equal_the_big_batch() {
    let reference = reference();
    let model = load();
    let big = GradientSquares::of(&model, &gradients(&model, &reference)).read();
    let mut accumulator = GradientsAccumulator::new();
    for rows in [0..1, 1..3, 3..4] {
        let part = loss(&model, &reference, rows).backward();
        accumulator.accumulate(&model, GradientsParams::from_grads(part, &model));
    }
    let small = GradientSquares::of(&model, &accumulator.grads()).read();
    assert_eq!(big.each.len(), small.each.len());
    for ((_, big), (_, small)) in big.each.iter().zip(&small.each) {
        assert!((big - small).abs() <= 1e-5 * big.max(1e-3), "{big} {small}");
    }
}

#[test]
fn the_proof_fails_when_it_should() {
    let reference = reference();
    let model = load();
    let all = FreezePlan::new(&"all".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan");
    let head =
        FreezePlan::new(&"head".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan");
    let proof_of = |trained: &FreezePlan, promised: &FreezePlan| {
        let model = trained.apply(load());
        let mut proof = TrainingProof::begin(&model);
        let gradients = gradients(&model, &reference);
        let (model, norms) = step(&mut Clipped::new(trained), 1e-3, model, gradients);
        proof.observe(&norms);
        proof.violations(&model, promised, 1)
    };
    let forgotten = proof_of(&head, &all);
    assert_eq!(forgotten.len(), 39);
    assert!(forgotten.iter().all(|violation| violation.what == "should train, but never had a gradient"));
    let leaked = proof_of(&all, &head);
    assert_eq!(leaked.len(), 39);
    assert!(leaked.iter().all(|violation| violation.what == "is frozen, but changed"));
}

#[test]
fn a_rate_of_zero_is_found_out_at_the_end_only() {
    let reference = reference();
    let model = load();
    let plan =
        FreezePlan::new(&"all".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan");
    let mut proof = TrainingProof::begin(&model);
    let gradients = gradients(&model, &reference);
    let (model, norms) = step(&mut Clipped::new(&plan), 0.0, model, gradients);
    proof.observe(&norms);
    assert!(proof.early_violations(&model, &plan, 1).is_empty());
    // All 41 but the key biases of two layers: their gradients are rounding noise, and may move nothing.
    let violations = proof.violations(&model, &plan, 1);
    assert_eq!(violations.len(), 39);
    assert!(violations.iter().all(|violation| !violation.path.ends_with("key.bias")));
}

#[test]
fn optimizer_state_finds_its_parameters_in_another_process() {
    let reference = reference();
    let plan = |model: &Model| {
        FreezePlan::new(&"all".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan")
    };
    let model = load();
    let mut optimizer = Clipped::new(&plan(&model));
    let first = gradients(&model, &reference);
    let (model, _) = step(&mut optimizer, 1e-3, model, first);
    let dir = tempfile::tempdir().expect("a folder");
    optimizer.optimizer.to_record().save(dir.path().join("optimizer.bpk")).expect("saved");

    // Another instance of the same model, as a resumed process would load it.
    let other = load();
    let record = burn::optim::OptimizerRecord::load(dir.path().join("optimizer.bpk")).expect("loaded");
    let mut resumed = Clipped::new(&plan(&other));
    resumed.optimizer = resumed.optimizer.load_record(record);
    let ids = |model: &Model| model.parameters().parameters.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&model), ids(&other));
    let second = gradients(&model, &reference);
    let again = gradients(&model, &reference);
    let (straight, _) = step(&mut optimizer, 1e-3, model.clone(), second);
    let (continued, _) = step(&mut resumed, 1e-3, model, again);
    assert_eq!(temper_freeze::ParameterHashes::of(&straight), temper_freeze::ParameterHashes::of(&continued));
}

#[test]
fn unfreezing_in_mid_run_equals_a_fresh_run_from_that_state() {
    let reference = reference();
    let gradual = |model: &Model| {
        FreezePlan::new(&"gradual:2".parse().expect("a strategy"), &model.parameters(), &[]).expect("a plan")
    };
    // The model has the groups head, layers.1, layers.0, embeddings.
    let train = |mut model: Model, optimizer: &mut Clipped, steps: std::ops::Range<usize>| {
        let plan = gradual(&model);
        for number in steps {
            model = plan.apply_at(model, number);
            let gradients = gradients(&model, &reference);
            assert_eq!(gradients.len(), plan.rows.iter().filter(|row| row.trains_in(number)).count());
            model = step(optimizer, 1e-3, model, gradients).0;
        }
        model
    };
    let model = load();
    let mut optimizer = Clipped::new(&gradual(&model));
    let begun = train(model, &mut optimizer, 0..3);
    let record = optimizer.optimizer.to_record();
    let straight = train(begun.clone(), &mut optimizer, 3..8);

    let dir = tempfile::tempdir().expect("a folder");
    begun.save(&ModelConfig::read(&fixture()).expect("a configuration"), dir.path()).expect("saved");
    let fresh =
        Model::load(dir.path(), &HeadRequest::FromConfig, &Device::flex().autodiff()).expect("loads").model;
    let mut resumed = Clipped::new(&gradual(&fresh));
    resumed.optimizer = resumed.optimizer.load_record(record);
    let resumed = train(fresh, &mut resumed, 3..8);
    assert_eq!(temper_freeze::ParameterHashes::of(&straight), temper_freeze::ParameterHashes::of(&resumed));
    assert_ne!(temper_freeze::ParameterHashes::of(&straight), temper_freeze::ParameterHashes::of(&begun));
}

#[test]
fn a_rate_of_half_moves_half_as_far() {
    let reference = reference();
    let moved = |decay: f64| -> Vec<f64> {
        let model = load();
        let plan = FreezePlan::new(&"all".parse().expect("a strategy"), &model.parameters(), &[])
            .and_then(|plan| plan.with_layer_decay(decay))
            .expect("a plan");
        // Without weight decay an AdamW step is proportional to the rate.
        let mut optimizer = Clipped::new(&plan);
        optimizer.optimizer = OptimizerSettings { weight_decay: 0.0, ..OptimizerSettings::default() }
            .init(&plan, &optimizer.clip);
        let before = Values::of(&model);
        let gradients = gradients(&model, &reference);
        let after = Values::of(&step(&mut optimizer, 1e-2, model, gradients).0);
        let distance = |(before, after): (&Vec<f64>, &Vec<f64>)| -> f64 {
            before.iter().zip(after).map(|(before, after)| (after - before).abs()).sum()
        };
        before.0.iter().zip(&after.0).map(distance).collect()
    };
    let table = load().parameters();
    let layers = 2;
    for ((whole, part), parameter) in moved(1.0).iter().zip(moved(0.5)).zip(&table.parameters) {
        let below = match parameter.path.strip_prefix("layers.") {
            Some(rest) => layers - rest[..1].parse::<i32>().expect("a layer"),
            None if parameter.path.contains("embedding") => layers + 1,
            None => 0,
        };
        let ratio = part / whole;
        assert!((ratio - 0.5_f64.powi(below)).abs() < 1e-3, "{}: {ratio}", parameter.path);
    }
}

/// The values of every parameter, in the model's order.
struct Values(Vec<Vec<f64>>);

impl Values {
    fn of(model: &Model) -> Self {
        let mut values = Self(Vec::new());
        model.visit(&mut values);
        values
    }
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(numbers(&param.val().into_data()));
    }
}

#[test]
fn layer_1_is_not_layer_10() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(fixture().join("config.json")).expect("a configuration");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["num_hidden_layers"] = 11.into();
    std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
    let config = ModelConfig::read(dir.path()).expect("a configuration");
    let reference = reference();
    for strategy in ["layers:1", "pattern:layers\\.1\\..*", r#"{"group":[{"pattern":"layers\\.1\\..*"}]}"#] {
        let model = Model::random(&config, 7, &Device::flex().autodiff()).expect("a model");
        let plan = FreezePlan::new(&strategy.parse().expect("a strategy"), &model.parameters(), &[]);
        let plan = plan.expect("a plan");
        let model = plan.apply(model);
        let before = Values::of(&model);
        let gradients = gradients(&model, &reference);
        let after = Values::of(&step(&mut Clipped::new(&plan), 1e-3, model, gradients).0);
        for ((before, after), row) in before.0.iter().zip(&after.0).zip(&plan.rows) {
            let picked = row.path.starts_with("layers.1.");
            let head = strategy == "layers:1" && row.path.starts_with("head.");
            assert_eq!(before != after, picked || head, "{strategy}: {}", row.path);
        }
    }
}
