//! Runs that several processes share through MPI: they compute what one process does, and a run continues with any
//! number of them.
#![cfg(feature = "mpi")]

mod common;

use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
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

/// The scores of the test split, which the ranks evaluate together.
fn test_scores(bench: &Bench, name: &str) -> Vec<(String, f64)> {
    let results = bench.json(&format!("runs/{name}/results.json"));
    let metrics = results["test"]["metrics"].as_object().expect("the scores of the test split").clone();
    metrics.into_iter().filter_map(|(metric, value)| Some((metric, value.as_f64()?))).collect()
}

/// Trains the same run on each number of ranks; every step has the loss that it has in one process, and the test split
/// the same scores.
fn assert_equal_on(bench: &Bench, numbers: &[usize], what: &str, arguments: &dyn Fn(&str) -> Vec<String>) {
    let train = |ranks: usize| {
        let name = format!("{what}-{ranks}");
        let arguments = arguments(&name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_succeeds(&run(bench, ranks, &arguments));
        (losses(bench, &name), test_scores(bench, &name))
    };
    let (alone, scores) = train(1);
    assert!(!scores.is_empty(), "{what} has no scores");
    for &ranks in numbers {
        let (shared, scores_of_ranks) = train(ranks);
        let difference = difference(&alone, &shared);
        eprintln!("{what}: {} steps on {ranks} ranks differ by at most {difference:.1e}", alone.len());
        assert!(difference < 1e-6, "{what} on {ranks} ranks: {alone:?} and {shared:?}");
        for ((metric, score), (other, of_ranks)) in scores.iter().zip(&scores_of_ranks) {
            assert_eq!(metric, other, "{what} on {ranks} ranks");
            let close = (score - of_ranks).abs() <= 1e-5 * score.abs().max(1.0);
            assert!(close, "{what} on {ranks} ranks: {metric} is {of_ranks}, not {score}");
        }
        assert_eq!(scores.len(), scores_of_ranks.len(), "{what} on {ranks} ranks");
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
    // Other micro-batches draw other masks: then the losses are others.
    let other = [&flags[..], &["--min-micro-batches", "2"]].concat();
    assert_succeeds(&run(&bench, 1, &reviews("other", &other)));
    assert!(difference(&losses(&bench, "plain-1"), &losses(&bench, "other")) > 1e-4);
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

const SUBJECTS: [&str; 4] = ["film", "plot", "cast", "story"];
const PRAISE: [&str; 4] = ["good", "great", "fine", "fun"];

/// Rows of a task's data, an object each.
fn jsonl(row: impl Fn(&str, &str, &str) -> Value) -> String {
    let rows = (0..160).map(|number: usize| {
        let filler = ["is", "was", "is very", "was so", "is not"][number / 16 % 5];
        row(SUBJECTS[number % 4], filler, PRAISE[number / 4 % 4]).to_string() + "\n"
    });
    rows.collect()
}

#[test]
fn every_task_is_shared() {
    let bench = Bench::new();
    let gpt2 = json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 40, "n_positions": 32,
        "n_embd": 32, "n_layer": 2, "n_head": 4, "activation_function": "gelu_new", "resid_pdrop": 0.1,
        "embd_pdrop": 0.1, "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "initializer_range": 0.1,
        "bos_token_id": 2, "eos_token_id": 3
    });
    let t5 = json!({
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 40, "d_model": 32,
        "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6, "initializer_factor": 1.0, "feed_forward_proj": "relu",
        "is_encoder_decoder": true, "pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0,
        "tie_word_embeddings": true
    });
    bench.write("gpt2.json", &gpt2.to_string());
    bench.write("t5.json", &t5.to_string());
    bench.write("model/tokenizer_config.json", &json!({"eos_token": "[SEP]"}).to_string());
    let tags = |subject: &str, filler: &str, praise: &str| {
        let mut tokens = vec!["the", subject];
        tokens.extend(filler.split(' '));
        let others = vec!["O"; tokens.len() - 2];
        tokens.push(praise);
        let tags = [&["O", "B-subject"][..], &others, &["B-praise"]].concat();
        json!({"tokens": tokens, "tags": tags})
    };
    let question = |subject: &str, filler: &str, praise: &str| {
        let start = format!("the {subject} {filler} ");
        json!({"question": format!("{subject} is"), "context": format!("{start}{praise}."),
            "answers": {"text": [praise], "answer_start": [start.len()]}})
    };
    let sentence = |subject: &str, filler: &str, praise: &str| format!("the {subject} {filler} {praise} .");
    let labels = |s: &str, f: &str, p: &str| json!({"text": sentence(s, f, p), "label": [s, p]});
    let number =
        |s: &str, f: &str, p: &str| json!({"text": sentence(s, f, p), "label": p.len() as f64 / 2.0});
    let text = |s: &str, f: &str, p: &str| json!({"text": sentence(s, f, p)});
    let turned =
        |s: &str, f: &str, p: &str| json!({"source": sentence(s, f, p), "target": format!("{p} {s}")});
    for (task, data, flags) in [
        ("token-classification", jsonl(tags), &[][..]),
        ("question-answering", jsonl(question), &["--doc-stride", "4"]),
        (
            "text-classification",
            jsonl(labels),
            &["--tune-threshold", "--problem-type", "multi_label_classification"],
        ),
        ("text-classification", jsonl(number), &["--problem-type", "regression"]),
        ("masked-language-modeling", jsonl(text), &["--mlm-probability", "0.3"]),
        ("language-modeling", jsonl(text), &["--from-scratch", "gpt2.json"]),
        ("text-to-text", jsonl(turned), &["--from-scratch", "t5.json"]),
    ] {
        let what = format!("{task}{}", flags.last().unwrap_or(&"").replace('.', "-"));
        let file = format!("{what}.jsonl");
        bench.write(&file, &data);
        assert_equal_on(&bench, &[3], &what, &|name| {
            let mut arguments = vec!["finetune", "./model", &file, "--run-name", name, "--task", task];
            arguments.extend(SETTINGS);
            arguments.extend(["--max-steps", "6"].iter().chain(flags));
            owned(arguments)
        });
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

/// A run of some seconds on two ranks, with a checkpoint every few steps, that has one.
fn started(bench: &Bench, name: &str, more: &[&str]) -> Child {
    let flags = [&LONG[..], &["--resume", "auto"], more].concat();
    let mut command = mpirun(bench, 2, &reviews(name, &flags));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mpirun is there");
    bench.wait_for_step(name, 12);
    child
}

const LONG: [&str; 6] = ["--max-steps", "150", "--save-steps", "10", "--eval-steps", "50"];

/// The process of a rank of mpirun's, which may be about to start it.
fn process_of(mpirun: &Child, rank: usize) -> u32 {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let of_rank = |process: &&str| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    for _ in 0..400 {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", mpirun.id())).unwrap();
        if let Some(process) = children.split_whitespace().find(of_rank) {
            return process.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("there is no rank {rank}");
}

fn send(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// How mpirun ended, within a minute.
fn ended(mut child: Child) -> ExitStatus {
    for _ in 0..1200 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    send("-KILL", child.id());
    panic!("the ranks did not end");
}

/// The rows of a run without times.
fn rows(bench: &Bench, name: &str) -> Vec<Value> {
    let text = bench.read(&format!("runs/{name}/metrics.jsonl"));
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().unwrap().remove("tokens_per_second");
        row
    };
    text.lines().map(row).collect()
}

#[test]
fn a_signal_to_any_rank_stops_all_and_other_numbers_of_ranks_continue() {
    let bench = Bench::new();
    assert_succeeds(&run(&bench, 1, &reviews("whole", &LONG)));
    let child = started(&bench, "cut", &[]);
    send("-TERM", process_of(&child, 1));
    assert_eq!(ended(child).code(), Some(75), "start me again");
    // Three ranks, then a process of its own: each stops in turn.
    let mut child = mpirun(&bench, 3, &reviews("cut", &[&LONG[..], &["--resume", "auto"]].concat()));
    let child = child.stderr(Stdio::null()).spawn().unwrap();
    bench.wait_for_step("cut", 60);
    send("-USR1", process_of(&child, 2));
    bench.wait_for_step("cut", 70);
    send("-TERM", process_of(&child, 0));
    assert_eq!(ended(child).code(), Some(75));
    assert_succeeds(&run(&bench, 1, &reviews("cut", &[&LONG[..], &["--resume", "auto"]].concat())));
    let (whole, cut) = (losses(&bench, "whole"), losses(&bench, "cut"));
    let difference = difference(&whole, &cut);
    eprintln!("on 2, 3 and 1 ranks, {} steps differ by at most {difference:.1e}", whole.len());
    assert!(difference < 1e-5, "{difference:e}");
    let ranks = bench.json("runs/cut/results.json")["ranks"].clone();
    let ranks: Vec<u64> = ranks.as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).collect();
    assert_eq!(ranks, [2, 3, 1]);
    assert_fails(&bench.run(&["replay", "runs/cut", "--steps", "140:150"]), 2, &["computed by 3 ranks"]);
    // And once more: it is done.
    let again = run(&bench, 2, &reviews("cut", &[&LONG[..], &["--resume", "auto"]].concat()));
    assert_succeeds(&again);
    assert!(stderr(&again).contains("is finished"), "{}", stderr(&again));
}

#[test]
fn killed_ranks_cost_nothing_but_time() {
    let bench = Bench::new();
    let flags = [&LONG[..], &["--resume", "auto"]].concat();
    assert_succeeds(&run(&bench, 2, &reviews("whole", &flags)));
    // More of them: RANK_KILLS=50 cargo test ...
    let kills: u64 = std::env::var("RANK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let mut random = 7_u64;
    let mut killed = 0;
    for trial in 0.. {
        let mut command = mpirun(&bench, 2, &reviews("killed", &flags));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if killed < kills {
            // From its start to somewhere in its steps.
            std::thread::sleep(Duration::from_millis(600 + (random >> 33) % 1500));
            if child.try_wait().unwrap().is_none() {
                send("-KILL", process_of(&child, (trial % 2) as usize));
                let status = ended(child);
                assert!(!status.success(), "{status}");
                killed += 1;
                continue;
            }
        }
        assert!(ended(child).success());
        if killed >= kills {
            break;
        }
        std::fs::remove_dir_all(bench.path("runs/killed")).unwrap();
    }
    assert_eq!(model(&bench, "killed"), model(&bench, "whole"));
    assert_eq!(rows(&bench, "killed"), rows(&bench, "whole"));
}

#[test]
fn a_rank_that_does_not_answer_ends_the_others_with_the_code_to_start_again() {
    let bench = Bench::new();
    let child = started(&bench, "waiting", &["--rank-timeout", "2s"]);
    send("-STOP", process_of(&child, 1));
    assert_eq!(ended(child).code(), Some(75));
    let flags = [&LONG[..], &["--resume", "auto", "--rank-timeout", "1m"]].concat();
    assert_succeeds(&run(&bench, 2, &reviews("waiting", &flags)));
}

#[test]
fn ranks_with_other_arguments_are_refused_by_number() {
    let bench = Bench::new();
    let arguments = reviews("other", &["--max-steps", "4"]);
    let mut command = mpirun(&bench, 1, &arguments);
    let program = bench.command(&[]).get_program().to_owned();
    command.args([":", "-n", "1"]).arg(program).args(["--threads", "1"]);
    command.args(&arguments).args(["--seed", "7"]);
    let output = command.output().unwrap();
    assert_fails(&output, 2, &["rank 1 on ", "differs from rank 0 in arguments", "--seed 7"]);
    assert!(!bench.path("runs/other").exists(), "refused before there is a folder");
}

#[test]
fn doctor_shows_ranks_and_how_fast_they_sum() {
    let bench = Bench::new();
    let output = run(&bench, 2, &["doctor", "--machine", "--json"]);
    assert_succeeds(&output);
    let machine: Value = serde_json::from_str(&stdout(&output)).expect("one object, of rank 0");
    let found = machine["ranks"].as_array().unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|rank| rank["local_size"] == 2 && rank["threads"].as_u64() > Some(0)));
    assert!(machine["allreduce"][1]["seconds"].as_f64() > Some(0.0));
    let text = stdout(&run(&bench, 2, &["doctor", "--machine"]));
    assert_eq!(text.matches("Allreduce").count(), 2, "{text}");
}
