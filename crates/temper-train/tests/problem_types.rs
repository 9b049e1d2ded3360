//! Labels of other kinds on a tiny model: any number of labels, and numbers.

mod common;

use common::page::assert_report;
use common::{Bench, assert_fails, assert_succeeds, stdout};
use serde_json::{Value, json};

/// Reviews with a label for praise and one for the film, so that a text has none, one or both.
fn several(rows: usize, separator: Option<char>) -> String {
    let text = |row: usize| {
        let subject = ["film", "plot"][row % 2];
        let word = [["good", "bad"], ["great", "dull"], ["fine", "poor"]][row / 4 % 3][row / 2 % 2];
        format!(
            "the {subject} {} {word}.",
            ["is", "was", "is very", "was so", "is, and was,", "was the"][row / 12 % 6]
        )
    };
    let labels = |row: usize| {
        let film = (row.is_multiple_of(2)).then_some("film");
        let praise = ((row / 2).is_multiple_of(2)).then_some("praise");
        film.into_iter().chain(praise).collect::<Vec<_>>()
    };
    match separator {
        None => {
            let row = |row| json!({"text": text(row), "label": labels(row)}).to_string() + "\n";
            (0..rows).map(row).collect()
        }
        Some(separator) => {
            let lines = (0..rows)
                .map(|row| format!("\"{}\",{}\n", text(row), labels(row).join(&separator.to_string())));
            format!("text,label\n{}", lines.collect::<String>())
        }
    }
}

/// Reviews with a number that one word decides.
fn numbers(rows: usize) -> String {
    let row = |row: usize| {
        let (word, number) = [("bad", "-1.5"), ("weak", "-0.5"), ("fine", "0.5"), ("great", "1.5")][row % 4];
        let subject = ["film", "plot", "cast", "story"][row / 4 % 4];
        let filler = ["is", "was", "is very", "was so", "is, and was,"][row / 16 % 5];
        format!("\"the {subject} {filler} {word}.\",{number}\n")
    };
    format!("text,label\n{}", (0..rows).map(row).collect::<String>())
}

fn finetune(bench: &Bench, data: &str, name: &str, flags: &[&str]) -> std::process::Output {
    let settings =
        ["--learning-rate", "1e-2", "--per-device-train-batch-size", "8", "--max-seq-length", "16"];
    let named = ["--num-train-epochs", "8", "--run-name", name];
    bench.run(&[&["finetune", "./model", data][..], &settings, &named, flags].concat())
}

fn metrics(bench: &Bench, run: &str) -> std::collections::BTreeMap<String, f64> {
    let results = bench.json(&format!("runs/{run}/results.json"));
    serde_json::from_value(results["test"]["metrics"].clone()).unwrap()
}

fn predicted(bench: &Bench, run: &str, text: &str) -> Value {
    let output = bench.run(&["predict", run, "--json", "--text", text]);
    assert_succeeds(&output);
    serde_json::from_str(stdout(&output).trim()).unwrap()
}

