//! Text to text with a tiny T5 trained from scratch: it learns, resumes, is evaluated again, and generates.

mod common;

use common::page::assert_report;
use common::{Bench, assert_fails, assert_succeeds, interrupt, stdout};
use serde_json::{Value, json};

/// Words whose order is to be turned around.
fn pairs(rows: usize) -> String {
    let words =
        ["film", "plot", "cast", "story", "good", "great", "fine", "bad", "dull", "poor", "weak", "fun"];
    let row = |row: usize| {
        let length = 2 + row % 2;
        let chosen: Vec<&str> =
            (0..length).map(|place| words[(row * 7 + place * (row / 12 % 11 + 1)) % 12]).collect();
        let turned: Vec<&str> = chosen.iter().rev().copied().collect();
        json!({"source": chosen.join(" "), "target": turned.join(" ")}).to_string() + "\n"
    };
    (0..rows).map(row).collect()
}

fn bench() -> Bench {
    let bench = Bench::new();
    let config = json!({
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 40, "d_model": 32,
        "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6, "initializer_factor": 1.0, "feed_forward_proj": "relu",
        "is_encoder_decoder": true, "pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0,
        "tie_word_embeddings": true
    });
    bench.write("t5.json", &config.to_string());
    bench.write("pairs.jsonl", &pairs(400));
    bench
}

fn arguments<'a>(name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let mut arguments =
        vec!["finetune", "./model", "pairs.jsonl", "--task", "text-to-text", "--run-name", name];
    arguments.extend(["--from-scratch", "t5.json", "--learning-rate", "5e-3", "--max-seq-length", "16"]);
    arguments.extend(["--max-target-length", "12", "--per-device-train-batch-size", "16"]);
    arguments.extend(flags);
    arguments
}

fn metric(scores: &Value, name: &str) -> f64 {
    scores["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} is not in {scores}"))
}

#[test]
fn a_run_learns_to_write_and_is_scored_again() {
    let bench = bench();
    assert_succeeds(
        &bench.run(&arguments("run", &["--num-train-epochs", "30", "--label-smoothing", "0.05"])),
    );
    assert_report(&bench, "run", &["<dt>test "]);
    let results = bench.json("runs/run/results.json");
    let test = &results["test"];
    assert!(metric(test, "rouge_l") > test["baseline"].as_f64().unwrap() + 0.1, "{test}");
    assert!(metric(test, "rouge1") > 0.7 && metric(test, "loss") < 1.5, "{test}");
    let record = bench.json("runs/run/model/temper.json");
    assert_eq!(
        (&record["task"]["max_target_length"], &record["task"]["source_prefix"]),
        (&json!(12), &json!(""))
    );
    let output = bench.run(&["evaluate", "runs/run", "--json"]);
    assert_succeeds(&output);
    let scores: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(scores["metrics"], test["metrics"]);

    let output = bench.run(&["predict", "runs/run", "--json", "--text", "film good", "--text", "dull plot"]);
    assert_succeeds(&output);
    let rows: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().all(|row| !row["written"].as_str().unwrap().is_empty()), "{rows:?}");
    // The column of the sources is known from the training.
    bench.write("new.csv", "id,source\n7,film good\n");
    let output = bench.run(&["predict", "runs/run", "--file", "new.csv", "--keep", "id"]);
    assert_succeeds(&output);
    let written = rows[0]["written"].as_str().unwrap();
    assert_eq!(stdout(&output), format!("7\t{written}\tfilm good\n"));
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bytes() {
    let bench = bench();
    let flags = ["--num-train-epochs", "12", "--save-steps", "10", "--logging-steps", "1"];
    assert_succeeds(&bench.run(&arguments("whole", &flags)));
    let mut child = bench.command(&arguments("halves", &flags)).spawn().expect("started");
    bench.wait_for_step("halves", 15);
    interrupt(child.id());
    child.wait().expect("ended");
    if !bench.path("runs/halves/results.json").exists() {
        assert_succeeds(&bench.run(&["finetune", "--resume", "runs/halves"]));
    }
    let model =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    assert!(model("whole") == model("halves"));
}

/// Parts of a step add up to the whole, whatever the decoder reads.
#[test]
fn micro_batches_change_nothing() {
    let bench = bench();
    let mut config = bench.json("t5.json");
    config["dropout_rate"] = json!(0.0);
    bench.write("t5.json", &config.to_string());
    let losses = |name: &str, flags: &[&str]| {
        let flags = [&["--max-steps", "6", "--logging-steps", "1"], flags].concat();
        assert_succeeds(&bench.run(&arguments(name, &flags)));
        let journal = bench.read(&format!("runs/{name}/metrics.jsonl"));
        let rows = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| row["loss"].as_f64()).collect::<Vec<_>>()
    };
    let (whole, parts) = (losses("whole", &[]), losses("parts", &["--max-tokens-per-batch", "30"]));
    assert_eq!(whole.len(), parts.len());
    for (whole, part) in whole.iter().zip(&parts) {
        assert!((whole - part).abs() < 2e-4 * whole, "{whole}, {part}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let bench = bench();
    let encoder = ["finetune", "./model", "pairs.jsonl", "--task", "text-to-text", "--max-seq-length", "16"];
    assert_fails(&bench.run(&encoder), 2, &["an encoder and a decoder", "bert"]);
    bench.write("pairs.jsonl", "{\"source\": \"a\", \"target\": \" \"}\n");
    assert_fails(&bench.run(&arguments("no", &[])), 3, &["pairs.jsonl, row 1", "target is empty"]);
}
