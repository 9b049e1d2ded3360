//! Adapters compute what PEFT computes, train as PEFT's do, and go to PEFT and back.

#[path = "../../temper-models/tests/common/zoo.rs"]
mod zoo;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::lr_scheduler::LrScheduler;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use temper_freeze::lora::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, LoraSettings, PeftAdapter, PeftRequest, attach, load_own, load_peft,
    merge, save_own, save_peft, unmerge,
};
use temper_freeze::{
    ClipFactor, FreezePlan, GradientSquares, OptimizerSettings, ParameterHashes, RateSchedule, Strategy,
    TrainingProof,
};
use temper_models::weights::{StoredTensor, write_tensors};
use temper_models::{Mode, Model, is_adapter};
use zoo::{Case, case, cases, gradients_of, host, largest, parameters_of, size};

/// Of f32 sums in another order, relative to the largest value of a tensor.
const ROUNDING: f64 = 1e-5;

/// An adapter that PEFT wrote, on a model of the zoo.
struct Adapted {
    name: String,
    dir: PathBuf,
    base: Case,
    reference: HashMap<String, TensorData>,
}

fn adapted() -> Vec<Adapted> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lora");
    let folders = std::fs::read_dir(root).expect("the fixtures are committed");
    let mut dirs: Vec<PathBuf> = folders.map(|entry| entry.expect("a folder").path()).collect();
    dirs.sort();
    dirs.into_iter().map(Adapted::read).collect()
}

fn tensors(file: &Path) -> HashMap<String, TensorData> {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let data = |view: TensorView<'_>| {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            other => panic!("{other:?}"),
        };
        TensorData::from_bytes_vec(view.data().to_vec(), view.shape().to_vec(), dtype)
    };
    parsed.tensors().into_iter().map(|(name, view)| (name, data(view))).collect()
}

impl Adapted {
    fn read(dir: PathBuf) -> Self {
        let base = std::fs::read_to_string(dir.join("base.txt")).expect("a name");
        Self {
            name: dir.file_name().expect("a name").to_string_lossy().into_owned(),
            base: case(base.trim()),
            reference: tensors(&dir.join("reference.safetensors")),
            dir,
        }
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.reference[name].iter::<f64>().collect()
    }

    fn load(&self, device: &Device) -> Model {
        self.load_from(&self.dir, device)
    }

    fn load_from(&self, dir: &Path, device: &Device) -> Model {
        let adapter = PeftAdapter::open(dir).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let loaded = load_peft(self.base.load(device), &self.base.config, &adapter);
        let loaded = loaded.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let replaced = loaded.replaced;
        assert!(
            !replaced.is_empty() && replaced.iter().all(|path| path.starts_with("head.")),
            "{replaced:?}"
        );
        assert!(loaded.fields.is_empty(), "{:?}", loaded.fields);
        loaded.model
    }

    /// Tensors of the reference by our paths: read as an adapter.
    fn parameters(&self, prefix: &str) -> HashMap<String, Vec<f64>> {
        let dir = tempfile::tempdir().expect("a folder");
        let named = self.reference.iter().filter_map(|(name, data)| Some((name.strip_prefix(prefix)?, data)));
        let stored = named.map(|(name, data)| {
            let values: Vec<f32> = data.iter::<f32>().collect();
            (name.to_owned(), StoredTensor::new(data.shape().as_slice().to_vec(), values))
        });
        write_tensors(&stored.collect(), &dir.path().join(ADAPTER_WEIGHTS)).expect("written");
        std::fs::copy(self.dir.join(ADAPTER_CONFIG), dir.path().join(ADAPTER_CONFIG)).expect("copied");
        let mut found = parameters_of(&self.load_from(dir.path(), &Device::flex()));
        found.retain(|path, _| is_adapter(path) || path.starts_with("head."));
        found
    }
}

