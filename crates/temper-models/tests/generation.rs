//! Generated text is transformers', token for token: `generation.json` of the zoo's fixtures.

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Map, Value};
use temper_models::{GenerateSettings, HeadRequest, Hooks, Loaded, Model, ModelConfig, generate};

/// A case that transformers has generated text for.
struct Case {
    name: String,
    dir: PathBuf,
    loaded: Loaded,
}

impl Case {
    fn all(file: &str) -> Vec<Self> {
        let mut dirs: Vec<PathBuf> = std::fs::read_dir(common::fixture("zoo"))
            .expect("the fixtures are committed")
            .map(|entry| entry.expect("readable").path())
            .filter(|dir| dir.join(file).is_file())
            .collect();
        dirs.sort();
        assert!(!dirs.is_empty(), "no case has {file}");
        dirs.into_iter().map(Self::load).collect()
    }

    fn load(dir: PathBuf) -> Self {
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        let loaded = Model::load(&dir, &HeadRequest::FromConfig, &Device::flex());
        Self { loaded: loaded.unwrap_or_else(|error| panic!("{name}: {error}")), name, dir }
    }

    fn records(&self, file: &str) -> Vec<Record> {
        let text = std::fs::read_to_string(self.dir.join(file)).expect("the fixture is committed");
        let records: Vec<Map<String, Value>> = serde_json::from_str(&text).expect("records");
        records.iter().map(|record| Record::of(record, &self.dir, &self.loaded.config)).collect()
    }

    fn run(&self, prompts: &[Vec<u32>], settings: &GenerateSettings) -> Vec<Vec<u32>> {
        generate(&self.loaded.model, &self.loaded.config, prompts, settings, Hooks::default())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// What transformers wrote under some settings.
struct Record {
    settings: GenerateSettings,
    shown: String,
    prompts: Vec<Vec<u32>>,
    outputs: Vec<Vec<u32>>,
}

impl Record {
    fn of(record: &Map<String, Value>, dir: &Path, config: &ModelConfig) -> Self {
        let ids = |key: &str| serde_json::from_value(record[key].clone()).expect("lists of ids");
        Self {
            settings: settings_over(dir, &record["settings"], config),
            shown: record["settings"].to_string(),
            prompts: ids("prompts"),
            outputs: ids("outputs"),
        }
    }
}

/// The model's own settings, with some replaced.
fn settings_over(dir: &Path, given: &Value, config: &ModelConfig) -> GenerateSettings {
    let text = std::fs::read_to_string(dir.join("generation_config.json")).expect("committed");
    let mut all: Map<String, Value> = serde_json::from_str(&text).expect("an object");
    all.extend(given.as_object().expect("an object").clone());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("generation_config.json"), Value::Object(all).to_string())
        .expect("written");
    GenerateSettings::of_model(folder.path(), config).expect("settings")
}

fn check_records(file: &str) {
    for case in Case::all(file) {
        for Record { settings, shown, prompts, outputs } in case.records(file) {
            let place = format!("{} with {shown}", case.name);
            assert_eq!(case.run(&prompts, &settings), outputs, "{place}, together");
            let halves = GenerateSettings { batch_size: 3, ..settings.clone() };
            assert_eq!(case.run(&prompts, &halves), outputs, "{place}, three at a time");
            for (prompt, output) in prompts.iter().zip(&outputs) {
                let alone = case.run(std::slice::from_ref(prompt), &settings);
                assert_eq!(&alone[0], output, "{place}, alone: {prompt:?}");
            }
            let rereading = GenerateSettings { use_cache: false, ..settings };
            assert_eq!(case.run(&prompts, &rereading), outputs, "{place}, without a cache");
        }
        eprintln!("{}: as transformers", case.name);
    }
}

#[test]
fn generated_text_is_transformers() {
    check_records("generation.json");
}

#[test]
fn sampling_repeats_with_its_seed_alone_or_beside_others() {
    for case in Case::all("generation.json") {
        let record = &case.records("generation.json")[0];
        let prompts = [record.prompts.clone(), record.prompts[..1].to_vec()].concat();
        let settings = GenerateSettings {
            do_sample: true,
            max_new_tokens: Some(12),
            top_k: 0,
            temperature: 2.0,
            seed: 7,
            ..record.settings.clone()
        };
        let drawn = case.run(&prompts, &settings);
        assert_eq!(drawn, case.run(&prompts, &settings), "{}", case.name);
        for (prompt, text) in record.prompts.iter().zip(&drawn) {
            let alone = case.run(std::slice::from_ref(prompt), &settings);
            assert_eq!(&alone[0], text, "{} alone", case.name);
        }
        // The same prompt a second time, and another seed, give other draws.
        assert_ne!(drawn[0], drawn[prompts.len() - 1], "{}", case.name);
        assert_ne!(drawn, case.run(&prompts, &GenerateSettings { seed: 8, ..settings.clone() }));
        // With one token to draw from, nothing is left to chance.
        let best = case.run(&prompts, &GenerateSettings { top_k: 1, ..settings.clone() });
        assert_eq!(best, case.run(&prompts, &GenerateSettings { do_sample: false, ..settings }));
    }
}

#[test]
fn tokens_are_shown_in_order_and_a_caller_can_stop() {
    for case in Case::all("generation.json") {
        for record in case.records("generation.json") {
            let mut shown = vec![Vec::new(); record.prompts.len()];
            let mut show = |prompt: usize, token: u32| shown[prompt].push(token);
            let hooks = Hooks { on_token: Some(&mut show), stop: None };
            let (model, config) = (&case.loaded.model, &case.loaded.config);
            let outputs = generate(model, config, &record.prompts, &record.settings, hooks).expect("text");
            assert_eq!(shown, outputs, "{}", case.name);
            let stop: &dyn Fn(&[u32]) -> bool = &|new: &[u32]| new.len() == 2;
            let hooks = Hooks { on_token: None, stop: Some(stop) };
            let outputs = generate(model, config, &record.prompts, &record.settings, hooks).expect("text");
            assert!(outputs.iter().all(|new| new.len() <= 2), "{}: {outputs:?}", case.name);
        }
    }
}

#[test]
fn a_model_in_training_writes_the_same() {
    for case in Case::all("generation.json") {
        let record = &case.records("generation.json")[0];
        let device = Device::flex().autodiff();
        let loaded = Model::load(&case.dir, &HeadRequest::FromConfig, &device).expect("the fixture");
        let training = Case { loaded, ..case };
        assert_eq!(training.run(&record.prompts, &record.settings), record.outputs, "{}", training.name);
    }
}
