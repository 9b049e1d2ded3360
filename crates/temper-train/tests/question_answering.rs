//! Questions on contexts with a tiny model: it learns, resumes, is scored again, and answers with slices of contexts.

mod common;

use common::page::assert_report;
use common::{Bench, assert_fails, assert_succeeds, interrupt, stderr, stdout};
use serde_json::{Value, json};

/// Questions whose answer is the one word of a kind. Some contexts need two windows, all have a character of two bytes.
fn questions(rows: usize, unanswered: bool) -> String {
    let subjects = ["film", "plot", "cast", "story"];
    let words = ["good", "great", "fine", "fun", "bad", "dull", "poor", "weak"];
    let fillers = ["is", "was", "is very", "was so", "is so very", "was not so", "is not"];
    let ends = ["", " the film and this cast, and the plot, and so, and very."];
    let mut lines = String::new();
    for row in 0..rows {
        let (subject, word) = (subjects[row % 4], words[row / 4 % 8]);
        let start = format!("é, the {subject} {} ", fillers[row / 32 % 7]);
        let has_answer = !(unanswered && row % 3 == 0);
        let word = if has_answer { word } else { "a" };
        let context = format!("{start}{word}.{}", ends[row % 5 / 4]);
        let answers = match has_answer {
            true => json!({"text": [word], "answer_start": [start.chars().count()]}),
            false => json!({"text": [], "answer_start": []}),
        };
        let row = json!({"question": format!("{subject} is"), "context": context, "answers": answers});
        lines += &format!("{row}\n");
    }
    lines
}

fn arguments<'a>(name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["finetune", "./model", "questions.jsonl", "--task", "question-answering"];
    arguments.extend(["--run-name", name, "--learning-rate", "5e-3", "--per-device-train-batch-size", "8"]);
    arguments.extend(["--max-seq-length", "20", "--doc-stride", "6", "--num-train-epochs", "4"]);
    arguments.extend(flags);
    arguments
}

fn bench(unanswered: bool) -> Bench {
    let bench = Bench::new();
    bench.write("questions.jsonl", &questions(224, unanswered));
    bench
}

fn metric(scores: &Value, name: &str) -> f64 {
    scores["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} is not in {scores}"))
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The answer of a row of predictions is the part of its context that it names.
fn assert_is_slice(row: &Value, context: &str) {
    let place = |name: &str| row[name].as_u64().unwrap() as usize;
    let slice: String = context.chars().skip(place("start")).take(place("end") - place("start")).collect();
    assert_eq!(row["text"], slice.as_str());
}

