//! Runs on a server of MLflow: what is sent, in a run that ends, is stopped, or meets a server that is gone.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::sync::{Arc, Mutex};

use common::{Bench, assert_fails, assert_succeeds, stderr};
use serde_json::{Value, json};

/// Answers as MLflow 3 does, and keeps what it was sent: paths and bodies.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    /// One that refuses what comes after so many requests.
    fn start(answered: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut length = 0;
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let header = header.trim().to_lowercase();
                    if header.is_empty() {
                        break;
                    }
                    if let Some(value) = header.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut kept = kept.lock().unwrap();
                kept.push((path.clone(), serde_json::from_slice(&body).unwrap_or_default()));
                let (status, answer) = match () {
                    () if kept.len() > answered => (500, json!({"message": "the disk is full"})),
                    () if path.contains("get-by-name") => {
                        (404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST"}))
                    }
                    () if path.ends_with("experiments/create") => (200, json!({"experiment_id": "7"})),
                    () if path.ends_with("runs/create") => (200, json!({"run": {"info": {"run_id": "abc"}}})),
                    () => (200, json!({})),
                };
                let answer = answer.to_string();
                let text = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                    answer.len()
                );
                let _ = reader.get_mut().write_all(text.as_bytes());
            }
        });
        Self { address, requests }
    }

    /// The bodies sent to a path, and those of log-batch with such a part.
    fn sent(&self, end: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, body)| body.clone()).collect()
    }

    /// Name, step and value of every number.
    fn metrics(&self) -> Vec<(String, u64, f64)> {
        let batches = self.sent("runs/log-batch");
        let metrics = batches.iter().filter_map(|body| body["metrics"].as_array()).flatten();
        metrics
            .map(|metric| {
                let name = metric["key"].as_str().unwrap().to_owned();
                (name, metric["step"].as_u64().unwrap(), metric["value"].as_f64().unwrap())
            })
            .collect()
    }
}

fn tracked(bench: &Bench, address: &str, arguments: &[&str]) -> Output {
    let mut command = bench.command(arguments);
    command.env("MLFLOW_TRACKING_URI", address).env("MLFLOW_EXPERIMENT_NAME", "reviews");
    command.output().unwrap()
}

const RUN: [&str; 13] = [
    "finetune",
    "./model",
    "reviews.csv",
    "--run-name",
    "run",
    "--report-to",
    "mlflow",
    "--max-steps",
    "8",
    "--logging-steps",
    "4",
    "--learning-rate=5e-3",
    "--max-seq-length=16",
];

#[test]
fn a_run_is_logged_with_parameters_numbers_and_its_end() {
    let (bench, server) = (Bench::new(), Server::start(usize::MAX));
    assert_succeeds(&tracked(&bench, &server.address, &RUN));
    assert!(server.requests.lock().unwrap()[0].0.contains("experiment_name=reviews"));
    assert_eq!(server.sent("experiments/create"), [json!({"name": "reviews"})]);
    let created = &server.sent("runs/create")[0];
    assert_eq!((&created["experiment_id"], &created["run_name"]), (&json!("7"), &json!("run")));
    let batches = server.sent("runs/log-batch");
    let parameters: BTreeMap<String, String> = batches
        .iter()
        .filter_map(|body| body["params"].as_array())
        .flatten()
        .map(|pair| (pair["key"].as_str().unwrap().to_owned(), pair["value"].as_str().unwrap().to_owned()))
        .collect();
    for (key, value) in
        [("model", "./model"), ("dataset", "reviews.csv"), ("max_steps", "8"), ("optim", "adamw")]
    {
        assert_eq!(parameters[key], value, "{key}");
    }
    let results = bench.json("runs/run/results.json");
    let metrics = server.metrics();
    let losses: Vec<u64> =
        metrics.iter().filter(|(name, ..)| name == "train/loss").map(|&(_, step, _)| step).collect();
    assert_eq!(losses, [4, 8]);
    assert!(metrics.iter().any(|(name, ..)| name == "eval/accuracy"));
    let test = metrics.iter().find(|(name, ..)| name == "test/accuracy").unwrap();
    assert_eq!((test.1, json!(test.2)), (8, results["test"]["metrics"]["accuracy"].clone()));
    let ends = server.sent("runs/update");
    assert_eq!(ends.len(), 1);
    assert_eq!((&ends[0]["run_id"], &ends[0]["status"]), (&json!("abc"), &json!("FINISHED")));

    // A run that is computed again is no other run.
    let before = server.requests.lock().unwrap().len();
    assert_succeeds(&tracked(&bench, &server.address, &["replay", "runs/run", "--steps", "0:4"]));
    assert_eq!(server.requests.lock().unwrap().len(), before);
}

#[test]
fn a_server_that_fails_ends_no_training_and_one_that_is_not_there_begins_none() {
    // Experiment, run and parameters are taken; the numbers are not.
    let (bench, server) = (Bench::new(), Server::start(4));
    let output = tracked(&bench, &server.address, &RUN);
    assert_succeeds(&output);
    let text = stderr(&output);
    assert!(text.contains("the disk is full") && text.contains("nothing more of this run is sent"), "{text}");
    assert!(bench.path("runs/run/results.json").exists());

    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let again = [&RUN[..], &["--overwrite-output-dir"]].concat();
    assert_fails(&tracked(&bench, &address, &again), 4, &[&address, "MLFLOW_TRACKING_URI"]);
    assert_fails(&tracked(&bench, "", &again), 2, &["http://localhost:5000"]);
    assert_fails(&tracked(&bench, "file:///tmp/mlruns", &again), 2, &["mlflow server"]);
}
