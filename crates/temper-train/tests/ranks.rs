//! Runs that several processes share through MPI: they compute what one process does, and a run continues with any
//! number of them.
#![cfg(feature = "mpi")]

mod common;

use std::process::{Command, Output};

use common::{Bench, assert_succeeds};
use serde_json::{Value, json};

/// Ranks of one machine, all with one thread.
fn mpirun(bench: &Bench, ranks: usize, arguments: &[&str]) -> Command {
    let of_temper = bench.command(&[]);
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.arg(of_temper.get_program()).args(["--threads", "1"]).args(arguments);
    command.current_dir(bench.dir.path());
    for (name, value) in of_temper.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A run on so many ranks; without MPI on one.
fn run(bench: &Bench, ranks: usize, arguments: &[&str]) -> Output {
    match ranks {
        1 => bench.run(arguments),
        ranks => mpirun(bench, ranks, arguments).output().expect("mpirun is there"),
    }
}

const SETTINGS: [&str; 12] = [
    "--learning-rate",
    "1e-3",
    "--per-device-train-batch-size",
    "16",
    "--max-seq-length",
    "16",
    "--logging-steps",
    "1",
    "--min-micro-batches",
    "4",
    "--preset",
    "full",
];

/// Flags of the reviews of the bench.
fn reviews<'a>(name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["finetune", "./model", "reviews.csv", "--run-name", name];
    arguments.extend(SETTINGS);
    arguments.extend(flags);
    arguments
}

/// The loss of each step, as metrics.jsonl has it.
fn losses(bench: &Bench, name: &str) -> Vec<f64> {
    let rows = bench.read(&format!("runs/{name}/metrics.jsonl"));
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.filter(|row| row.get("learning_rate").is_some()).map(|row| row["loss"].as_f64().unwrap()).collect()
}

/// The largest relative difference between the losses of two runs' steps.
fn difference(first: &[f64], second: &[f64]) -> f64 {
    assert_eq!(first.len(), second.len());
    assert!(!first.is_empty());
    let pairs = first.iter().zip(second);
    pairs.map(|(first, second)| (first - second).abs() / first.abs()).fold(0.0, f64::max)
}

fn model(bench: &Bench, name: &str) -> Vec<u8> {
    std::fs::read(bench.path(&format!("runs/{name}/model/model.safetensors"))).expect("a model")
}

/// Trains the same run on each number of ranks; every step has the loss that it has in one process.
fn assert_equal_on(bench: &Bench, numbers: &[usize], what: &str, arguments: &dyn Fn(&str) -> Vec<String>) {
    let train = |ranks: usize| {
        let name = format!("{what}-{ranks}");
        let arguments = arguments(&name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_succeeds(&run(bench, ranks, &arguments));
        let results = bench.json(&format!("runs/{name}/results.json"));
        (losses(bench, &name), results["test"]["metrics"].clone())
    };
    let (alone, _) = train(1);
    for &ranks in numbers {
        let (shared, _) = train(ranks);
        let difference = difference(&alone, &shared);
        eprintln!("{what}: {} steps on {ranks} ranks differ by at most {difference:.1e}", alone.len());
        assert!(difference < 1e-6, "{what} on {ranks} ranks: {alone:?} and {shared:?}");
    }
}

fn owned(arguments: Vec<&str>) -> Vec<String> {
    arguments.into_iter().map(String::from).collect()
}

#[test]
fn any_number_of_ranks_computes_what_one_process_does() {
    let bench = Bench::new();
    let flags = ["--max-steps", "8"];
    assert_equal_on(&bench, &[2, 3, 4], "plain", &|name| owned(reviews(name, &flags)));
}

#[test]
fn every_way_of_training_is_shared() {
    let bench = Bench::new();
    for (what, flags) in [
        ("accumulation", &["--gradient-accumulation-steps", "2", "--max-tokens-per-batch", "60"][..]),
        ("lora", &["--strategy", "lora", "--lora-dropout", "0.1"]),
        ("gradual", &["--strategy", "gradual:2"]),
        ("checkpointing", &["--gradient-checkpointing"]),
        ("trunk", &["--strategy", "last:1", "--frozen-dropout", "false", "--trunk-cache", "memory"]),
        ("average", &["--ema-decay", "0.9", "--eval-steps", "4"]),
    ] {
        let flags = [&["--max-steps", "8"], flags].concat();
        assert_equal_on(&bench, &[3], what, &|name| owned(reviews(name, &flags)));
    }
}

#[test]
fn two_runs_with_the_same_ranks_are_equal_bit_for_bit() {
    let bench = Bench::new();
    for name in ["first", "second"] {
        assert_succeeds(&run(&bench, 3, &reviews(name, &["--max-steps", "8", "--save-steps", "3"])));
    }
    assert_eq!(model(&bench, "first"), model(&bench, "second"));
    assert_eq!(losses(&bench, "first"), losses(&bench, "second"));
    let predictions = |name: &str| bench.read(&format!("runs/{name}/predictions.jsonl"));
    assert_eq!(predictions("first"), predictions("second"));
    assert_eq!(bench.json("runs/first/results.json")["ranks"], json!([[0, 3]]));
}
