//! `temper verify`: every fixture, every kind of reference file, and what is refused.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use common::{assert_fails, assert_succeeds, stdout};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use temper_models::{Precision, families};
use temper_train::commands::{FixtureOutcome, VerifyBounds, verify_fixtures};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn zoo() -> PathBuf {
    checkout().join("crates/temper-models/tests/fixtures/zoo")
}

fn temper(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_temper"));
    command.args(arguments).current_dir(dir).env("HF_HUB_OFFLINE", "1");
    command.output().expect("started")
}

/// Type, shape and bytes by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// A reference of the zoo that can be changed.
struct Changed {
    model: PathBuf,
    dir: tempfile::TempDir,
    tensors: Tensors,
}

impl Changed {
    fn new(name: &str) -> Self {
        let model = zoo().join(name);
        let bytes = std::fs::read(model.join("reference.safetensors")).expect("the fixture is committed");
        let parsed = SafeTensors::deserialize(&bytes).expect("safetensors");
        let owned = |view: TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
        let tensors = parsed.tensors().into_iter().map(|(name, view)| (name, owned(view))).collect();
        Self { model, dir: tempfile::tempdir().expect("a folder"), tensors }
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        let value = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        self.tensors[name].2.chunks(8).map(value).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("4 bytes"));
        self.tensors[name].2.chunks(4).map(value).collect()
    }

    /// Replaces type and values, not the shape.
    fn set(&mut self, name: &str, dtype: Dtype, bytes: Vec<u8>) {
        let shape = self.tensors[name].1.clone();
        self.tensors.insert(name.into(), (dtype, shape, bytes));
    }

    fn set_integers(&mut self, name: &str, change: impl FnOnce(&mut Vec<i64>)) {
        let mut values = self.integers(name);
        change(&mut values);
        self.set(name, Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    fn verify(&self, flags: &[&str]) -> Output {
        let file = self.dir.path().join("reference.safetensors");
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("a view"))
        });
        serialize_to_file(views, None, &file).expect("written");
        let (model, file) = (self.model.display().to_string(), file.display().to_string());
        temper(self.dir.path(), &[&["verify", &model, "--reference", &file], flags].concat())
    }
}

#[test]
fn every_fixture_of_every_known_family_is_verified() {
    let bounds = VerifyBounds { precision: Precision::F32, tolerance: 1e-4 };
    let results = verify_fixtures(&zoo(), None, bounds, &Device::flex()).expect("compared");
    assert_eq!(results.len(), std::fs::read_dir(zoo()).expect("the zoo").count());
    let mut verified = 0;
    for result in results {
        match result.outcome {
            FixtureOutcome::Verified { output, largest } => {
                println!("{:<40} {largest:.1e} {output}", result.name);
                verified += 1;
            }
            FixtureOutcome::UnknownFamily => {
                let known = families().iter().any(|family| family.model_type == result.model_type);
                assert!(!known, "{}", result.name);
            }
            other => panic!("{}: {other:?}", result.name),
        }
    }
    assert!(verified > 0);
}

#[test]
fn the_fixtures_of_a_checkout_are_found_from_within() {
    let crates = checkout().join("crates");
    let output = temper(&crates, &["verify", "bert"]);
    assert_succeeds(&output);
    let text = stdout(&output);
    assert!(text.contains("bert-question-answering") && text.contains("verified"), "{text}");
    assert!(!text.contains("gpt2"), "{text}");

    let output = temper(&crates, &["verify", "--all", "--json"]);
    assert_succeeds(&output);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["verified"], true);
    assert!(value["fixtures"].as_array().expect("a list").len() > 50);

    let output = temper(&crates, &["verify", "bert", "--tolerance", "0"]);
    assert_fails(&output, 7, &["verification failed for", "bert-masked-lm"]);
    let elsewhere = tempfile::tempdir().expect("a folder");
    assert_fails(&temper(elsewhere.path(), &["verify", "bert"]), 2, &["--fixtures DIR", "--reference FILE"]);
    let output = temper(elsewhere.path(), &["verify", "bert", "--fixtures", "."]);
    assert_fails(&output, 2, &["has no fixtures of the family bert"]);
    assert_fails(&temper(&crates, &["verify"]), 2, &["--all"]);
}

#[test]
fn every_output_has_a_line_and_the_rest_is_named() {
    let output = Changed::new("bert-pretraining").verify(&[]);
    assert_succeeds(&output);
    let text = stdout(&output);
    for name in ["last_hidden_state", "pooler_output", "prediction_logits", "seq_relationship_logits"] {
        assert!(text.lines().any(|line| line.starts_with(name) && line.contains(" at [")), "{name}: {text}");
    }
    assert!(text.contains("hidden_states.* (3)") && text.contains("grad.*"), "{text}");

    let output = Changed::new("bert-question-answering").verify(&["--json"]);
    assert_succeeds(&output);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names: Vec<&str> =
        value["outputs"].as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["last_hidden_state", "start_logits", "end_logits"]);
    assert_eq!(value["verified"], true);
}

#[test]
fn a_difference_is_told_with_its_place() {
    let mut changed = Changed::new("bert-sequence-classification");
    let mut logits = changed.floats("logits");
    logits[7] += 0.5;
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    changed.set("logits", Dtype::F32, bytes(&logits));
    let output = changed.verify(&[]);
    assert_fails(&output, 7, &["logits differs by"]);
    assert!(stdout(&output).contains("at [2, 1]"), "{}", stdout(&output));
    assert_succeeds(&changed.verify(&["--tolerance", "0.6"]));
    logits[7] = f32::NAN;
    changed.set("logits", Dtype::F32, bytes(&logits));
    let output = changed.verify(&["--json", "--tolerance", "1e30"]);
    assert_fails(&output, 7, &["logits"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&value["verified"], &value["outputs"][2]["largest"]), (&Value::Bool(false), &Value::Null));
}

