//! `--precision` on the tiny model, and what is refused.

mod common;

use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

fn accuracy(results: &Value) -> f64 {
    results["test"]["metrics"]["accuracy"].as_f64().expect("an accuracy")
}

fn assert_f32(file: &Path) {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert!(parsed.tensors().iter().all(|(_, view)| view.dtype() == Dtype::F32));
}

#[test]
fn a_run_in_bf16_learns_and_leaves_f32_weights() {
    let bench = Bench::new();
    let output = bench.finetune("run", &["--precision", "bf16", "--num-train-epochs", "6"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("precision bf16: "), "{}", stderr(&output));
    assert!(bench.read("runs/run/run.toml").contains("precision = \"bf16\""));
    let results = bench.json("runs/run/results.json");
    assert!(accuracy(&results) > 0.9, "{results}");
    assert_f32(&bench.path("runs/run/model/model.safetensors"));

    let evaluated = bench.run(&["evaluate", "runs/run", "--json", "--precision", "bf16"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).expect("JSON");
    assert_eq!(scores["metrics"], results["test"]["metrics"]);
    let logits = |precision: &str| {
        let text = ["--text", "the film is great."];
        let output =
            bench.run(&[&["predict", "runs/run", "--json", "--precision", precision], &text[..]].concat());
        assert_succeeds(&output);
        let row: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        row["logits"][0].as_f64().expect("a number")
    };
    let (exact, rounded) = (logits("f32"), logits("bf16"));
    assert!(exact != rounded && (exact - rounded).abs() < 0.05 * exact.abs().max(1.0), "{exact} {rounded}");
}

#[test]
fn the_default_is_recorded_by_name() {
    let bench = Bench::new();
    let output = bench.finetune("run", &["--max-steps", "3"]);
    assert_succeeds(&output);
    assert!(bench.read("runs/run/run.toml").contains("precision = \"f32\""));
    assert!(!stderr(&output).contains("precision"), "{}", stderr(&output));
}

#[test]
fn adapters_and_kept_states_work_in_bf16() {
    let bench = Bench::new();
    let lora = ["--strategy", "lora", "--lora-targets", "all-linear", "--precision", "bf16"];
    assert_succeeds(&bench.finetune("lora", &lora));
    assert_f32(&bench.path("runs/lora/adapter/adapter_model.safetensors"));
    let merged = bench.json("runs/lora/results.json")["merge_difference"].as_f64().expect("a number");
    assert!(merged < 1e-4, "{merged}: weights are compared in f32");

    let head = ["--strategy", "head", "--frozen-dropout", "false", "--precision", "bf16"];
    // Micro-batches of other examples in every epoch.
    let kept = [&head[..], &["--max-tokens-per-batch", "40", "--trunk-cache", "memory"]].concat();
    assert_succeeds(&bench.finetune("kept", &kept));
    let training = &bench.json("runs/kept/results.json")["trunk_cache"]["training"];
    assert!(training["hits"].as_u64().expect("a number") > 0, "{training}");
}

#[test]
fn what_cannot_be_is_refused_with_words() {
    let bench = Bench::new();
    assert_fails(&bench.finetune("run", &["--precision", "tf32"]), 2, &["tf32 is for NVIDIA GPUs", "flex"]);
    assert_fails(&bench.finetune("run", &["--precision", "fp16"]), 2, &["65504", "--precision bf16"]);
    assert_fails(&bench.finetune("run", &["--precision", "f64"]), 2, &["auto, f32, tf32, bf16"]);
    bench.write("settings.toml", "precision = \"fp16\"\n");
    assert_fails(&bench.finetune("run", &["--config", "settings.toml"]), 2, &["65504", "--precision bf16"]);
    assert!(!bench.path("runs/run").exists());
    let predicted = bench.run(&["predict", "./model", "--precision", "tf32", "--text", "a film"]);
    assert_fails(&predicted, 2, &["tf32 is for NVIDIA GPUs"]);
}

#[test]
fn fixtures_are_verified_with_a_tolerance_that_fits() {
    let bench = Bench::new();
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
    let fixtures = zoo.display().to_string();
    let verify = |flags: &[&str]| bench.run(&[&["verify", "--all", "--fixtures", &fixtures], flags].concat());
    let exact = verify(&[]);
    assert_succeeds(&exact);
    assert!(stdout(&exact).contains("tolerance 1e-4, precision f32"), "{}", stdout(&exact));
    let rounded = verify(&["--precision", "bf16"]);
    assert_succeeds(&rounded);
    assert!(stdout(&rounded).contains("tolerance 2.5e-1, precision bf16"), "{}", stdout(&rounded));
    assert_fails(&verify(&["--precision", "bf16", "--tolerance", "1e-4"]), 7, &["verification failed"]);
    let json = verify(&["--precision", "bf16", "--json"]);
    let value: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((value["precision"].as_str(), value["tolerance"].as_f64()), (Some("bf16"), Some(0.25)));
}
