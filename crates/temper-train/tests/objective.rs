//! Weighted, smoothed and focal losses in whole runs: what they change, and what they do not.

mod common;

use common::{Bench, assert_fails, assert_succeeds};
use serde_json::{Value, json};

/// The tiny model without dropout, whose masks depend on how a step is cut into parts.
fn without_dropout() -> Bench {
    let bench = Bench::new();
    let mut config = bench.json("model/config.json");
    for field in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        config[field] = json!(0.0);
    }
    bench.write("model/config.json", &config.to_string());
    bench
}

fn logged(bench: &Bench, name: &str) -> Vec<f64> {
    let text = bench.read(&format!("runs/{name}/metrics.jsonl"));
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.filter(|row| row["kind"] == "train").map(|row| row["loss"].as_f64().expect("a loss")).collect()
}

/// Losses of the first steps.
fn losses(bench: &Bench, name: &str, flags: &[&str]) -> Vec<f64> {
    let short = ["--max-steps", "4", "--logging-steps", "1", "--preset", "full"];
    assert_succeeds(&bench.finetune(name, &[&short[..], flags].concat()));
    logged(bench, name)
}

fn assert_close(left: &[f64], right: &[f64]) {
    assert_eq!(left.len(), right.len());
    let close = left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-4);
    assert!(close, "{left:?} {right:?}");
}

#[test]
fn weights_count_within_the_mean_of_a_step() {
    let bench = without_dropout();
    let plain = losses(&bench, "plain", &[]);
    // Equal weights fall out of the mean; so do balanced ones where labels are equally common.
    assert_close(&plain, &losses(&bench, "equal", &["--class-weights", "3,3"]));
    let unequal = losses(&bench, "unequal", &["--class-weights", "1,9"]);
    assert!((plain[1] - unequal[1]).abs() > 1e-3, "{plain:?} {unequal:?}");
    // Parts of a step add up to it.
    let parts = ["--class-weights", "1,9", "--max-tokens-per-batch", "24"];
    assert_close(&unequal, &losses(&bench, "parts", &parts));
    for (name, flags) in [("smooth", ["--label-smoothing", "0.2"]), ("focal", ["--focal-gamma", "2"])] {
        let found = losses(&bench, name, &flags);
        assert!((plain[0] - found[0]).abs() > 1e-3, "{name}: {plain:?} {found:?}");
        let parts = [&flags[..], &["--max-tokens-per-batch", "24"]].concat();
        assert_close(&found, &losses(&bench, &format!("{name}-parts"), &parts));
    }
}

#[test]
fn tags_have_weights_too() {
    let bench = Bench::new();
    let row = |row: usize| {
        let word = ["good", "bad"][row % 2];
        json!({"tokens": ["the", "film", "is", word, "and", row.to_string()], "tags": ["O", "O", "O", "B-word", "O", "O"]})
    };
    bench.write("words.jsonl", &(0..120).map(|place| row(place).to_string() + "\n").collect::<String>());
    let run = |name: &str, flags: &[&str]| {
        let start = ["finetune", "./model", "words.jsonl", "--task", "token-classification"];
        let short =
            ["--max-steps", "3", "--max-seq-length", "16", "--run-name", name, "--logging-steps", "1"];
        bench.run(&[&start[..], &short, flags].concat())
    };
    assert_succeeds(&run("plain", &[]));
    assert_succeeds(&run("balanced", &["--class-weights", "balanced"]));
    assert!((logged(&bench, "plain")[0] - logged(&bench, "balanced")[0]).abs() > 1e-3);
    assert_fails(
        &run("short", &["--class-weights", "1"]),
        2,
        &["--class-weights 1", "in this order: O, B-word"],
    );
}

#[test]
fn what_has_no_use_for_them_is_refused() {
    let bench = Bench::new();
    let both = ["--label-smoothing", "0.1", "--focal-gamma", "2"];
    assert_fails(&bench.finetune("both", &both), 2, &["--label-smoothing and --focal-gamma", "choose one"]);
    assert_fails(&bench.finetune("list", &["--class-weights", "1,x"]), 2, &["\"x\" is not a number above 0"]);
    let rows = (0..120).map(|row| format!("the film is number {row},{}\n", row % 5));
    bench.write("numbers.csv", &format!("text,label\n{}", rows.collect::<String>()));
    let numbers =
        ["finetune", "./model", "numbers.csv", "--problem-type", "regression", "--run-name", "numbers"];
    let output =
        bench.run(&[&numbers[..], &["--class-weights", "balanced", "--max-seq-length", "16"]].concat());
    assert_fails(&output, 2, &["--class-weights is for tasks with labels; regression has none"]);
    assert!(!bench.path("runs/numbers").exists());
}