#[test]
fn padding_is_not_compared() {
    let mut changed = Changed::new("bert-token-classification");
    let lengths = [11, 7, 3, 1];
    for name in ["last_hidden_state", "logits"] {
        let (shape, mut values) = (changed.tensors[name].1.clone(), changed.floats(name));
        for (row, length) in lengths.into_iter().enumerate() {
            values[(row * shape[1] + length) * shape[2]..(row + 1) * shape[1] * shape[2]].fill(f32::NAN);
        }
        changed.set(name, Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }
    assert_succeeds(&changed.verify(&[]));
}

#[test]
fn every_width_of_numbers_is_read() {
    let mut changed = Changed::new("bert-sequence-classification");
    for name in ["input_ids", "attention_mask", "token_type_ids"] {
        let values = changed.integers(name);
        changed.set(
            name,
            Dtype::I32,
            values.iter().flat_map(|&value| (value as i32).to_le_bytes()).collect(),
        );
    }
    let logits = changed.floats("logits");
    let doubles = logits.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect();
    changed.set("logits", Dtype::F64, doubles);
    assert_succeeds(&changed.verify(&[]));
    // The upper half of an f32, with 8 bits of the significand.
    let upper = logits.iter().flat_map(|value| value.to_le_bytes()[2..].to_vec()).collect();
    changed.set("logits", Dtype::BF16, upper);
    assert_fails(&changed.verify(&["--tolerance", "1e-6"]), 7, &["logits"]);
    assert_succeeds(&changed.verify(&["--tolerance", "1e-2"]));
    // Zeros have the same bits in every width.
    changed.set("logits", Dtype::F16, vec![0; 2 * logits.len()]);
    assert_fails(&changed.verify(&[]), 7, &["logits"]);
    let largest = logits.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert_succeeds(&changed.verify(&["--tolerance", &format!("{}", largest + 1e-3)]));
    changed.set("logits", Dtype::U8, vec![0; logits.len()]);
    assert_fails(&changed.verify(&[]), 3, &["logits is U8", "F16"]);
}

#[test]
fn masks_that_packing_cannot_follow_are_refused() {
    for (row, mask, word) in [
        (1, [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0], "row 1: is padded on the left"),
        (0, [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1], "row 0: has a hole"),
        (3, [0; 11], "row 3: hides every token"),
        (2, [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], "row 2: is not of zeros and ones"),
    ] {
        let mut changed = Changed::new("bert-masked-lm");
        changed.set_integers("attention_mask", |values| values[row * 11..][..11].copy_from_slice(&mask));
        assert_fails(&changed.verify(&[]), 3, &["attention_mask", word]);
    }
}

#[test]
fn a_reference_of_another_model_is_refused() {
    let refused = |change: fn(&mut Changed), word: &str| {
        let mut changed = Changed::new("bert-masked-lm");
        change(&mut changed);
        assert_fails(&changed.verify(&[]), 3, &["reference.safetensors", word]);
    };
    refused(|changed| drop(changed.tensors.remove("input_ids")), "has no input_ids");
    refused(|changed| changed.set_integers("input_ids", |ids| ids[0] = 4000), "up to 4000");
    refused(|changed| changed.set_integers("input_ids", |ids| ids[0] = -4), "-4");
    refused(|changed| changed.set_integers("token_type_ids", |ids| ids[0] = 5), "segments");
    let logits = |changed: &mut Changed| {
        let (dtype, _, bytes) = changed.tensors["logits"].clone();
        changed.tensors.insert("logits".into(), (dtype, vec![4, 12, 44], bytes));
    };
    refused(logits, "logits is [4, 12, 44], the model gives [4, 12, 48]");
    let decoder = |changed: &mut Changed| {
        let ids = changed.tensors["input_ids"].clone();
        changed.tensors.insert("decoder_input_ids".into(), ids);
    };
    refused(decoder, "the model has no decoder");
    let nothing = |changed: &mut Changed| {
        for name in ["logits", "last_hidden_state"] {
            changed.tensors.remove(name);
        }
    };
    refused(nothing, "has none of");

    // What only another head computes is said, and the rest is compared.
    let mut changed = Changed::new("bert-masked-lm");
    for name in ["start_logits", "encoder_last_hidden_state", "seq_relationship_logits", "pooler_output"] {
        let state = changed.tensors["last_hidden_state"].clone();
        changed.tensors.insert(name.into(), state);
    }
    let output = changed.verify(&[]);
    assert_succeeds(&output);
    assert_eq!(stdout(&output).matches("not compared: the model ").count(), 4, "{}", stdout(&output));
}

#[test]
fn without_a_mask_every_token_is_real() {
    let mut changed = Changed::new("bert-masked-lm");
    changed.tensors.remove("attention_mask");
    // The first row has no padding; the others are seen whole, which the reference was not.
    assert_fails(&changed.verify(&[]), 7, &["differs by"]);
    for name in ["input_ids", "token_type_ids", "last_hidden_state", "logits"] {
        let (dtype, shape, bytes) = changed.tensors[name].clone();
        let first = [&[1], &shape[1..]].concat();
        let bytes = bytes[..bytes.len() / shape[0]].to_vec();
        changed.tensors.insert(name.into(), (dtype, first, bytes));
    }
    changed.tensors.remove("labels");
    assert_succeeds(&changed.verify(&[]));
}
