//! Damaged and hostile model folders: whatever a file says, loading it gives a model or an error, never a panic, and
//! nothing is allocated for it that the weights do not have.
//!
//! Changes are drawn from a seed. TEMPER_HOSTILE_CASES sets how many of each kind are tried; where it asks for more
//! than CI's, every value of every field is, too.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use burn::tensor::Device;
use common::{changed, fixture};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use temper_models::{GenerateSettings, HeadRequest, Mode, Model, ModelConfig, ModelError, TokenBatch};

/// Of each kind of change, in CI.
const CASES: u64 = 200;
/// Address space that a test may take: weights of the fixtures are some kilobytes.
const MOST_BYTES: u64 = 4 << 30;

const FAMILIES: [&str; 16] = [
    "bart-sequence-classification",
    "bert-sequence-classification",
    "bloom-sequence-classification",
    "camembert-sequence-classification",
    "distilbert-masked-lm",
    "falcon-40b-sequence-classification",
    "falcon-7b-causal-lm",
    "falcon-rw-sequence-classification",
    "gpt2-sequence-classification",
    "gpt-neo-sequence-classification",
    "llama3-sequence-classification",
    "llama2-gqa-causal-lm",
    "openai-gpt-causal-lm",
    "roberta-masked-lm",
    "t5-seq2seq-lm",
    "t5-v1.1-sequence-classification",
];

fn cases() -> u64 {
    std::env::var("TEMPER_HOSTILE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(CASES)
}

/// Loads a folder and, if that goes well, computes with it.
fn use_folder(dir: &Path) -> Result<(), ModelError> {
    let config = ModelConfig::read(dir)?;
    let bounds = config.bounds();
    let loaded = Model::load_with(config, dir, &HeadRequest::FromConfig, &Device::flex())?;
    let labels = loaded.config.labels();
    GenerateSettings::of_model(dir, &loaded.config)?;
    let length = bounds.max_positions.min(3);
    let ids: Vec<u32> = (0..length).map(|place| ((5 + place) % bounds.vocab_size) as u32).collect();
    let batch = TokenBatch::new(&ids, &vec![0; length], &[length as u32], &Device::flex());
    loaded.model.logits(&batch, Mode::Evaluate);
    labels.map(drop)
}

/// Uses a folder; what made it is named where that ends in a panic.
fn survives(dir: &Path, what: impl Fn() -> String) -> Result<(), ModelError> {
    let result = catch_unwind(AssertUnwindSafe(|| use_folder(dir)));
    let result = result.unwrap_or_else(|_| panic!("a panic: {}", what()));
    if let Err(error) = &result {
        assert!(error.to_string().len() < 100_000, "{}", what());
    }
    result
}

/// The most address space that this process had, where the system says so.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |peak| peak << 10)
}

/// What a size may be said to be.
fn extremes() -> Vec<Value> {
    let mut values =
        vec![json!(0), json!(-1), json!(1), json!(2), json!(3), json!(1.5), json!(1e308), json!("x")];
    values.extend([
        json!(null),
        json!([]),
        json!([0]),
        json!({}),
        json!({"0": 0}),
        json!(true),
        json!(false),
    ]);
    for power in [8_u32, 12, 16, 20, 24, 28, 31, 32, 40, 53, 62, 63] {
        values.push(json!(1_u64 << power));
        values.push(json!((1_u64 << power) - 1));
    }
    values.extend([json!(1_000_000_000_000_u64), json!(u64::MAX), json!(i64::MIN)]);
    values
}

#[test]
fn every_field_of_a_configuration_may_say_anything() {
    // No divisor of the number of values: each field meets many.
    let stride = if cases() > CASES { 1 } else { 7 };
    for (number, family) in FAMILIES.into_iter().enumerate() {
        let source = fixture("zoo").join(family);
        let text = std::fs::read_to_string(source.join("config.json")).expect("a configuration");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let dir = changed(&source, |_, _| {});
        let extra = [
            "num_labels",
            "id2label",
            "pad_token_id",
            "eos_token_id",
            "n_inner",
            "head_dim",
            "rope_theta",
            "rope_scaling",
            "attention_types",
            "window_size",
            "num_kv_heads",
            "hidden_size",
            "num_hidden_layers",
        ];
        let fields = config.as_object().expect("an object").keys().map(String::as_str).chain(extra);
        let values = extremes();
        let pairs = fields.flat_map(|field| values.iter().map(move |value| (field, value)));
        for (field, value) in pairs.skip(number % stride).step_by(stride) {
            let mut config = config.clone();
            config[field] = value.clone();
            std::fs::write(dir.path().join("config.json"), config.to_string()).expect("written");
            let _ = survives(dir.path(), || format!("{family}: {field} = {value}"));
        }
    }
    assert!(peak_bytes() < MOST_BYTES, "{} bytes", peak_bytes());
}

#[test]
fn layer_counts_beyond_all_bounds_are_refused_by_name() {
    for (family, field) in [
        ("distilbert-masked-lm", "n_layers"),
        ("t5-seq2seq-lm", "num_decoder_layers"),
        ("t5-seq2seq-lm", "num_layers"),
        ("bart-sequence-classification", "encoder_layers"),
        ("bart-sequence-classification", "decoder_layers"),
        ("bert-sequence-classification", "num_hidden_layers"),
        ("bloom-sequence-classification", "n_layer"),
        ("falcon-7b-causal-lm", "num_hidden_layers"),
        ("gpt2-sequence-classification", "n_layer"),
        ("gpt-neo-sequence-classification", "num_layers"),
        ("llama2-gqa-causal-lm", "num_hidden_layers"),
        ("openai-gpt-causal-lm", "n_layer"),
        ("roberta-masked-lm", "num_hidden_layers"),
    ] {
        for count in [0, 1_000_000_000_000, i64::MAX as u64, u64::MAX] {
            let dir = changed(&fixture("zoo").join(family), |_, config| config[field] = json!(count));
            let error =
                survives(dir.path(), || format!("{family}: {count}")).expect_err("refused").to_string();
            assert!(error.contains(&format!("{field} = {count}")), "{error}");
        }
        // One that could be, but that the weights do not have.
        let dir = changed(&fixture("zoo").join(family), |_, config| config[field] = json!(900));
        assert!(survives(dir.path(), || family.into()).is_err(), "{family}: {field}");
    }
}

