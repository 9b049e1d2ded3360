//! Strategies, transfer, prediction and budget from the command line, on a tiny model.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::Value;

fn weights(bench: &Bench, run: &str) -> Vec<u8> {
    std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap()
}

#[test]
fn every_strategy_trains_and_proves_it() {
    let bench = Bench::new();
    bench.write(
        "mine.toml",
        "[[group]]\npattern = 'head\\..*'\n\n[[group]]\npattern = '.*norm\\..*'\nrate = 0.5\nfrom_step = 4\n",
    );
    for strategy in ["layers:0-0", "norms+head", "biases+head", "gradual", "gradual:2", "mine.toml"] {
        let name = strategy.replace([':', '+', '.'], "_");
        let flags = ["--strategy", strategy, "--layer-decay", "0.8", "--max-steps", "9"];
        let output = bench.finetune(&name, &flags);
        assert_succeeds(&output);
        let results = bench.json(&format!("runs/{name}/results.json"));
        let proof = &results["proof"];
        let tensors = proof["trained"].as_u64().unwrap() + proof["frozen"].as_u64().unwrap();
        assert_eq!(tensors, 41, "{strategy}");
        let checked: Vec<u64> = serde_json::from_value(proof["checked_after_steps"].clone()).unwrap();
        assert!(checked.contains(&3) && checked.contains(&9), "{strategy}: {checked:?}");
        if strategy == "gradual:2" {
            // Head, two layers, embeddings: what is frozen so far is checked before it moves.
            assert_eq!(checked, [2, 3, 4, 6, 9]);
            assert!(stderr(&output).contains("unfreezing after step 6"), "{}", stderr(&output));
        }
        assert!(results["predicted"]["training_seconds"].as_f64().unwrap() > 0.0);
    }
    let record = bench.read("runs/mine_toml/run.toml");
    assert!(record.contains("from_step"), "the file's content is recorded: {record}");
}

#[test]
fn a_gradual_run_goes_on_exactly_after_an_interruption() {
    let bench = Bench::new();
    let flags = ["--strategy", "gradual:6", "--save-steps", "8", "--num-train-epochs", "2"];
    assert_succeeds(&bench.finetune("straight", &flags));
    // A run that was killed after its checkpoint: the same one without what came later.
    assert_succeeds(&bench.finetune("killed", &[&flags[..], &["--save-total-limit", "9"]].concat()));
    let steps = bench.json("runs/killed/results.json")["steps"].as_u64().unwrap();
    assert!(steps > 16, "{steps}");
    std::fs::remove_file(bench.path("runs/killed/results.json")).unwrap();
    std::fs::remove_dir_all(bench.path("runs/killed/model")).unwrap();
    for step in (16..=steps).step_by(8) {
        let _ = std::fs::remove_dir_all(bench.path(&format!("runs/killed/checkpoints/step-{step}")));
    }
    let resumed = bench.run(&["finetune", "--resume", "runs/killed"]);
    assert_succeeds(&resumed);
    assert!(stderr(&resumed).contains("after step 8"), "{}", stderr(&resumed));
    assert!(weights(&bench, "straight") == weights(&bench, "killed"));
}

#[test]
fn transfer_takes_a_run_and_says_what_it_keeps() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("first", &["--max-steps", "6"]));
    let labels = ["a", "b", "c"];
    let row =
        |number: usize| format!("the {} {}.,{}\n", "very ".repeat(number / 3), number, labels[number % 3]);
    bench.write("three.csv", &("text,label\n".to_owned() + &(0..90).map(row).collect::<String>()));
    let arguments =
        ["finetune", "--from", "runs/first", "three.csv", "--run-name", "second", "--max-steps", "3"];
    let output = bench.run(&[&arguments[..], &["--max-seq-length", "16"]].concat());
    assert_succeeds(&output);
    let text = stderr(&output);
    for part in [
        "parameters taken from",
        "classifier.weight",
        "head.output.weight",
        "the head is new",
        "the dataset a, b, c",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let config = bench.json("runs/second/model/config.json");
    assert_eq!(config["id2label"].as_object().unwrap().len(), 3);
    for (arguments, code) in [
        (vec!["finetune", "--from", "runs/nothing", "three.csv"], 2),
        (vec!["finetune", "--from", "runs/first", "./model", "three.csv"], 2),
        (vec!["finetune", "--from", "runs/first"], 2),
    ] {
        assert_fails(&bench.run(&arguments), code, &[]);
    }
}

