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

/// What an example prints, which ends well.
fn output(binary: &str, arguments: &[&str]) -> String {
    let dir = workplace();
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
    let text = output(env!("CARGO_BIN_EXE_new_family"), &[]);
    assert!(text.contains("proof: what should train did"), "{text}");
}

#[test]
fn lora() {
    let text = output(env!("CARGO_BIN_EXE_lora"), &["./model", "adapter"]);
    assert!(text.contains("merged: by at most"), "{text}");
}
