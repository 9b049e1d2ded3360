//! A run whose frozen layers' output is kept gives what a run without that gives.

mod common;

use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stderr};
use serde_json::{Value, json};

/// Losses of the steps, and the validation losses.
fn losses(bench: &Bench, run: &str) -> [Vec<f64>; 2] {
    let text = bench.read(&format!("runs/{run}/metrics.jsonl"));
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_steps = rows.iter().filter_map(|row| row["loss"].as_f64());
    let of_evaluations = rows.iter().filter_map(|row| row["metrics"]["loss"].as_f64());
    [of_steps.collect(), of_evaluations.collect()]
}

fn assert_same_losses(bench: &Bench, left: &str, right: &str) {
    for (left, right) in losses(bench, left).iter().zip(&losses(bench, right)) {
        assert!(left.len() > 1 && left.len() == right.len(), "{left:?} {right:?}");
        for (left, right) in left.iter().zip(right) {
            assert!((left - right).abs() < 1e-5, "{left} {right}");
        }
    }
}

/// Replaces the model by one of the zoo, with dropout; its tokens are those of the vocabulary.
fn use_model(bench: &Bench, name: &str) {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo").join(name);
    std::fs::copy(zoo.join("model.safetensors"), bench.path("model/model.safetensors")).expect("copied");
    let text = std::fs::read_to_string(zoo.join("config.json")).expect("a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    for (key, value) in config.as_object_mut().into_iter().flatten() {
        if key.contains("drop") && value.is_number() {
            *value = json!(0.1);
        }
    }
    bench.write("model/config.json", &config.to_string());
    // Not the class of the model's family: the words are those of a BERT.
    bench.write("model/tokenizer_config.json", &json!({"tokenizer_class": "BertTokenizer"}).to_string());
}

fn finetune(bench: &Bench, run: &str, cache: &str, flags: &[&str]) -> std::process::Output {
    let mut all = vec!["--frozen-dropout", "false", "--num-train-epochs", "3", "--logging-steps", "1"];
    // Micro-batches of other examples in every epoch.
    all.extend(["--max-tokens-per-batch", "40", "--trunk-cache", cache]);
    all.extend(flags);
    bench.finetune(run, &all)
}