#[test]
fn the_head_stays_where_task_and_labels_are_the_same() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("first", &[]));
    let loss = |run: &str| {
        bench.json(&format!("runs/{run}/results.json"))["test"]["metrics"]["loss"].as_f64().unwrap()
    };
    // A rate at which nothing moves: the model is the one that the run starts from.
    let still = ["--max-steps", "1", "--learning-rate", "1e-6", "--max-seq-length", "16"];
    let again = |flags: &[&str]| {
        let from = [&["finetune", "--from", "runs/first", "reviews.csv"], flags, &still].concat();
        let output = bench.run(&from);
        assert_succeeds(&output);
        stderr(&output)
    };
    let text = again(&["--run-name", "kept"]);
    assert!(text.contains("is kept") && text.contains("--new-head"), "{text}");
    assert!(!text.contains("initialised randomly: "), "{text}");
    let difference = (loss("kept") - loss("first")).abs();
    assert!(difference < 1e-4, "{difference}");
    let text = again(&["--run-name", "new", "--new-head"]);
    assert!(text.contains("the head is new, as --new-head asks"), "{text}");
    assert!((loss("new") - loss("first")).abs() > 1e-3);
    // A model that is named, too.
    let output =
        bench.run(&[&["finetune", "runs/first", "reviews.csv", "--run-name", "named"], &still[..]].concat());
    assert_succeeds(&output);
    assert!((loss("named") - loss("first")).abs() < 1e-4);
}

#[test]
fn impossible_strategies_are_refused_before_anything_is_made() {
    let bench = Bench::new();
    bench.write("empty.toml", "");
    for (strategy, word) in [
        ("layers:5-9", "layers"),
        ("gradual:0", "gradual"),
        ("empty.toml", "group"),
        ("nowhere.toml", "nowhere.toml"),
        ("pattern:layers", "whole paths"),
    ] {
        assert_fails(&bench.finetune("run", &["--strategy", strategy]), 2, &[word]);
        assert!(!bench.path("runs/run").exists());
    }
    assert_fails(&bench.finetune("run", &["--layer-decay", "1.5"]), 2, &["layer_decay"]);
}

#[test]
fn plan_estimates_each_strategy() {
    let bench = Bench::new();
    let arguments = ["plan", "./model", "reviews.csv", "--max-seq-length", "16", "--json"];
    let output = bench.run(&[&arguments[..], &["--strategies", "all,head"]].concat());
    assert_succeeds(&output);
    let rows: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["strategy"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "head"]);
    for row in &rows {
        for key in ["training_seconds", "evaluation_seconds", "disk_bytes", "seconds_per_token"] {
            assert!(row[key].as_f64().unwrap() > 0.0, "{key}: {row}");
        }
    }
    assert!(rows[0]["trainable_parameters"].as_u64() > rows[1]["trainable_parameters"].as_u64());
    assert!(!bench.path("runs").exists(), "nothing is run");
    let table = bench.run(&["plan", "./model", "reviews.csv", "--max-seq-length", "16"]);
    assert_succeeds(&table);
    assert_eq!(stdout(&table).lines().count(), 4);
    assert_fails(&bench.run(&[&arguments[..], &["--strategies", "last:99"]].concat()), 2, &["last:99"]);
}

#[test]
fn plan_estimates_several_ranks() {
    let bench = Bench::new();
    let arguments = ["plan", "./model", "reviews.csv", "--max-seq-length", "16", "--strategies", "all"];
    let slow = ["--ranks", "2,8", "--bandwidth", "1Mbit", "--latency", "1ms"];
    let output = bench.run(&[&arguments[..], &slow, &["--json"]].concat());
    assert_succeeds(&output);
    let rows: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let parameters = rows[0]["trainable_parameters"].as_f64().unwrap();
    let on_two = &rows[0]["ranks"][0];
    // Each of two ranks sends as many bytes as there are, in two messages.
    let exchange = 4.0 * parameters / 125_000.0 + 2.0 * 1e-3;
    assert!((on_two["exchange_seconds"].as_f64().unwrap() / exchange - 1.0).abs() < 1e-9, "{on_two}");
    assert!(on_two["step_seconds"].as_f64() > on_two["exchange_seconds"].as_f64());
    assert_eq!(rows[0]["ranks"][1]["ranks"], 8);
    let table = stdout(&bench.run(&[&arguments[..], &slow].concat()));
    assert!(table.contains("speed-up") && table.lines().count() == 6, "{table}");
    assert_fails(&bench.run(&[&arguments[..], &["--ranks", "0"]].concat()), 2, &["--ranks"]);
}

#[test]
fn a_budget_chooses_what_fits() {
    let bench = Bench::new();
    let plenty = bench.finetune("plenty", &["--budget", "10h", "--max-steps", "3"]);
    assert_succeeds(&plenty);
    assert!(stderr(&plenty).contains("all is the deepest that fits"), "{}", stderr(&plenty));
    assert_eq!(bench.json("runs/plenty/results.json")["strategy"], "all");
    let none = bench.finetune("none", &["--budget", "1us", "--max-steps", "3"]);
    assert_fails(&none, 2, &["no strategy fits", "head takes", "--max-train-samples"]);
    assert!(!bench.path("runs/none").exists());
    assert_fails(&bench.finetune("none", &["--budget", "soon"]), 2, &["--budget"]);
}

#[test]
fn a_run_that_moves_nothing_fails_its_proof() {
    let bench = Bench::new();
    // So small a rate is lost in the rounding of every parameter.
    let output = bench.finetune("run", &["--learning-rate", "1e-15", "--max-steps", "4"]);
    assert_fails(
        &output,
        7,
        &["training proof failed", "layers.0.ffn.inner.weight should train, but did not change"],
    );
    assert!(!bench.path("runs/run/results.json").exists());
}