fn logits(model: &Model, case: &Case) -> Vec<f64> {
    host(model.logits(&case.batch(&Device::flex()), Mode::Evaluate).expect("a head"))
}

fn lora_plan(model: &Model) -> FreezePlan {
    FreezePlan::new(&Strategy::Lora, &model.parameters(), &[]).expect("a plan")
}

/// Paths whose A PEFT shares with others: those of fused maps.
fn fused(model: &Model, case: &Case) -> BTreeMap<String, String> {
    let parameters = model.parameters().parameters.into_iter();
    let maps = parameters.filter_map(|parameter| Some(parameter.path.strip_suffix(".adapter.a")?.to_owned()));
    let named = maps.filter_map(|path| {
        let place = case.config.stored_place(&format!("{path}.weight"))?;
        (place.paths.len() > 1).then_some((path, place.name))
    });
    named.collect()
}

#[test]
fn logits_and_loss_are_those_of_peft() {
    for adapted in adapted() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let model = adapted.load(&device);
            let theirs = adapted.values("logits");
            let difference = largest(&logits(&model, &adapted.base), &theirs) / size(&theirs).max(1.0);
            assert!(difference < ROUNDING, "{}: logits {difference}", adapted.name);
            let merged = logits(&merge(model.clone()), &adapted.base);
            let difference = largest(&merged, &theirs) / size(&theirs).max(1.0);
            assert!(difference < ROUNDING, "{}: merged {difference}", adapted.name);
            println!("{:<20} logits, merged {difference:.1e}", adapted.name);
        }
        let base = logits(&adapted.base.load(&Device::flex()), &adapted.base);
        assert!(largest(&base, &adapted.values("logits")) > 1e-2, "{}: an idle adapter", adapted.name);
    }
}

#[test]
fn gradients_are_those_of_peft_and_the_base_has_none() {
    for adapted in adapted() {
        let model = adapted.load(&Device::flex().autodiff());
        let plan = lora_plan(&model);
        let model = plan.apply(model);
        let loss = adapted.base.loss(&model, Mode::train(0));
        let difference = largest(&host(loss.clone()), &adapted.values("loss"));
        assert!(difference < ROUNDING, "{}: loss {difference}", adapted.name);
        let ours = gradients_of(&model, &loss.backward());
        let mut theirs = adapted.parameters("grad.");
        assert_eq!(ours.len(), theirs.len(), "{}: only adapters and head have gradients", adapted.name);
        // PEFT's one A of a fused map has the sum of the gradients of ours.
        let mut sums: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for (path, module) in fused(&model, &adapted.base) {
            let path = format!("{path}.adapter.a");
            let theirs = theirs.remove(&path).expect("every part has PEFT's A");
            let (sum, _) = sums.entry(module).or_insert((vec![0.0; theirs.len()], theirs));
            sum.iter_mut().zip(&ours[&path]).for_each(|(sum, value)| *sum += value);
        }
        let pairs = sums.iter().map(|(name, (ours, theirs))| (name, ours, theirs));
        let single = theirs.iter().map(|(path, theirs)| (path, &ours[path], theirs));
        let mut worst: f64 = 0.0;
        for (name, ours, theirs) in pairs.chain(single) {
            let difference = largest(ours, theirs) / size(theirs).max(1e-2);
            assert!(difference < 10.0 * ROUNDING, "{}: {name}: {difference}", adapted.name);
            worst = worst.max(difference);
        }
        println!("{:<20} gradients {worst:.1e}", adapted.name);
    }
}