#[test]
fn a_run_learns_to_answer() {
    let bench = bench(false);
    assert_succeeds(&bench.run(&arguments("run", &[])));
    assert_report(&bench, "run", &["<dt>test F1</dt>", "exact match"]);
    let results = bench.json("runs/run/results.json");
    assert!(metric(&results["test"], "f1") > 0.9, "{}", results["test"]);
    assert_eq!(results["test"]["metrics"].as_object().unwrap().keys().next().unwrap(), "f1");
    assert_eq!(results["test"]["baseline"], 0.0);
    let predicted = rows(&bench.read("runs/run/predictions.jsonl"));
    let f1: f64 =
        predicted.iter().map(|row| row["score"].as_f64().unwrap()).sum::<f64>() / predicted.len() as f64;
    assert!((f1 - metric(&results["test"], "f1")).abs() < 1e-9, "`compare` reads the score of each question");
    let config = bench.json("runs/run/model/config.json");
    assert_eq!(config["architectures"][0], "BertForQuestionAnswering");
    let record = bench.json("runs/run/model/temper.json");
    assert_eq!((&record["columns"]["context"], &record["doc_stride"]), (&json!("context"), &json!(6)));
    assert!(record.get("task").is_none(), "{record}");

    let evaluated = bench.run(&["evaluate", "runs/run", "--json", "--max-tokens-per-batch", "50"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    for name in ["f1", "exact"] {
        assert_eq!(scores["metrics"][name], results["test"]["metrics"][name]);
    }
    let difference = metric(&scores, "loss") - metric(&results["test"], "loss");
    assert!(difference.abs() < 1e-5, "{difference}");
}

#[test]
fn answers_are_slices_of_their_contexts_wherever_questions_come_from() {
    let bench = bench(false);
    assert_succeeds(&bench.run(&arguments("run", &[])));
    let context = "é, the film was so and so. and this cast, and the plot, and so, and very: é great.";
    let given = bench.run(&["predict", "runs/run", "--json", "--question", "film is", "--context", context]);
    assert_succeeds(&given);
    let row = &rows(&stdout(&given))[0];
    assert_eq!(
        (&row["question"], &row["context"], &row["text"]),
        (&json!("film is"), &json!(context), &json!("great"))
    );
    assert_is_slice(row, context);
    for span in row["n_best"].as_array().unwrap() {
        assert_is_slice(span, context);
    }

    let from_file = bench.run(&["predict", "runs/run", "--json", "--file", "questions.jsonl"]);
    assert_succeeds(&from_file);
    let (found, asked) = (rows(&stdout(&from_file)), rows(&bench.read("questions.jsonl")));
    assert_eq!(found.len(), asked.len());
    for (found, asked) in found.iter().zip(&asked) {
        assert_eq!(found["context"], asked["context"]);
        assert_is_slice(found, asked["context"].as_str().unwrap());
    }
    let right =
        found.iter().zip(&asked).filter(|(found, asked)| found["text"] == asked["answers"]["text"][0]);
    assert!(right.count() > 200);

    let mut child = bench
        .command(&["predict", "runs/run"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"cast is\tthe cast was so dull.\n").unwrap();
    let line = stdout(&child.wait_with_output().unwrap());
    let fields: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!((fields[0], fields[2], fields[3]), ("dull", "cast is", "the cast was so dull."));
    assert!(fields[1].parse::<f64>().unwrap() > 0.0);

    let alone = bench.run(&["predict", "runs/run", "--question", "film is"]);
    assert_fails(&alone, 2, &["--text-pair once for each --text"]);
    bench.write("contexts.jsonl", "{\"question\": \"film is\"}\n");
    let alone = bench.run(&["predict", "runs/run", "--file", "contexts.jsonl"]);
    assert_fails(&alone, 2, &["no column context", "--text-pair-column"]);
}

#[test]
fn questions_without_an_answer_get_none() {
    let bench = bench(true);
    let refused = bench.run(&arguments("refused", &[]));
    assert_fails(&refused, 3, &["questions.jsonl, row 1", "no answer"]);
    assert_succeeds(&bench.run(&arguments("run", &["--version-2-with-negative"])));
    assert_eq!(bench.json("runs/run/model/temper.json")["task"]["null_threshold"], 0.0);
    let results = bench.json("runs/run/results.json");
    let scores = &results["test"];
    assert!(metric(scores, "f1") > 0.9, "{scores}");
    assert!(metric(scores, "best_f1") >= metric(scores, "f1"));
    let parts: Vec<&Value> =
        scores["tables"][0]["rows"].as_array().unwrap().iter().map(|row| &row[0]).collect();
    assert_eq!(parts, ["has answer", "no answer"]);
    let support = |row: usize| scores["tables"][0]["rows"][row][1][2].as_f64().unwrap();
    assert!((scores["baseline"].as_f64().unwrap() - support(1) / (support(0) + support(1))).abs() < 1e-9);

    let evaluated = bench.run(&["evaluate", "runs/run", "questions.jsonl", "--split", "validation"]);
    assert_succeeds(&evaluated);
    for part in ["best_f1_threshold", "has answer", "no answer to any question"] {
        assert!(stdout(&evaluated).contains(part), "{part} is not in {}", stdout(&evaluated));
    }
    let ask = |context: &str| {
        let output =
            bench.run(&["predict", "runs/run", "--json", "--question", "film is", "--context", context]);
        assert_succeeds(&output);
        rows(&stdout(&output))[0].clone()
    };
    assert_eq!(ask("é, the film was so good.")["text"], "good");
    let none = ask("é, the film was so a.");
    assert_eq!((&none["text"], &none["start"], &none["end"]), (&json!(""), &json!(0), &json!(0)));
}

#[test]
fn the_threshold_of_no_answer_is_chosen_on_validation() {
    let bench = bench(true);
    let flags = ["--version-2-with-negative", "--tune-threshold", "--max-steps", "40"];
    assert_succeeds(&bench.run(&arguments("run", &flags)));
    let chosen = bench.json("runs/run/results.json")["tuned"]["null_threshold"].as_f64().unwrap();
    assert_eq!(bench.json("runs/run/model/temper.json")["task"]["null_threshold"], chosen);
    let evaluated = bench.run(&["evaluate", "runs/run", "--split", "validation", "--json"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    assert!((metric(&scores, "f1") - metric(&scores, "best_f1")).abs() < 1e-12, "{scores}");
    assert_eq!(metric(&scores, "best_f1_threshold"), chosen);
    let never = bench.run(&["evaluate", "runs/run", "--json", "--null-score-diff-threshold", "-1000"]);
    let scores: Value = serde_json::from_str(&stdout(&never)).unwrap();
    assert_eq!(metric(&scores, "f1"), scores["baseline"].as_f64().unwrap());
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let bench = bench(false);
    // So many steps that it does not end before it is interrupted.
    let flags = ["--logging-steps", "2", "--max-steps", "300"];
    assert_succeeds(&bench.run(&arguments("straight", &flags)));
    let mut command = bench.command(&arguments("resumed", &flags));
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    bench.wait_for_step("resumed", 8);
    interrupt(child.id());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "the run ended before it could be interrupted");
    let output = bench.run(&["finetune", "--resume", "runs/resumed"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("resuming"));
    let weights =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(weights("straight") == weights("resumed"));
    let scores = |run: &str| bench.json(&format!("runs/{run}/results.json"))["test"]["metrics"].clone();
    assert_eq!(scores("straight"), scores("resumed"));
}
