//! report.html of whole runs: what is in it, and that no text of the data becomes markup.

mod common;

use common::page::assert_report;
use common::{Bench, assert_succeeds};
use serde_json::Value;

#[test]
fn a_report_shows_results_curves_confusion_calibration_and_words() {
    let bench = Bench::new();
    let flags = ["--eval-steps", "5", "--logging-steps", "1", "--strategy", "last:1"];
    assert_succeeds(&bench.finetune("run", &flags));
    let results = bench.json("runs/run/results.json");
    let accuracy = results["test"]["metrics"]["accuracy"].as_f64().unwrap();
    let ece = results["test"]["calibration"]["ece"].as_f64().unwrap();
    let step = results["best_validation"][1].as_u64().unwrap();
    let page = assert_report(
        &bench,
        "run",
        &[
            &format!("accuracy is {accuracy:.4}"),
            "the simple baseline (always the most common label",
            &format!("The model kept is that after step {step} of"),
            &format!("(ECE) {ece:.4} over 15 bins"),
            "&quot;name&quot;:&quot;training&quot;",
            "&quot;name&quot;:&quot;validation&quot;",
            "Validation accuracy",
            "class=\"matrix\"",
            "Reliability diagram",
            "Each word was left out in turn",
            "estimated",
            "reviews.csv",
        ],
    );
    // A frozen layer did not move, one that trained did.
    let movement: Vec<Value> = results["movement"].as_array().unwrap().clone();
    let part = |name: &str| movement.iter().find(|part| part["part"] == name).unwrap();
    assert_eq!(part("layer 0")["relative_change"], 0.0);
    assert!(part("layer 1")["relative_change"].as_f64().unwrap() > 1e-4, "{movement:?}");
    assert!(page.contains(">frozen<"));
    // Bins are those of all test examples.
    let bins = results["test"]["calibration"]["bins"].as_array().unwrap();
    let counted: u64 = bins.iter().map(|bin| bin["examples"].as_u64().unwrap()).sum();
    let test = results["data"]["splits"][2]["examples"].as_u64().unwrap();
    assert_eq!((bins.len(), counted), (15, test));
}

#[test]
fn texts_and_labels_of_the_data_are_harmless() {
    let bench = Bench::new();
    let mut rows = String::from("text,label\n");
    for row in 0..120 {
        let label = ["<script>alert(1)</script>", "</style><b onclick=x>"][row % 2];
        let word = ["good", "bad"][row % 2];
        rows += &format!(
            "\"the film {row} is {word} <script>alert(2)</script> &amp; <img onerror=x>\",{label}\n"
        );
    }
    bench.write("reviews.csv", &rows);
    // So few steps leave errors.
    assert_succeeds(&bench.finetune("run", &["--max-steps", "1", "--logging-steps", "1"]));
    let page =
        assert_report(&bench, "run", &["&lt;script&gt;alert(2)&lt;/script&gt;", "&lt;b onclick=x&gt;"]);
    for harmful in ["<script>alert", "<b onclick", "<img", "</style><b"] {
        assert!(!page.contains(harmful), "{harmful} is in the report");
    }
    assert_eq!(page.matches("<script").count(), 1, "the report's own");
}

#[test]
fn a_report_of_adapters_shows_what_merging_them_moved() {
    let bench = Bench::new();
    let flags = ["--strategy", "lora", "--max-steps", "6", "--logging-steps", "1"];
    assert_succeeds(&bench.finetune("run", &flags));
    assert_report(&bench, "run", &["Merging the adapters changes the logits"]);
    let results = bench.json("runs/run/results.json");
    let moved =
        results["movement"].as_array().unwrap().iter().filter_map(|part| part["relative_change"].as_f64());
    assert!(moved.filter(|change| *change > 0.0).count() >= 2, "{}", results["movement"]);
}

#[test]
fn a_run_that_went_on_reports_the_movement_of_the_whole() {
    let bench = Bench::new();
    assert_succeeds(
        &bench.finetune("whole", &["--max-steps", "12", "--save-steps", "4", "--eval-steps", "4"]),
    );
    let mut child = bench
        .command(&["finetune", "./model", "reviews.csv", "--run-name", "parts", "--learning-rate", "5e-3"])
        .args(["--per-device-train-batch-size", "8", "--max-seq-length", "16", "--num-train-epochs", "2"])
        .args(["--max-steps", "12", "--save-steps", "4", "--eval-steps", "4", "--logging-steps", "1"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    bench.wait_for_step("parts", 2);
    common::interrupt(child.id());
    child.wait().unwrap();
    if !bench.path("runs/parts/results.json").exists() {
        assert_succeeds(&bench.run(&["finetune", "--resume", "runs/parts"]));
    }
    let movement = |run: &str| bench.json(&format!("runs/{run}/results.json"))["movement"].clone();
    assert_eq!(movement("whole"), movement("parts"));
    assert_report(&bench, "parts", &[]);
}
