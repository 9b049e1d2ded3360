//! A tiny model with a vocabulary, a tiny dataset, and the binary.
#![allow(dead_code)] // Each test file uses its own part.

pub mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A folder with `model/`, `reviews.csv` and room for runs.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] the a this film plot cast story is was and very so \
    good great fine fun bad dull poor weak . , not";

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let model = dir.path().join("model");
        std::fs::create_dir(&model).expect("a folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
        std::fs::copy(fixture.join("model.safetensors"), model.join("model.safetensors")).expect("copied");
        let vocabulary: Vec<&str> = WORDS.split_whitespace().collect();
        std::fs::write(model.join("vocab.txt"), vocabulary.join("\n")).expect("written");
        let bench = Self { dir };
        let text = std::fs::read_to_string(fixture.join("config.json")).expect("a configuration");
        let mut config: Value = serde_json::from_str(&text).expect("JSON");
        // Dropout on, so that a resumed run has masks to get wrong.
        config["hidden_dropout_prob"] = json!(0.1);
        config["attention_probs_dropout_prob"] = json!(0.1);
        std::fs::write(bench.path("model/config.json"), config.to_string()).expect("written");
        bench.write("reviews.csv", &reviews(200));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_temper"));
        command.args(arguments).current_dir(self.dir.path());
        // No test may reach for the network, nor for the caches of the person who runs it.
        command
            .env("HF_HUB_OFFLINE", "1")
            .env("TEMPER_CACHE", self.path("cache"))
            .env_remove("TEMPER_MIRROR");
        command.env("HF_HOME", self.path("hf"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("started")
    }

    /// Waits until a run has logged a step.
    pub fn wait_for_step(&self, run: &str, step: u64) {
        let journal = self.path(&format!("runs/{run}/metrics.jsonl"));
        for _ in 0..6000 {
            let text = std::fs::read_to_string(&journal).unwrap_or_default();
            let reached = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if reached.filter_map(|row| row["step"].as_u64()).any(|reached| reached >= step) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{run} did not reach step {step}");
    }

    /// Fine-tunes the tiny model; flags are added to settings that end within a second.
    pub fn finetune(&self, name: &str, flags: &[&str]) -> Output {
        let mut arguments = vec!["finetune", "./model", "reviews.csv", "--run-name", name];
        arguments.extend(["--learning-rate", "5e-3", "--per-device-train-batch-size", "8"]);
        arguments.extend(["--max-seq-length", "16", "--num-train-epochs", "2"]);
        arguments.extend(flags);
        self.run(&arguments)
    }
}

/// Ends a process as Ctrl-C does.
pub fn interrupt(process: u32) {
    let status = Command::new("kill").args(["-INT", &process.to_string()]).status().expect("kill");
    assert!(status.success());
}

/// Rows whose label one word decides.
pub fn reviews(rows: usize) -> String {
    let subjects = ["film", "plot", "cast", "story"];
    let words = [["good", "bad"], ["great", "dull"], ["fine", "poor"], ["fun", "weak"]];
    let fillers = ["is", "was", "is very", "was so", "and the cast is", "is, and was,", "was the"];
    let mut text = String::from("text,label\n");
    for row in 0..rows {
        let label = row % 2;
        let subject = subjects[row / 2 % 4];
        let word = words[row / 8 % 4][1 - label];
        let filler = fillers[row / 32 % 7];
        let names = ["neg", "pos"];
        text += &format!("\"the {subject} {filler} {word}.\",{}\n", names[label]);
    }
    text
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn assert_succeeds(output: &Output) {
    assert!(output.status.success(), "{}\n{}", stdout(output), stderr(output));
}

/// The exit code, and every one of the given words on stderr.
pub fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}
