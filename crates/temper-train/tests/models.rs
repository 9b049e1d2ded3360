//! `temper models`: what is known, for people and for programs.

mod common;

use common::{Bench, assert_succeeds, stdout};
use serde_json::Value;

#[test]
fn families_and_models_are_listed() {
    let bench = Bench::new();
    let output = bench.run(&["models"]);
    assert_succeeds(&output);
    let text = stdout(&output);
    assert!(text.contains("bert: text-classification, token-classification"), "{text}");
    let minilm = text.lines().find(|line| line.trim_start().starts_with("minilm ")).expect(&text);
    assert!(minilm.contains("Apache-2.0") && minilm.contains("Python package"), "{minilm}");

    let output = bench.run(&["models", "--json"]);
    assert_succeeds(&output);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let families = value["families"].as_array().expect("a list");
    let bert = families.iter().find(|family| family["model_type"] == "bert").expect("BERT");
    assert!(bert["heads"].as_array().expect("a list").iter().any(|head| head["task"] == "fill-mask"));
    assert!(bert["models"].as_array().expect("a list").iter().any(|model| model["name"] == "minilm"));
}
