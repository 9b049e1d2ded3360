//! `temper runs`, the link to the latest run, and what a run says of each test example and in its model card.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::Value;

fn trained() -> Bench {
    let bench = Bench::new();
    for (name, rate) in [("one", "5e-3"), ("two", "1e-4")] {
        let flags = ["--max-steps", "9", "--save-steps", "4", "--learning-rate", rate];
        assert_succeeds(&bench.finetune(name, &flags));
    }
    bench
}

fn output(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[&["runs"], arguments].concat());
    assert_succeeds(&output);
    stdout(&output)
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let bench = trained();
    // A folder that is no run, and a run that was interrupted.
    std::fs::create_dir(bench.path("runs/other")).unwrap();
    std::fs::create_dir(bench.path("runs/broken")).unwrap();
    std::fs::copy(bench.path("runs/one/run.toml"), bench.path("runs/broken/run.toml")).unwrap();

    let listed: Value = serde_json::from_str(&output(&bench, &["--json"])).unwrap();
    let names: Vec<&str> =
        listed["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["broken", "two", "one"], "the newest first, and no `latest`");
    let two = &listed["runs"][1];
    let results = bench.json("runs/two/results.json");
    assert_eq!((&two["metric"], &two["steps"]), (&"accuracy".into(), &9.into()));
    assert_eq!(two["score"], results["test"]["metrics"]["accuracy"]);
    assert_eq!(listed["runs"][0]["is_finished"], false);
    let table = output(&bench, &["list"]);
    assert!(table.contains("accuracy") && table.contains("unfinished"), "{table}");

    let shown = output(&bench, &["show", "runs/two"]);
    assert!(shown.contains("learning_rate = 0.0001") && shown.contains("accuracy = "), "{shown}");
    let differences = output(&bench, &["diff", "runs/one", "runs/two"]);
    assert!(differences.contains("learning_rate: 0.005 in one, 0.0001 in two"), "{differences}");
    assert!(differences.contains("test accuracy: ") && !differences.contains("seed"), "{differences}");
    let json: serde_json::Value =
        serde_json::from_str(&output(&bench, &["diff", "runs/one", "runs/two", "--json"])).unwrap();
    assert_eq!(json["runs"], serde_json::json!(["one", "two"]));
    assert_eq!(json["settings"], serde_json::json!({"learning_rate": ["0.005", "0.0001"]}));
    // Runs of one name in two folders are told apart by their paths.
    std::fs::create_dir_all(bench.path("old")).unwrap();
    std::fs::rename(bench.path("runs/two"), bench.path("old/one")).unwrap();
    let differences = output(&bench, &["diff", "runs/one", "old/one"]);
    assert!(differences.contains("0.005 in runs/one, 0.0001 in old/one"), "{differences}");
    assert_fails(&bench.run(&["runs", "show", "runs/other"]), 2, &["no run.toml"]);
    assert_fails(&bench.run(&["runs", "--output-dir", "nowhere"]), 1, &["nowhere"]);
}

#[test]
fn only_checkpoints_of_finished_runs_are_removed_and_only_when_that_is_said() {
    let bench = trained();
    std::fs::remove_file(bench.path("runs/one/results.json")).unwrap();
    let listed = output(&bench, &["prune"]);
    assert!(listed.contains("runs/two/checkpoints") && !listed.contains("runs/one"), "{listed}");
    assert!(bench.path("runs/two/checkpoints/step-8").is_dir());
    output(&bench, &["prune", "--yes"]);
    assert!(!bench.path("runs/two/checkpoints").exists());
    assert!(bench.path("runs/one/checkpoints/step-8").is_dir());
    assert_succeeds(&bench.run(&["predict", "runs/two", "--text", "good"]));
}

#[test]
fn the_latest_run_is_the_last_that_finished() {
    let bench = trained();
    assert!(!bench.path("runs/latest").exists(), "a run with a name of its own is found by it");
    for rate in ["5e-3", "1e-4"] {
        let settings = ["--learning-rate", rate, "--max-steps", "4", "--max-seq-length", "16"];
        assert_succeeds(&bench.run(&[&["finetune", "./model", "reviews.csv"][..], &settings].concat()));
    }
    let by_link = bench.run(&["predict", "runs/latest", "--json", "--text", "the film is good"]);
    assert_succeeds(&by_link);
    let by_name = bench.run(&["predict", "runs/model-reviews-2", "--json", "--text", "the film is good"]);
    assert_eq!(stdout(&by_link), stdout(&by_name), "{}", stderr(&by_link));
}

#[test]
fn each_test_example_has_its_input_and_what_is_expected() {
    let bench = trained();
    let rows: Vec<Value> = bench
        .read("runs/one/predictions.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reviews = bench.read("reviews.csv");
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["row"], index + 1);
        let (input, expected) = (row["input"].as_str().unwrap(), row["expected"].as_str().unwrap());
        let found = reviews.lines().find(|line| line.trim_start_matches('"').starts_with(input));
        assert!(found.unwrap().ends_with(&format!(",{expected}")), "{found:?} {expected}");
        assert_eq!(row["score"].as_f64().unwrap() == 1.0, row["label"] == row["expected"], "{row}");
    }
}

#[test]
fn the_model_card_has_what_the_hub_reads() {
    let bench = trained();
    let card = bench.read("runs/one/model/README.md");
    let accuracy = bench.json("runs/one/results.json")["test"]["metrics"]["accuracy"].clone();
    for line in [
        "pipeline_tag: text-classification".to_owned(),
        "- name: \"model fine-tuned on reviews.csv\"".to_owned(),
        format!("    - type: \"accuracy\"\n      value: {accuracy}"),
        "AutoModelForSequenceClassification".to_owned(),
        "## Intended use and limits".to_owned(),
    ] {
        assert!(card.contains(&line), "{line} is not in: {card}");
    }
    let path = bench.path("model").display().to_string();
    assert!(!card.contains(&path) && !card.contains("base_model"), "no path of this machine: {card}");
}