#[test]
fn the_losses_are_the_same_from_memory_from_a_file_and_without() {
    for model in
        ["bert-sequence-classification", "gpt2-sequence-classification", "t5-sequence-classification"]
    {
        let bench = Bench::new();
        use_model(&bench, model);
        for strategy in ["head", "last:1"] {
            let named = |cache: &str| format!("{cache}-{}", strategy.replace(':', "-"));
            for cache in ["off", "memory", "file"] {
                let output = finetune(&bench, &named(cache), cache, &["--strategy", strategy]);
                assert_succeeds(&output);
                let text = stderr(&output);
                assert_eq!(text.contains("trunk cache, training"), cache != "off", "{text}");
            }
            assert!(bench.json(&format!("runs/{}/results.json", named("off")))["trunk_cache"].is_null());
            for cache in ["memory", "file"] {
                assert_same_losses(&bench, &named("off"), &named(cache));
                let results = bench.json(&format!("runs/{}/results.json", named(cache)));
                let kept = &results["trunk_cache"]["training"];
                assert_eq!(kept["place"], cache, "{model}: {results}");
                let layers = if model.starts_with("t5") { 4 } else { 2 };
                assert_eq!(kept["depth"], if strategy == "head" { layers } else { layers - 1 });
                // The first of three epochs fills it.
                assert!((kept["hit_rate"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{kept}");
                assert!(kept["bytes"].as_u64().unwrap() > 0);
                assert!(results["trunk_cache"]["validation"]["hits"].as_u64().unwrap() > 0);
            }
            let files: Vec<String> = std::fs::read_dir(bench.path(&format!("runs/{}", named("file"))))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert!(files.iter().all(|name| !name.starts_with(".tmp")), "{files:?}");
        }
    }
}

#[test]
fn frozen_dropout_stands_in_the_way() {
    let bench = Bench::new();
    let refused = bench.finetune("refused", &["--strategy", "last:1", "--trunk-cache", "memory"]);
    assert_fails(&refused, 2, &["--trunk-cache", "--frozen-dropout false"]);
    assert!(!bench.path("runs/refused").exists());
    let hinted = bench.finetune("hinted", &["--strategy", "last:1"]);
    assert_succeeds(&hinted);
    assert!(stderr(&hinted).contains("--frozen-dropout false"), "{}", stderr(&hinted));
    let results = bench.json("runs/hinted/results.json");
    assert!(results["trunk_cache"]["training"].is_null());
    // Nothing drops out in an evaluation.
    assert!(results["trunk_cache"]["validation"]["hit_rate"].as_f64().unwrap() > 0.0);
    // The default is what it always was; without the switch, frozen layers drop out.
    assert_succeeds(&bench.finetune("off", &["--strategy", "last:1", "--trunk-cache", "off"]));
    assert_same_losses_of_steps(&bench, "hinted", "off", true);
    assert_succeeds(&finetune_as(&bench, "without"));
    assert_same_losses_of_steps(&bench, "without", "off", false);
}

fn finetune_as(bench: &Bench, run: &str) -> std::process::Output {
    let flags = ["--strategy", "last:1", "--trunk-cache", "off", "--frozen-dropout", "false"];
    bench.finetune(run, &flags)
}

fn assert_same_losses_of_steps(bench: &Bench, left: &str, right: &str, same: bool) {
    let [left, right] = [left, right].map(|run| losses(bench, run)[0].clone());
    assert_eq!(left == right, same, "{left:?} {right:?}");
}

#[test]
fn too_little_room_turns_it_off_and_a_wrong_size_is_refused() {
    let bench = Bench::new();
    let small = ["--strategy", "last:1", "--trunk-cache-memory", "1kB", "--trunk-cache-disk", "1kB"];
    let output = finetune(&bench, "small", "auto", &small);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("trunk cache, training: off"), "{}", stderr(&output));
    assert_eq!(bench.json("runs/small/results.json")["trunk_cache"]["training"]["place"], "off");
    let file = ["--strategy", "last:1", "--trunk-cache-memory", "1kB"];
    assert_succeeds(&finetune(&bench, "file", "auto", &file));
    assert_eq!(bench.json("runs/file/results.json")["trunk_cache"]["training"]["place"], "file");
    assert_same_losses(&bench, "small", "file");
    let wrong = finetune(&bench, "wrong", "auto", &["--trunk-cache-memory", "much"]);
    assert_fails(&wrong, 2, &["trunk_cache_memory", "2GB"]);
    assert_fails(&finetune(&bench, "wrong", "disk", &[]), 2, &["disk"]);
}

#[test]
fn nothing_is_kept_where_everything_trains() {
    let bench = Bench::new();
    let output = finetune(&bench, "all", "memory", &["--strategy", "all"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("trunk cache: off"), "{}", stderr(&output));
    assert!(bench.json("runs/all/results.json")["trunk_cache"].is_null());
}

#[test]
fn gradual_unfreezing_shrinks_the_cache_and_changes_nothing_else() {
    let bench = Bench::new();
    // Head, upper layer, lower layer, embeddings.
    let gradual = ["--strategy", "gradual:2epoch", "--num-train-epochs", "8"];
    assert_succeeds(&finetune(&bench, "without", "off", &gradual));
    let output = finetune(&bench, "with", "auto", &gradual);
    assert_succeeds(&output);
    let text = stderr(&output);
    for part in ["training: 2 lowest layers", "training: 1 lowest layers", "no layer is frozen any more"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_same_losses(&bench, "without", "with");
    let kept = &bench.json("runs/with/results.json")["trunk_cache"]["training"];
    // The second of two epochs each with both layers and with one; none later.
    assert_eq!((&kept["depth"], &kept["hit_rate"]), (&json!(1), &json!(0.5)), "{kept}");
    // One epoch a group: nothing would be read again.
    let output = finetune(&bench, "once", "auto", &["--strategy", "gradual:1epoch"]);
    assert_succeeds(&output);
    assert!(bench.json("runs/once/results.json")["trunk_cache"].is_null());
}