/// A byte string with a few changes.
fn damaged(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.next_u32() % 4 {
        let at = random.next_u64() as usize % bytes.len().max(1);
        let end = (at + 1 + random.next_u32() as usize % 8).min(bytes.len());
        match random.next_u32() % 8 {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << (random.next_u32() % 8),
            2 if at < bytes.len() => bytes[at] = random.next_u32() as u8,
            3 => drop(bytes.drain(at..end)),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => drop(bytes.splice(at..end, *b"18446744073709551615")),
            6 => drop(bytes.splice(at..end, random.next_u64().to_le_bytes())),
            // Near the start are lengths and headers.
            _ if !bytes.is_empty() => {
                let place = random.next_u32() as usize % bytes.len().min(64);
                bytes[place] = random.next_u32() as u8;
            }
            _ => {}
        }
    }
    bytes
}

/// A JSON text of which a number, a word or a line is another.
fn reworded(text: &str, random: &mut ChaCha8Rng) -> String {
    let values = extremes();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..=random.next_u32() % 3 {
        let at = random.next_u32() as usize % lines.len();
        if let Some((key, _)) = lines[at].clone().split_once(':') {
            let value = &values[random.next_u32() as usize % values.len()];
            let comma = if lines[at].ends_with(',') { "," } else { "" };
            lines[at] = format!("{key}: {value}{comma}");
        } else {
            lines.remove(at);
        }
    }
    lines.join("\n")
}

#[test]
fn damaged_configurations_are_models_or_errors() {
    let mut random = ChaCha8Rng::seed_from_u64(13);
    for case in 0..cases() {
        let family = FAMILIES[case as usize % FAMILIES.len()];
        let dir = changed(&fixture("zoo").join(family), |_, _| {});
        let file = dir.path().join("config.json");
        let text = std::fs::read_to_string(fixture("zoo").join(family).join("config.json")).expect("a file");
        let bytes = match case % 2 {
            0 => damaged(text.as_bytes(), &mut random),
            _ => reworded(&text, &mut random).into_bytes(),
        };
        std::fs::write(&file, &bytes).expect("written");
        let _ = survives(dir.path(), || format!("{family} {case}: {}", String::from_utf8_lossy(&bytes)));
    }
    assert!(peak_bytes() < MOST_BYTES, "{} bytes", peak_bytes());
}

fn damage_weights(source: &Path, name: &str, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let bytes = std::fs::read(source.join(name)).expect("weights");
    let header = if name.ends_with(".safetensors") { header_end(&bytes) } else { bytes.len() };
    for case in 0..cases() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::copy(source.join("config.json"), dir.path().join("config.json")).expect("copied");
        // Half of the changes are in the header, where a file says what it holds.
        let changed = match case % 2 {
            0 => [damaged(&bytes[..header], &mut random), bytes[header..].to_vec()].concat(),
            _ => damaged(&bytes, &mut random),
        };
        std::fs::write(dir.path().join(name), changed).expect("written");
        let _ = survives(dir.path(), || format!("{}: {name}, seed {seed}, case {case}", source.display()));
    }
    assert!(peak_bytes() < MOST_BYTES, "{} bytes", peak_bytes());
}

fn header_end(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize
}

#[test]
fn damaged_safetensors_are_models_or_errors() {
    for (seed, family) in ["bert-sequence-classification", "gpt2-sequence-classification", "t5-seq2seq-lm"]
        .into_iter()
        .enumerate()
    {
        damage_weights(&fixture("zoo").join(family), "model.safetensors", seed as u64);
    }
}

#[test]
fn damaged_pickles_are_models_or_errors() {
    damage_weights(&fixture("bert"), "pytorch_model.bin", 7);
}

/// A folder with these weights in place of a fixture's.
fn with_weights(bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(fixture("bert").join("config.json"), dir.path().join("config.json")).expect("copied");
    std::fs::write(dir.path().join("model.safetensors"), bytes).expect("written");
    dir
}

#[test]
fn headers_that_promise_too_much_are_refused() {
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let entry = |shape: &str, end: &str| {
        header(&format!(
            "{{\"bert.embeddings.word_embeddings.weight\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"
        ))
    };
    for bytes in [
        Vec::new(),
        vec![0; 7],
        u64::MAX.to_le_bytes().to_vec(),
        (1_u64 << 40).to_le_bytes().to_vec(),
        99_999_999_u64.to_le_bytes().to_vec(),
        [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        header("{}"),
        header("[]"),
        header(&"[".repeat(100_000)),
        entry("[4294967296,4294967296]", "0"),
        entry("[1099511627776]", "4398046511104"),
        entry("[18446744073709551615,2]", "16"),
        entry("[0,18446744073709551615]", "0"),
        entry("[]", "18446744073709551615"),
    ] {
        let dir = with_weights(&bytes);
        assert!(survives(dir.path(), || format!("{}", bytes.escape_ascii())).is_err());
    }
    assert!(peak_bytes() < MOST_BYTES, "{} bytes", peak_bytes());
}
