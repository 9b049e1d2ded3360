//! Adapters that PEFT wrote: its result, or a refusal that names what is in the way.

#[path = "../../temper-models/tests/common/zoo.rs"]
mod zoo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};
use temper_freeze::FreezeError;
use temper_freeze::lora::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapted, PeftAdapter, load_peft, merge, unmerge};
use temper_models::{AnyBackbone, HeadRequest, Mode, Model};
use zoo::{Case, case, host, largest, parameters_of, size};

/// Of f32 sums in another order, relative to the largest logit.
const ROUNDING: f64 = 1e-5;
const QUERY: &str = "base_model.model.bert.encoder.layer.1.attention.self.query";

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn base_of(dir: &Path) -> Case {
    case(std::fs::read_to_string(dir.join("base.txt")).expect("a name").trim())
}

fn load(base: &Case, dir: &Path) -> Result<Adapted<AnyBackbone>, FreezeError> {
    load_peft(base.load(&Device::flex()), &base.config, &PeftAdapter::open(dir)?)
}

fn logits(model: &Model, case: &Case) -> Vec<f64> {
    host(model.logits(&case.batch(&Device::flex()), Mode::Evaluate).expect("a head"))
}

#[test]
fn logits_are_those_of_peft_beside_the_weights_in_them_and_loaded_again() {
    let folders = std::fs::read_dir(fixtures("peft")).expect("the fixtures are committed");
    let mut dirs: Vec<PathBuf> = folders.map(|entry| entry.expect("a folder").path()).collect();
    dirs.sort();
    assert!(dirs.len() >= 14, "{dirs:?}");
    for dir in dirs {
        let (base, name) = (base_of(&dir), dir.file_name().expect("a name").to_string_lossy().into_owned());
        let bytes = std::fs::read(dir.join("reference.safetensors")).expect("a file");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let expected = file.tensor("logits").expect("logits").data().chunks(4);
        let expected: Vec<f64> =
            expected.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")).into()).collect();
        let close = |model: &Model, what: &str| {
            let difference = largest(&logits(model, &base), &expected) / size(&expected).max(1.0);
            assert!(difference < ROUNDING, "{name}, {what}: {difference}");
        };
        let Adapted { model, fields, .. } =
            load(&base, &dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        close(&model, "beside");
        let merged = merge(model.clone());
        assert!(!merged.has_adapters(), "{name}");
        close(&merged, "merged");
        let config = base.config.with_fields(&fields).expect("a configuration");
        let folder = tempfile::tempdir().expect("a folder");
        merged.save(&config, folder.path()).expect("saved");
        let again = Model::load(folder.path(), &HeadRequest::FromConfig, &Device::flex());
        close(&again.unwrap_or_else(|error| panic!("{name}: {error}")).model, "saved");
        let is_tied =
            |config: &serde_json::Map<String, Value>| config.get("tie_word_embeddings") == Some(&json!(true));
        let unties = name.starts_with("tied-output") || name.ends_with("-saved");
        assert_eq!(is_tied(config.raw()), is_tied(base.config.raw()) && !unties, "{name}");
        let tokens = if name.ends_with("resized") { 50 } else { base.config.bounds().vocab_size };
        assert_eq!(config.bounds().vocab_size, tokens, "{name}");
    }
}

#[test]
fn an_adapter_of_the_output_is_taken_out_again() {
    let dir = fixtures("peft/output-path");
    let base = base_of(&dir);
    let merged = merge(load(&base, &dir).expect("loaded").model);
    let adapter = PeftAdapter::open(&dir).expect("opened");
    let mut again = unmerge(load_peft(merged, &base.config, &adapter).expect("loaded").model);
    again.each_linear_and_head(&mut |_, linear| linear.adapter = None);
    let (before, after) = (parameters_of(&base.load(&Device::flex())), parameters_of(&again));
    // The file has the output's own weight, too: what was merged into it is not there.
    for (path, values) in before.iter().filter(|(path, _)| *path != "head.output.weight") {
        assert!(largest(values, &after[path]) < 1e-6, "{path}");
    }
}

/// A copy of an adapter in which a test changes tensors and configuration.
struct Copy {
    dir: tempfile::TempDir,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    config: Value,
}

impl Copy {
    fn of(name: &str) -> Self {
        let dir = fixtures(name);
        let bytes = std::fs::read(dir.join(ADAPTER_WEIGHTS)).expect("a file");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let stored = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        let config = std::fs::read(dir.join(ADAPTER_CONFIG)).expect("a file");
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            tensors: file.tensors().into_iter().map(|(name, view)| (name, stored(view))).collect(),
            config: serde_json::from_slice(&config).expect("JSON"),
        }
    }

    /// Opens it and puts it on the fixture's base.
    fn load(&self, base: &str) -> Result<Adapted<AnyBackbone>, FreezeError> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor"))
        });
        let bytes = serialize(views, None).expect("serialised");
        std::fs::write(self.dir.path().join(ADAPTER_WEIGHTS), bytes).expect("written");
        std::fs::write(self.dir.path().join(ADAPTER_CONFIG), self.config.to_string()).expect("written");
        load(&case(base), self.dir.path())
    }

    #[track_caller]
    fn refused(&self, base: &str, words: &[&str]) {
        let error = self.load(base).map(drop).expect_err("refused").to_string();
        for word in words {
            assert!(error.contains(word), "{word:?} is not in {error}");
        }
    }
}

