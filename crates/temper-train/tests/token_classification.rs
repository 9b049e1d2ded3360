//! Token classification on a tiny model: entities are found again, at the places that are named.

mod common;

use common::page::assert_report;
use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::{Value, json};

const SUBJECTS: [&str; 4] = ["film", "plot", "cast", "story"];
const PRAISE: [&str; 4] = ["good", "great", "fine", "fun"];
const BLAME: [&str; 4] = ["bad", "dull", "poor", "weak"];

/// Words with their tags: a subject, and praise or blame of one or two words.
fn sentence(row: usize) -> (Vec<&'static str>, Vec<&'static str>) {
    let mut words = vec!["the", SUBJECTS[row % 4], "is"];
    let mut tags = vec!["O", "B-subject", "O"];
    let (kind, word) = match row / 4 % 2 {
        0 => (["B-praise", "I-praise"], PRAISE[row / 8 % 4]),
        _ => (["B-blame", "I-blame"], BLAME[row / 8 % 4]),
    };
    if (row / 32).is_multiple_of(2) {
        words.push("very");
        tags.extend([kind[0], kind[1]]);
    } else {
        tags.push(kind[0]);
    }
    words.push(word);
    // Sentences that are no copies of each other.
    words.extend(["and", "so", "was", "this"].iter().cycle().take(row / 64 % 5));
    tags.resize(words.len(), "O");
    (words, tags)
}

fn jsonl(rows: std::ops::Range<usize>) -> String {
    let row = |row| {
        let (tokens, tags) = sentence(row);
        json!({"tokens": tokens, "tags": tags}).to_string() + "\n"
    };
    rows.map(row).collect()
}

fn conll(rows: std::ops::Range<usize>) -> String {
    let lines = |row| {
        let (words, tags) = sentence(row);
        let lines = words.iter().zip(tags).map(|(word, tag)| format!("{word} {tag}\n"));
        lines.collect::<String>() + "\n"
    };
    rows.map(lines).collect()
}

fn finetune(bench: &Bench, data: &str, name: &str, flags: &[&str]) -> std::process::Output {
    let settings = [
        "--task",
        "token-classification",
        "--learning-rate",
        "1e-2",
        "--per-device-train-batch-size",
        "8",
        "--max-seq-length",
        "24",
        "--num-train-epochs",
        "4",
        "--run-name",
        name,
    ];
    bench.run(&[&["finetune", "./model", data][..], &settings, flags].concat())
}

fn metric(scores: &Value, name: &str) -> f64 {
    scores["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} is not in {scores}"))
}