#[test]
fn three_steps_are_those_of_peft() {
    let mut compared = 0;
    for adapted in adapted() {
        let mut model = adapted.load(&Device::flex().autodiff());
        // Steps of a fused map's three A are not those of one.
        if !fused(&model, &adapted.base).is_empty() {
            continue;
        }
        let plan = lora_plan(&model);
        model = plan.apply(model);
        let before = ParameterHashes::of(&adapted.base.load(&Device::flex()).backbone);
        let clip = ClipFactor::default();
        let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
        let mut schedule = RateSchedule::linear(1e-3, 1, 3);
        let [losses, norms] = ["losses", "grad_norm"].map(|name| adapted.values(name));
        for step in 0..3 {
            let loss = adapted.base.loss(&model, Mode::train(step as u64));
            let difference = (host(loss.clone())[0] - losses[step]).abs();
            assert!(difference < ROUNDING, "{}: loss of step {step}: {difference}", adapted.name);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            let squares = GradientSquares::of(&model, &gradients);
            clip.set(squares.clip_factor(1.0));
            let found = squares.read();
            assert!((f64::from(found.total) - norms[step]).abs() < 1e-4 * norms[step], "{}", adapted.name);
            model = optimizer.step(schedule.step(), model, gradients);
        }
        let ours = parameters_of(&model);
        for (path, theirs) in adapted.parameters("after.") {
            let difference = largest(&ours[&path], &theirs);
            assert!(difference < 5e-6, "{}: {path}: {difference}", adapted.name);
        }
        // Without its adapters the model is the base again, bit for bit.
        model.each_linear(&mut |_, linear| linear.adapter = None);
        assert_eq!(ParameterHashes::of(&model.backbone), before, "{}", adapted.name);
        compared += 1;
    }
    assert!(compared >= 4, "{compared} cases without fused maps");
}

#[test]
fn peft_layout_goes_round() {
    for adapted in adapted() {
        let model = adapted.load(&Device::flex());
        let read = |dir: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(dir.join(ADAPTER_CONFIG)).expect("a file")).expect("JSON")
        };
        let theirs = read(&adapted.dir);
        let settings = LoraSettings {
            r: theirs["r"].as_u64().expect("a rank") as usize,
            lora_alpha: theirs["lora_alpha"].as_f64().expect("an alpha"),
            ..LoraSettings::default()
        };
        let head: Vec<String> = model.parameters().parameters.into_iter().map(|row| row.path).collect();
        let head: Vec<String> = head.into_iter().filter(|path| path.starts_with("head.")).collect();
        let request = PeftRequest { settings: &settings, base_model: "base", trained: &head };
        let dir = tempfile::tempdir().expect("a folder");
        save_peft(&model, &adapted.base.config, &request, dir.path()).expect("saved");
        let [before, after] =
            [&adapted.dir, dir.path()].map(|dir: &Path| tensors(&dir.join(ADAPTER_WEIGHTS)));
        let names = |tensors: &HashMap<String, TensorData>| {
            let mut names: Vec<String> = tensors.keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(names(&after), names(&before), "{}", adapted.name);
        for (name, data) in &before {
            assert_eq!(&after[name], data, "{}: {name}", adapted.name);
        }
        let ours = read(dir.path());
        for field in ["peft_type", "task_type", "r", "lora_alpha", "bias", "fan_in_fan_out"] {
            assert_eq!(ours[field], theirs[field], "{}: {field}", adapted.name);
        }
        let again = adapted.load_from(dir.path(), &Device::flex());
        assert_eq!(logits(&again, &adapted.base), logits(&model, &adapted.base), "{}", adapted.name);
    }
}

#[test]
fn adapters_side_by_side_are_one_adapter_of_a_fused_map() {
    for (name, targets) in [
        ("gpt2-sequence-classification", vec!["query", "value"]),
        ("bloom-sequence-classification", vec!["query", "key", "value", "ffn.outer"]),
        ("falcon-40b-sequence-classification", vec!["key", "query"]),
    ] {
        let case = case(name);
        let target_modules = targets.into_iter().map(str::to_owned).collect();
        let settings = LoraSettings { r: 2, lora_alpha: 6.0, target_modules, ..LoraSettings::default() };
        let model = trained(&case, &settings, 2);
        let request = PeftRequest { settings: &settings, base_model: "base", trained: &[] };
        let dir = tempfile::tempdir().expect("a folder");
        save_peft(&model, &case.config, &request, dir.path()).expect("saved");
        let adapter = PeftAdapter::open(dir.path()).expect("opened");
        let mut base = model.clone();
        base.each_linear(&mut |_, linear| linear.adapter = None);
        let again = load_peft(base.clone(), &case.config, &adapter).expect("loaded").model;
        let (before, after) = (logits(&model, &case), logits(&again, &case));
        assert!(largest(&before, &logits(&base, &case)) > 1e-4, "{name}: the adapters do something");
        let difference = largest(&before, &after) / size(&before).max(1.0);
        assert!(difference < ROUNDING, "{name}: {difference}");
    }
}