const BERT: &str = "bert-sequence-classification";

#[test]
fn what_is_missing_or_too_much_is_named_at_once() {
    assert!(Copy::of("lora/bert").load(BERT).is_ok());
    let mut adapter = Copy::of("lora/bert");
    adapter.tensors.clear();
    adapter.refused(BERT, &["holds no tensors"]);

    let mut adapter = Copy::of("lora/bert");
    adapter.tensors.retain(|name, _| !name.starts_with(QUERY));
    adapter.refused(BERT, &["bert.encoder.layer.1.attention.self.query is among target_modules"]);

    let mut adapter = Copy::of("lora/bert");
    adapter.tensors.remove(&format!("{QUERY}.lora_B.weight"));
    let stray = adapter.tensors.remove(&QUERY.replace("query", "value.lora_A.weight")).expect("a tensor");
    adapter.tensors.insert("base_model.model.bert.encoder.layer.9.query.lora_A.weight".into(), stray.clone());
    adapter.tensors.insert("base_model.model.bert.nothing.weight".into(), stray);
    adapter.tensors.remove("base_model.model.classifier.bias");
    adapter.refused(
        BERT,
        &[
            "attention.self.query has no lora_B",
            "attention.self.value has no lora_A",
            "bert.encoder.layer.9.query has an adapter, but the model has no such",
            "base_model.model.bert.nothing.weight is stored whole, but the model has no such",
            "classifier.bias is of \"classifier\" in modules_to_save",
        ],
    );

    let mut adapter = Copy::of("lora/bert");
    adapter.config["target_modules"] = json!(["query", "value", "word_embeddings"]);
    adapter.refused(BERT, &["bert.embeddings.word_embeddings.weight is among target_modules"]);

    let mut adapter = Copy::of("lora/bert");
    adapter.config["target_modules"] = json!(["query"]);
    adapter.refused(BERT, &["layer.0.attention.self.value has an adapter, but adapter_config.json"]);

    let mut adapter = Copy::of("lora/bert");
    let tensor = adapter.tensors[&format!("{QUERY}.lora_A.weight")].clone();
    adapter.tensors.insert(format!("{QUERY}.lora_magnitude_vector"), tensor.clone());
    adapter.tensors.insert("elsewhere.lora_A.weight".into(), tensor);
    adapter.refused(BERT, &["lora_magnitude_vector is of a kind", "elsewhere.lora_A.weight does not begin"]);
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let mut adapter = Copy::of("lora/bert");
    adapter.config["r"] = json!(3);
    adapter.refused(
        BERT,
        &["query.lora_A.weight is [2, 16], the model and rank 3 need [3, 16]", "and 1 more"]
            .map(|word| if word == "and 1 more" { "value.lora_B.weight is [16, 2]" } else { word }),
    );

    for bytes in [f32::NAN, f32::INFINITY] {
        let mut adapter = Copy::of("lora/bert");
        let tensor = adapter.tensors.get_mut(&format!("{QUERY}.lora_A.weight")).expect("a tensor");
        tensor.2[..4].copy_from_slice(&bytes.to_le_bytes());
        let head = adapter.tensors.get_mut("base_model.model.classifier.weight").expect("a tensor");
        head.2[..4].copy_from_slice(&bytes.to_le_bytes());
        adapter.refused(BERT, &["query.lora_A.weight holds NaN", "classifier.weight holds NaN"]);
    }

    let mut adapter = Copy::of("lora/bert");
    adapter.tensors.insert(format!("{QUERY}.lora_A.weight"), (Dtype::F32, vec![0], Vec::new()));
    let shape = vec![16, 2];
    adapter.tensors.insert(format!("{QUERY}.lora_B.weight"), (Dtype::I32, shape, vec![1; 128]));
    adapter.refused(BERT, &["lora_A.weight is [0]", "ZeRO-3", "lora_B.weight is stored as I32"]);
}

#[test]
fn a_trained_bias_that_is_not_there_is_named() {
    let mut adapter = Copy::of("peft/bias-all");
    let name = "base_model.model.bert.encoder.layer.0.output.LayerNorm.bias";
    assert!(adapter.tensors.remove(name).is_some());
    adapter.refused(BERT, &["bert.encoder.layer.0.output.LayerNorm.bias was trained", "\"bias\": \"none\""]);
    let mut adapter = Copy::of("peft/bias-of-fused-maps");
    adapter.tensors.retain(|name, _| !name.ends_with(".bias"));
    adapter.refused("gpt2-causal-lm", &["transformer.h.0.attn.c_attn.bias was trained"]);
}