#[test]
fn entities_are_found_at_the_places_that_are_named() {
    let bench = Bench::new();
    bench.write("words.jsonl", &jsonl(0..256));
    assert_succeeds(&finetune(&bench, "words.jsonl", "run", &[]));
    let results = bench.json("runs/run/results.json");
    assert!(metric(&results["test"], "f1") > 0.9, "{}", results["test"]);
    assert!(metric(&results["test"], "strict_f1") > 0.8, "{}", results["test"]);
    assert_eq!(results["test"]["tables"][0]["rows"].as_array().unwrap().len(), 3);
    let config = bench.json("runs/run/model/config.json");
    assert_eq!(config["architectures"][0], "BertForTokenClassification");
    assert_eq!(config["id2label"]["0"], "O");

    // Files with the columns of the training need no flags, and their words stay as they are.
    bench.write("new.jsonl", "{\"id\": 4, \"tokens\": [\"the\", \"film\", \"isn't\", \"bad\"]}\n");
    let output = bench.run(&["predict", "runs/run", "--file", "new.jsonl", "--keep", "id", "--json"]);
    assert_succeeds(&output);
    let row: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
    assert_eq!((&row["id"], &row["words"]), (&json!(4), &json!(["the", "film", "isn't", "bad"])));
    assert_eq!((&row["labels"][1], &row["text"]), (&json!("B-subject"), &json!("the film isn't bad")));
    bench.write("new.conll", "the O\nfilm O\n\nthe O\nplot O\n");
    let output = bench.run(&["predict", "runs/run", "--file", "new.conll"]);
    assert_succeeds(&output);
    assert_eq!(stdout(&output), "subject=film (4-8)\tthe film\nsubject=plot (4-8)\tthe plot\n");

    let text = "The   film\tis very  GOOD";
    let predicted = bench.run(&["predict", "runs/run", "--json", "--text", text]);
    assert_succeeds(&predicted);
    let row: Value = serde_json::from_str(stdout(&predicted).trim()).unwrap();
    let characters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    for entity in row["entities"].as_array().unwrap() {
        let place = |name: &str| entity[name].as_u64().unwrap() as usize;
        let text: String = characters[place("start")..place("end")].iter().collect();
        assert_eq!(entity["text"], text.as_str());
        found.push((entity["type"].as_str().unwrap(), text));
    }
    assert_eq!(found, [("subject", "film".to_owned()), ("praise", "very  GOOD".to_owned())]);
    assert!(
        stdout(&bench.run(&["predict", "runs/run", "--text", "the cast is dull"]))
            .contains("blame=dull (12-16)")
    );

    for aggregation in ["first", "average", "max"] {
        // Every word is one token here.
        let flags = ["--json", "--text", text, "--aggregation", aggregation];
        let again = bench.run(&[&["predict", "runs/run"][..], &flags].concat());
        assert_eq!(stdout(&again), stdout(&predicted), "{aggregation}");
    }
    let wrong = bench.run(&["predict", "runs/run", "--text", text, "--aggregation", "simple"]);
    assert_fails(&wrong, 2, &["simple", "average"]);

    let evaluated = bench.run(&["evaluate", "runs/run", "--json"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    assert_eq!(scores["metrics"], results["test"]["metrics"]);
    assert_report(&bench, "run", &["<h3>Entities</h3>", "no entity anywhere"]);
}

#[test]
fn every_form_of_the_same_data_gives_the_same_model() {
    let bench = Bench::new();
    bench.write("words.jsonl", &jsonl(0..96));
    bench.write("words.conll", &conll(0..96));
    let flags = ["--num-train-epochs", "1"];
    assert_succeeds(&finetune(&bench, "words.jsonl", "lists", &flags));
    assert_succeeds(&finetune(&bench, "words.conll", "conll", &flags));
    let model =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(model("lists") == model("conll"));
    // Windows shorter than the sentences: nothing is dropped, and every word is scored.
    let short = finetune(&bench, "words.jsonl", "short", &["--max-seq-length", "6", "--doc-stride", "1"]);
    assert_succeeds(&short);
    let results = bench.json("runs/short/results.json");
    assert_eq!(results["data"]["splits"][0]["tokens_lost"], 0);
    assert!(metric(&results["test"], "f1") > 0.5, "{}", results["test"]);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let bench = Bench::new();
    bench.write("words.jsonl", &jsonl(0..128));
    let flags = ["--save-steps", "3", "--save-total-limit", "9", "--num-train-epochs", "2"];
    assert_succeeds(&finetune(&bench, "words.jsonl", "whole", &flags));
    let mut started = bench
        .command(
            &[
                &[
                    "finetune",
                    "./model",
                    "words.jsonl",
                    "--task",
                    "token-classification",
                    "--run-name",
                    "cut",
                ][..],
                &["--learning-rate", "1e-2", "--per-device-train-batch-size", "8", "--max-seq-length", "24"],
                &flags,
            ]
            .concat(),
        )
        .spawn()
        .unwrap();
    bench.wait_for_step("cut", 10);
    started.kill().unwrap();
    started.wait().unwrap();
    if !bench.path("runs/cut/results.json").exists() {
        assert_succeeds(&bench.run(&["finetune", "--resume", "runs/cut"]));
    }
    let bytes = |name: &str| std::fs::read(bench.path(name)).unwrap();
    for file in ["model/model.safetensors", "predictions.jsonl"] {
        assert!(bytes(&format!("runs/whole/{file}")) == bytes(&format!("runs/cut/{file}")), "{file}");
    }
}

#[test]
fn a_comparison_has_a_baseline_of_words_known_by_heart() {
    let bench = Bench::new();
    bench.write("words.jsonl", &jsonl(0..128));
    let output = bench.run(&[
        "compare",
        "./model",
        "words.jsonl",
        "--task",
        "token-classification",
        "--strategies",
        "all,head",
        "--seeds",
        "1",
        "--max-seq-length",
        "24",
        "--run-name",
        "both",
    ]);
    assert_succeeds(&output);
    let text = stdout(&output);
    for part in ["f1", "most frequent label of each word", "all", "head"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn bad_rows_are_refused_with_file_and_row() {
    let bench = Bench::new();
    bench.write(
        "lengths.jsonl",
        &(jsonl(0..40) + &json!({"tokens": ["a", "film"], "tags": ["O"]}).to_string()),
    );
    assert_fails(&finetune(&bench, "lengths.jsonl", "run", &[]), 3, &["lengths.jsonl", "41"]);
    std::fs::create_dir(bench.path("split")).unwrap();
    bench.write("split/train.jsonl", &jsonl(0..40));
    bench.write("split/test.jsonl", &json!({"tokens": ["a"], "tags": ["B-place"]}).to_string());
    assert_fails(&finetune(&bench, "split", "run", &[]), 3, &["test.jsonl", "B-place"]);
    assert!(!bench.path("runs/run").exists());
    // A model of another task is not scored on this data.
    assert_succeeds(&bench.finetune("texts", &["--max-steps", "3"]));
    bench.write("words.jsonl", &jsonl(0..64));
    let other = bench.run(&["evaluate", "runs/texts", "words.jsonl"]);
    assert_fails(&other, 3, &["words.jsonl", "text"]);
    assert!(stderr(&other).contains("words.jsonl"));
}

#[test]
fn tags_that_break_their_scheme_are_refused_where_that_is_asked() {
    let bench = Bench::new();
    let row = json!({"tokens": ["the", "good", "film"], "tags": ["O", "I-praise", "O"]});
    bench.write("words.jsonl", &(jsonl(0..128) + &row.to_string() + "\n"));
    assert_succeeds(&finetune(&bench, "words.jsonl", "kept", &["--max-steps", "3"]));
    let output = finetune(&bench, "words.jsonl", "strict", &["--max-steps", "3", "--strict-tags"]);
    assert_fails(&output, 3, &["words.jsonl", "129", "I-praise", "--strict-tags"]);
}