/// A model whose adapters and head took some steps.
fn trained(case: &Case, settings: &LoraSettings, steps: usize) -> Model {
    let model = attach(case.load(&Device::flex().autodiff()), settings, &[], 7).expect("attached");
    let plan = lora_plan(&model);
    let mut model = plan.apply(model);
    let clip = ClipFactor::default();
    let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
    for step in 0..steps {
        let loss = case.loss(&model, Mode::train(step as u64));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, gradients);
    }
    model
}

fn all_linear() -> LoraSettings {
    LoraSettings { r: 2, target_modules: vec!["all-linear".into()], ..LoraSettings::default() }
}

#[test]
fn the_base_stays_bit_identical_in_every_family() {
    for case in cases() {
        let model = attach(case.load(&Device::flex().autodiff()), &all_linear(), &[], 7).expect("attached");
        let plan = lora_plan(&model);
        let mut model = plan.apply(model);
        let mut proof = TrainingProof::begin(&model);
        let clip = ClipFactor::default();
        let mut optimizer = OptimizerSettings::default().init(&plan, &clip);
        for step in 0..3 {
            let loss = case.loss(&model, Mode::train(step));
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            assert_eq!(
                gradients.len(),
                plan.rows.iter().filter(|row| row.trains).count(),
                "{}: no gradient of a frozen weight is computed",
                case.name
            );
            proof.observe(&GradientSquares::of(&model, &gradients).read());
            model = optimizer.step(1e-2, model, gradients);
            // After the first step, too, nothing else has moved; A waits for B.
            let leaked = proof.early_violations(&model, &plan, step as usize + 1);
            assert!(leaked.iter().all(|violation| violation.what.starts_with("should")), "{leaked:?}");
        }
        let violations = proof.violations(&model, &plan, 3);
        assert!(violations.is_empty(), "{}: {violations:?}", case.name);
    }
}

#[test]
fn merging_and_unmerging_restores_the_model() {
    for case in cases() {
        let adapted = trained(&case, &all_linear(), 2).valid();
        let expected = logits(&adapted, &case);
        let close = |model: &Model, what: &str| {
            let difference = largest(&logits(model, &case), &expected) / size(&expected).max(1.0);
            assert!(difference < ROUNDING, "{}: {what}: {difference}", case.name);
        };
        let merged = merge(adapted.clone());
        assert!(!merged.has_adapters());
        close(&merged, "merged");
        // The merged model gets its adapters back, which would count twice.
        let file = tempfile::tempdir().expect("a folder");
        let path = file.path().join("adapter.safetensors");
        save_own(&adapted, &path).expect("saved");
        let again = unmerge(load_own(merged, &all_linear(), &path).expect("loaded"));
        close(&again, "unmerged");
        let difference = parameters_of(&again)
            .into_iter()
            .map(|(path, values)| largest(&values, &parameters_of(&adapted)[&path]))
            .fold(0.0, f64::max);
        assert!(difference < 1e-6, "{}: weights {difference}", case.name);
    }
}