#[test]
fn tied_matrices_that_cannot_be_told_apart_are_refused() {
    const GPT2: &str = "gpt2-causal-lm";
    let mut adapter = Copy::of("peft/tied-both-saved");
    adapter.config["modules_to_save"] = Value::Null;
    adapter.refused(GPT2, &["lm_head.weight and transformer.wte.weight are one matrix in the model"]);
    let mut adapter = Copy::of("peft/tied-output-saved");
    adapter.tensors.retain(|name, _| !name.contains("lm_head"));
    adapter.refused(GPT2, &["lm_head.weight is in modules_to_save"]);
    let mut adapter = Copy::of("peft/tied-output-path");
    adapter.tensors.retain(|name, _| !name.contains("lm_head"));
    adapter.refused(GPT2, &["lm_head is among target_modules"]);
    // An encoder-decoder model has the embedding in three places.
    let mut adapter = Copy::of("lora/t5");
    let embedding = (Dtype::F32, vec![48, 16], vec![0; 48 * 16 * 4]);
    adapter.tensors.insert("base_model.model.transformer.shared.weight".into(), embedding);
    adapter.refused("t5-sequence-classification", &["shared.weight would differ from its copies"]);
}

#[test]
fn a_vocabulary_changes_as_a_whole_or_not() {
    let mut adapter = Copy::of("peft/resized");
    assert!(adapter.tensors.remove("base_model.model.lm_head.weight").is_some());
    adapter.refused("llama-causal-lm", &["lm_head.weight has a row for each token"]);
    let mut adapter = Copy::of("peft/resized");
    adapter
        .tensors
        .insert("base_model.model.lm_head.weight".into(), (Dtype::F32, vec![49, 16], vec![0; 49 * 16 * 4]));
    adapter.refused("llama-causal-lm", &["lm_head.weight is [49, 16], the model needs [50, 16]"]);
    let mut adapter = Copy::of("peft/resized");
    let shape = vec![50, 8];
    adapter.tensors.insert(
        "base_model.model.model.embed_tokens.weight".into(),
        (Dtype::F32, shape, vec![0; 50 * 8 * 4]),
    );
    adapter.refused("llama-causal-lm", &["embed_tokens.weight is [50, 8], the model needs [50, 16]"]);
}

#[test]
fn a_folder_without_weights_or_configuration_says_what_to_copy() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = PeftAdapter::open(dir.path()).map(drop).expect_err("refused").to_string();
    assert!(error.contains(ADAPTER_CONFIG), "{error}");
    std::fs::write(dir.path().join(ADAPTER_CONFIG), r#"{"peft_type": "LORA"}"#).expect("written");
    let error = PeftAdapter::open(dir.path()).map(drop).expect_err("refused").to_string();
    assert!(error.contains("adapter_model.safetensors or adapter_model.bin"), "{error}");
}

#[test]
fn damaged_files_are_errors_and_no_panics() {
    let base = case(BERT);
    let source = fixtures("peft/look-around");
    let files =
        [ADAPTER_CONFIG, ADAPTER_WEIGHTS].map(|name| std::fs::read(source.join(name)).expect("a file"));
    // The model is the same each time; loading it is what takes time.
    let model = base.load(&Device::flex());
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let mut refused = 0;
    for round in 0..600 {
        let dir = tempfile::tempdir().expect("a folder");
        let mut damaged = files.clone();
        damage(&mut damaged[round % 2], &mut random);
        for (name, bytes) in [ADAPTER_CONFIG, ADAPTER_WEIGHTS].iter().zip(&damaged) {
            std::fs::write(dir.path().join(name), bytes).expect("written");
        }
        let adapter = PeftAdapter::open(dir.path());
        refused += usize::from(
            adapter.and_then(|adapter| load_peft(model.clone(), &base.config, &adapter)).is_err(),
        );
    }
    assert!(refused > 200, "{refused} of 600 refused");
}

/// Changes, cuts or repeats a few bytes, more often at the beginning, where a header is.
fn damage(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..1 + random.next_u32() % 3 {
        let end = if random.next_u32().is_multiple_of(2) { bytes.len().min(200) } else { bytes.len() };
        let at = random.next_u32() as usize % end.max(1);
        match random.next_u32() % 5 {
            0 => bytes[at] ^= 1 << (random.next_u32() % 8),
            1 => bytes[at] = b"0987654321-{}[]\",:\\e"[random.next_u32() as usize % 20],
            2 => bytes.truncate(at.max(1)),
            3 => drop(bytes.splice(at..at, *b"99999999999")),
            _ => {
                let last = bytes.len().min(at + 8);
                let piece = bytes[at..last].to_vec();
                drop(bytes.splice(at..at, piece));
            }
        }
    }
}