#[test]
fn a_text_has_any_number_of_labels() {
    let bench = Bench::new();
    bench.write("several.jsonl", &several(240, None));
    let longer = ["--num-train-epochs", "24", "--learning-rate", "5e-3"];
    assert_succeeds(&finetune(&bench, "several.jsonl", "run", &longer));
    let metrics = metrics(&bench, "run");
    assert!(metrics["micro_f1"] > 0.9, "{metrics:?}");
    assert_eq!(bench.json("runs/run/model/config.json")["problem_type"], "multi_label_classification");
    assert_report(&bench, "run", &["<dt>test micro F1</dt>", "<h3>Labels</h3>", "praise"]);
    for (text, labels) in [
        ("the film is great.", json!(["film", "praise"])),
        ("the film is bad.", json!(["film"])),
        ("the plot is great.", json!(["praise"])),
        ("the plot is bad.", json!([])),
    ] {
        assert_eq!(predicted(&bench, "runs/run", text)["labels"], labels, "{text}");
    }
    // The same data as parts of a text gives the same model.
    bench.write("several.csv", &several(240, Some('|')));
    assert_succeeds(&finetune(
        &bench,
        "several.csv",
        "parts",
        &[&longer[..], &["--label-separator", "|"]].concat(),
    ));
    let model =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(model("run") == model("parts"));
    // The model knows what stood between its labels.
    let evaluated = bench.run(&["evaluate", "runs/parts/model", "several.csv", "--split", "train", "--json"]);
    assert_succeeds(&evaluated);
    let evaluated = bench.run(&["evaluate", "runs/run", "--json"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    assert_eq!(scores["metrics"], bench.json("runs/run/results.json")["test"]["metrics"]);
    // A model of one label a text is not scored on it.
    assert_succeeds(&bench.finetune("one", &["--max-steps", "3"]));
    assert_fails(
        &bench.run(&["evaluate", "runs/one", "several.jsonl"]),
        2,
        &["any number of labels for each text"],
    );
}

/// The threshold that validation chooses is recorded, decides the test, and is what evaluate and predict decide by.
#[test]
fn the_threshold_of_labels_is_chosen_on_validation() {
    let bench = Bench::new();
    bench.write("several.jsonl", &several(240, None));
    // A model that has hardly learned is far from a threshold of 0.5.
    assert_succeeds(&finetune(&bench, "several.jsonl", "run", &["--max-steps", "12", "--tune-threshold"]));
    let results = bench.json("runs/run/results.json");
    let chosen = results["tuned"]["label_threshold"].as_f64().unwrap();
    assert!(chosen > 0.0 && chosen < 1.0 && chosen != 0.5, "{chosen}");
    assert_eq!(bench.json("runs/run/model/temper.json")["task"]["label_threshold"], chosen);

    let evaluated = |split: &str, flags: &[&str]| {
        let output = bench.run(&[&["evaluate", "runs/run", "--json", "--split", split][..], flags].concat());
        assert_succeeds(&output);
        let scores: Value = serde_json::from_str(&stdout(&output)).unwrap();
        scores["metrics"].clone()
    };
    assert_eq!(evaluated("test", &[]), results["test"]["metrics"]);
    let micro_f1 = |flags: &[&str]| evaluated("validation", flags)["micro_f1"].as_f64().unwrap();
    let best = micro_f1(&[]);
    for other in ["0.3", "0.4", "0.5", "0.6", "0.7"] {
        assert!(micro_f1(&["--label-threshold", other]) <= best, "{other}");
    }

    let predict = ["predict", "runs/run", "--text", "the film is great.", "--json"];
    let output = bench.run(&[&predict[..], &["--label-threshold", "0.9999"]].concat());
    let row: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
    assert_eq!(row["labels"], json!([]));
    let wrong = bench.run(&[&predict[..], &["--aggregation", "max"]].concat());
    assert_fails(&wrong, 2, &["--aggregation decides nothing here", "sigmoid"]);
}

#[test]
fn a_text_has_a_number() {
    let bench = Bench::new();
    bench.write("numbers.csv", &numbers(240));
    assert_succeeds(&finetune(&bench, "numbers.csv", "run", &["--problem-type", "regression"]));
    let metrics = metrics(&bench, "run");
    assert!(metrics["pearson"] > 0.9 && metrics["rmse"] < 0.5, "{metrics:?}");
    let page = assert_report(&bench, "run", &["RMSE is", "always the mean"]);
    assert!(!page.contains("Calibration") && !page.contains("Confusion matrix"));
    let results = bench.json("runs/run/results.json");
    assert_eq!(results["test"]["lower_is_better"], true);
    // The best checkpoint is the one with the lowest error on the validation split.
    let rows = bench.read("runs/run/metrics.jsonl");
    let errors = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors =
        errors.filter(|row| row["kind"] == "eval").map(|row| row["metrics"]["rmse"].as_f64().unwrap());
    let lowest = errors.fold(f64::INFINITY, f64::min);
    assert_eq!(results["best_validation"][0].as_f64().unwrap(), lowest);
    assert_eq!(bench.json("runs/run/model/config.json")["problem_type"], "regression");
    let value = |text: &str| predicted(&bench, "runs/run", text)["values"]["label"].as_f64().unwrap();
    assert!(value("the film is great.") > 0.8 && value("the film is bad.") < -0.8);
    // Its numbers are read as numbers without a flag.
    let evaluated = bench.run(&["evaluate", "runs/run/model", "numbers.csv", "--json"]);
    assert_succeeds(&evaluated);
    assert!(stdout(&evaluated).contains("pearson"));
    // A comparison and a search take the lower error for the better one.
    let compared = bench.run(&[
        "compare",
        "./model",
        "numbers.csv",
        "--problem-type",
        "regression",
        "--strategies",
        "all@1e-2,head@1e-6",
        "--seeds",
        "1",
        "--max-seq-length",
        "16",
        "--run-name",
        "both",
    ]);
    assert_succeeds(&compared);
    assert_eq!(bench.json("runs/both/compare.json")["best"], "all@1e-2");
    assert!(stdout(&compared).contains("mean"), "{}", stdout(&compared));
}
