//! The main job on a tiny model: the run folder, predictions, determinism, exact resume.

mod common;

use common::{Bench, assert_fails, assert_succeeds, interrupt, reviews, stderr, stdout};
use serde_json::Value;

#[test]
fn a_run_learns_and_leaves_everything() {
    let bench = Bench::new();
    let output = bench.finetune("run", &["--json", "--num-train-epochs", "6"]);
    assert_succeeds(&output);
    let results = bench.json("runs/run/results.json");
    let metrics: std::collections::BTreeMap<String, f64> =
        serde_json::from_value(results["test"]["metrics"].clone()).unwrap();
    assert!(metrics["accuracy"] > 0.9, "{metrics:?}");
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap(), results);
    for file in ["run.toml", "metrics.jsonl", "report.html", "model/README.md", "model/tokenizer.json"] {
        assert!(!bench.read(&format!("runs/run/{file}")).is_empty(), "{file}");
    }
    let config = bench.json("runs/run/model/config.json");
    assert_eq!(config["id2label"]["1"], "pos");
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert!(bench.read("runs/run/run.toml").contains("sha256"));
    let text = stderr(&output);
    for part in ["preset cpu", "--preset full", "training will take about", "proof: every trained parameter"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_trained_model_predicts_evaluates_and_goes_on_as_a_model() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--num-train-epochs", "6"]));
    let predicted = bench.run(&[
        "predict",
        "runs/run",
        "--json",
        "--text",
        "the film is great.",
        "--text",
        "the plot was dull.",
    ]);
    assert_succeeds(&predicted);
    let rows: Vec<Value> =
        stdout(&predicted).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let labels: Vec<&str> = rows.iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["pos", "neg"]);
    let sum: f64 =
        rows[0]["probabilities"].as_object().unwrap().values().map(|value| value.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);

    let evaluated = bench.run(&["evaluate", "runs/run", "--json"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    assert_eq!(scores["metrics"], bench.json("runs/run/results.json")["test"]["metrics"]);

    assert_succeeds(&bench.run(&["inspect", "runs/run", "--strategy", "last:1"]));
    let second = bench.run(&[
        "finetune",
        "runs/run",
        "reviews.csv",
        "--run-name",
        "second",
        "--max-steps",
        "3",
        "--max-seq-length",
        "16",
    ]);
    assert_succeeds(&second);
    assert!(stderr(&second).contains("the head of runs/run/model is kept"), "{}", stderr(&second));
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("a", &[]));
    assert_succeeds(&bench.finetune("b", &[]));
    assert_succeeds(&bench.finetune("c", &["--seed", "43"]));
    let weights =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(weights("a") == weights("b"));
    assert!(weights("a") != weights("c"));
}

#[test]
fn the_number_of_threads_does_not_change_the_result() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("one", &["--threads", "1"]));
    assert_succeeds(&bench.finetune("three", &["--threads", "3"]));
    let weights =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(weights("one") == weights("three"));
    assert_fails(&bench.finetune("none", &["--threads", "0"]), 2, &["--threads"]);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    let flags = [
        "--num-train-epochs",
        "3",
        "--eval-steps",
        "7",
        "--logging-steps",
        "2",
        "--max-tokens-per-batch",
        "40",
    ];
    assert_succeeds(&bench.finetune("straight", &flags));
    let steps = bench.json("runs/straight/results.json")["steps"].as_u64().unwrap();
    assert!(steps > 20, "{steps}");

    // The environment stops the run as Ctrl-C would, after a step of the second epoch.
    let mut arguments = vec!["finetune", "./model", "reviews.csv", "--run-name", "resumed"];
    arguments.extend([
        "--learning-rate",
        "5e-3",
        "--per-device-train-batch-size",
        "8",
        "--max-seq-length",
        "16",
    ]);
    arguments.extend(flags);
    let mut child = bench.command(&arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    bench.wait_for_step("resumed", 8);
    interrupt(child.id());
    let status = child.wait().unwrap();
    if status.code() == Some(130) {
        assert!(!bench.path("runs/resumed/results.json").exists());
        let output = bench.run(&["finetune", "--resume", "runs/resumed"]);
        assert_succeeds(&output);
        assert!(stderr(&output).contains("resuming"));
    } else {
        panic!("the run ended with {status} before it could be interrupted");
    }
    let weights =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(weights("straight") == weights("resumed"));
    let losses = |run: &str| -> Vec<(u64, f64)> {
        let rows = bench.read(&format!("runs/{run}/metrics.jsonl"));
        let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| Some((row["step"].as_u64()?, row["loss"].as_f64()?))).collect()
    };
    // Means over logged steps restart where the run was cut.
    let (straight, resumed) = (losses("straight"), losses("resumed"));
    assert_eq!(straight.len(), resumed.len());
    assert_eq!(straight.last(), resumed.last());
}

#[test]
fn frozen_strategies_train_what_they_say() {
    let bench = Bench::new();
    for strategy in ["head", "last:1", "pattern:head\\..*,layers\\.0\\..*"] {
        let name = strategy.replace(['\\', '*', ':', ','], "_");
        let output = bench.finetune(&name, &["--strategy", strategy, "--max-steps", "6"]);
        assert_succeeds(&output);
        let results = bench.json(&format!("runs/{name}/results.json"));
        assert!(results["trainable_parameters"].as_u64() < results["total_parameters"].as_u64());
    }
}

#[test]
fn the_textbook_variant_runs() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--pooling", "cls", "--max-steps", "6"]));
    let config = bench.json("runs/run/model/config.json");
    assert_eq!(config["architectures"][0], "BertForTokenClassification");
    assert_succeeds(&bench.run(&["predict", "runs/run", "--text", "the film is good."]));
}

#[test]
fn a_run_that_diverges_says_so() {
    let bench = Bench::new();
    let output = bench.finetune("run", &["--learning-rate", "1e30", "--warmup-ratio", "0"]);
    assert_fails(&output, 6, &["diverged at step", "--learning-rate"]);
}

#[test]
fn verify_compares_with_a_reference() {
    let bench = Bench::new();
    let fixture =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
    let fixture = fixture.to_str().unwrap();
    let reference = format!("{fixture}/reference.safetensors");
    let good = bench.run(&["verify", fixture, "--reference", &reference]);
    assert_succeeds(&good);
    for name in ["last_hidden_state", "logits", "verified"] {
        assert!(stdout(&good).contains(name), "{}", stdout(&good));
    }
    let strict = bench.run(&["verify", fixture, "--reference", &reference, "--tolerance", "1e-12"]);
    assert_fails(&strict, 7, &["verification failed"]);
    bench.write("junk", "junk");
    assert_fails(&bench.run(&["verify", fixture, "--reference", "junk"]), 3, &["junk"]);
}

#[test]
fn prediction_reads_files_and_stdin() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "3"]));
    bench.write("texts.txt", "the film is good.\nthe plot is bad.\n");
    let from_file = bench.run(&["predict", "runs/run", "--file", "texts.txt"]);
    assert_succeeds(&from_file);
    assert_eq!(stdout(&from_file).lines().count(), 2);
    let from_table = bench.run(&["predict", "runs/run", "--file", "reviews.csv"]);
    assert_succeeds(&from_table);
    assert_eq!(stdout(&from_table).lines().count(), reviews(200).lines().count() - 1);
    let mut child = bench
        .command(&["predict", "runs/run"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"the cast is fun.\n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    // A blank line has a row of its own.
    let rows: Vec<bool> = stdout(&output).lines().map(str::is_empty).collect();
    assert_eq!(rows, [false, true]);
}