#[test]
fn attached_adapters_change_nothing_and_follow_the_seed() {
    let case = case("bert-sequence-classification");
    let attached = |settings: &LoraSettings, new: &[String], seed| {
        attach(case.load(&Device::flex()), settings, new, seed).expect("attached")
    };
    let settings = LoraSettings::default();
    let model = attached(&settings, &[], 1);
    assert_eq!(logits(&model, &case), logits(&case.load(&Device::flex()), &case));
    let adapters = |model: &Model| {
        let mut found = parameters_of(model);
        found.retain(|path, _| is_adapter(path));
        found
    };
    let first = adapters(&model);
    // Two layers, query and value, A and B.
    assert_eq!(first.len(), 8);
    assert_eq!(adapters(&attached(&settings, &[], 1)), first);
    assert_ne!(adapters(&attached(&settings, &[], 2)), first);
    assert_eq!(adapters(&attached(&all_linear(), &[], 1)).len(), 2 * (2 * 6 + 1));
    let without_pooler = attached(&all_linear(), &["pooler.weight".into()], 1);
    assert_eq!(adapters(&without_pooler).len(), 2 * 2 * 6);
    // kaiming_uniform_ with a = √5: within 1 / √in, here 1/4, and not much less.
    let a = &first["layers.0.attention.query.adapter.a"];
    assert!(a.iter().all(|value| value.abs() <= 0.25) && size(a) > 0.2, "{a:?}");
    assert_ne!(a, &first["layers.1.attention.query.adapter.a"]);
    assert!(first["layers.0.attention.query.adapter.b"].iter().all(|&value| value == 0.0));
}

#[test]
fn own_files_keep_adapters_exactly() {
    let case = case("gpt2-sequence-classification");
    let settings = all_linear();
    let model = trained(&case, &settings, 2);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("adapter.safetensors");
    save_own(&model, &file).expect("saved");
    let mut base = model.clone();
    base.each_linear(&mut |_, linear| linear.adapter = None);
    let again = load_own(base.clone(), &settings, &file).expect("loaded");
    assert_eq!(ParameterHashes::of(&again), ParameterHashes::of(&model));
    let ids = |model: &Model| model.parameters().parameters.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&model));
    let error = load_own(base, &LoraSettings { r: 3, ..settings }, &file).expect_err("another rank");
    assert!(error.to_string().contains("layers.0.attention.query.adapter.a"), "{error}");
}

#[test]
fn the_dropout_of_an_adapter_follows_the_mode() {
    let case = case("bert-sequence-classification");
    let settings = LoraSettings { lora_dropout: 0.5, ..all_linear() };
    let model = trained(&case, &settings, 2);
    let batch = case.batch(&Device::flex());
    let with = |mode| host(model.logits(&batch, mode).expect("a head"));
    assert_eq!(with(Mode::Evaluate), with(Mode::Evaluate));
    assert_eq!(with(Mode::train(1)), with(Mode::train(1)));
    assert_ne!(with(Mode::train(1)), with(Mode::train(2)), "the base has no dropout, the adapters have");
    assert_ne!(with(Mode::train(1)), with(Mode::Evaluate));
    let plain = LoraSettings { lora_dropout: 0.0, ..settings };
    let model = trained(&case, &plain, 2);
    let logits = |mode| host(model.logits(&batch, mode).expect("a head"));
    assert_eq!(logits(Mode::train(1)), logits(Mode::Evaluate));
}

#[test]
fn adapters_of_another_model_are_refused() {
    let adapted = adapted();
    let bert = adapted.iter().find(|adapted| adapted.name == "bert").expect("a case");
    let gpt2 = case("gpt2-sequence-classification");
    let adapter = PeftAdapter::open(&bert.dir).expect("opened");
    let error = load_peft(gpt2.load(&Device::flex()), &gpt2.config, &adapter).expect_err("refused");
    assert!(error.to_string().contains("bert.encoder.layer.0.attention.self.query"), "{error}");
    let plain = gpt2.load(&Device::flex()).parameters();
    assert!(FreezePlan::new(&Strategy::Lora, &plain, &[]).is_err(), "a plan without adapters");
}
