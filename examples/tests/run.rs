//! Every example runs to its end on a tiny model of the fixtures, without a network.

use std::path::Path;
use std::process::Command;

/// A folder with `model/`, a tiny BERT, and `reviews.csv`.
fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/temper-models/tests/fixtures");
    let model = dir.path().join("model");
    std::fs::create_dir(&model).expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures.join("bert").join(name), model.join(name)).expect("copied");
    }
    let vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] a the film is good dull times plot . ,";
    std::fs::write(model.join("vocab.txt"), vocabulary.replace(' ', "\n")).expect("written");
    let rows = (0..40).map(|row| format!("the film is {row} times good,{}\n", ["neg", "pos"][row % 2]));
    let table = format!("text,label\n{}", rows.collect::<String>());
    std::fs::write(dir.path().join("reviews.csv"), table).expect("written");
    dir
}

/// What an example prints, which ends well, in a workplace of its own.
fn output(binary: &str, arguments: &[&str]) -> String {
    output_in(&workplace(), binary, arguments)
}

fn output_in(dir: &tempfile::TempDir, binary: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(dir.path()).env("HF_HUB_OFFLINE", "1").env_remove("TEMPER_MIRROR");
    command.env("TEMPER_CACHE", dir.path().join("cache")).env("HF_HOME", dir.path().join("hf"));
    let output = command.output().expect("started");
    assert!(output.status.success(), "{binary}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn load() {
    let text = output(env!("CARGO_BIN_EXE_load"), &["./model", "the film"]);
    assert!(text.contains("parameters") && text.contains("film"), "{text}");
}

#[test]
fn custom_loop() {
    let text = output(env!("CARGO_BIN_EXE_custom_loop"), &["./model"]);
    assert!(text.contains("proof: what should train did"), "{text}");
}

#[test]
fn new_dataset() {
    let text = output(env!("CARGO_BIN_EXE_new_dataset"), &["reviews.csv", "text", "label", "./model"]);
    assert!(text.contains("[\"neg\", \"pos\"]"), "{text}");
}

#[test]
fn new_family() {
    let (dir, binary) = (workplace(), env!("CARGO_BIN_EXE_new_family"));
    output_in(&dir, binary, &["write", "mine"]);
    let settings = ["--max-steps", "4", "--run-name", "mine", "--per-device-train-batch-size", "8"];
    output_in(&dir, binary, &[&["finetune", "./mine", "reviews.csv"][..], &settings].concat());
    assert!(dir.path().join("runs/mine/model/model.safetensors").is_file());
    let text = output_in(&dir, binary, &["predict", "runs/mine", "--text", "the film is good"]);
    assert!(text.contains("neg") || text.contains("pos"), "{text}");
    let text = output_in(&dir, binary, &["inspect", "runs/mine/model"]);
    assert!(text.contains("my-family"), "{text}");
}

#[test]
fn new_backbone() {
    let text = output(env!("CARGO_BIN_EXE_new_backbone"), &[]);
    assert!(text.contains("proof: what should train did"), "{text}");
}

#[test]
fn lora() {
    let text = output(env!("CARGO_BIN_EXE_lora"), &["./model", "adapter"]);
    assert!(text.contains("merged: by at most"), "{text}");
}
