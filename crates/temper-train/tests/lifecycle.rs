//! Runs that are stopped, damaged, doubled or asked for again.

mod common;

use std::process::{Child, Command, Stdio};

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::Value;

/// Settings of a run of some seconds, with checkpoints and evaluations every few steps.
const LONG: [&str; 8] =
    ["--num-train-epochs", "8", "--save-steps", "5", "--eval-steps", "10", "--save-total-limit", "3"];

fn arguments<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["finetune", "./model", "reviews.csv", "--run-name", name];
    arguments.extend(["--learning-rate", "5e-3", "--per-device-train-batch-size", "8"]);
    arguments.extend(["--max-seq-length", "16", "--logging-steps", "7"]);
    arguments.extend(LONG);
    arguments.extend(more);
    arguments
}

/// Starts a run and waits until it has a checkpoint.
fn started(bench: &Bench, name: &str) -> Child {
    let mut command = bench.command(&arguments(name, &["--resume", "auto"]));
    let run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    bench.wait_for_step(name, 7);
    run
}

fn send(signal: &str, process: &Child) {
    let status = Command::new("kill").args([signal, &process.id().to_string()]).status().expect("kill");
    assert!(status.success());
}

/// What a run leaves, without times.
fn outcome(bench: &Bench, name: &str) -> (Vec<u8>, Vec<Value>, String) {
    let model = std::fs::read(bench.path(&format!("runs/{name}/model/model.safetensors"))).expect("a model");
    let journal = bench.read(&format!("runs/{name}/metrics.jsonl"));
    let rows = journal.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("an object").remove("tokens_per_second");
        row
    });
    (model, rows.collect(), bench.read(&format!("runs/{name}/predictions.jsonl")))
}

fn uninterrupted() -> Bench {
    let bench = Bench::new();
    assert_succeeds(&bench.run(&arguments("whole", &[])));
    bench
}

#[test]
fn a_run_that_the_system_stops_goes_on_by_the_same_command() {
    let bench = uninterrupted();
    let mut run = started(&bench, "cut");
    send("-TERM", &run);
    assert_eq!(run.wait().expect("ended").code(), Some(75), "start me again");
    assert!(!bench.path("runs/cut/results.json").exists());
    assert_succeeds(&bench.run(&arguments("cut", &["--resume", "auto"])));
    assert_eq!(outcome(&bench, "cut"), outcome(&bench, "whole"));
    // And once more: it is done.
    let again = bench.run(&arguments("cut", &["--resume", "auto"]));
    assert_succeeds(&again);
    assert!(stderr(&again).contains("is finished"), "{}", stderr(&again));
    let other = bench.run(&arguments("cut", &["--resume", "auto", "--seed", "7"]));
    assert_fails(&other, 2, &["seed: 42 then, 7 now"]);
}

#[test]
fn a_run_that_is_stopped_in_an_evaluation_leaves_the_rows_of_one_that_is_not() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("split")).unwrap();
    bench.write("split/train.csv", &common::reviews(64));
    // The evaluation takes longer than it takes to send a signal.
    let rows = (0..12_000).map(|row| {
        format!("so the film {row} was {},{}\n", ["good", "bad"][row % 2], ["pos", "neg"][row % 2])
    });
    bench.write("split/validation.csv", &format!("text,label\n{}", rows.collect::<String>()));
    bench.write("split/test.csv", "text,label\nthe cast was great,pos\nthe cast was weak,neg\n");
    let arguments = |name: &'static str, more: &[&'static str]| {
        let mut arguments = vec!["finetune", "./model", "split", "--run-name", name, "--preset", "full"];
        arguments.extend([
            "--per-device-train-batch-size",
            "8",
            "--max-seq-length",
            "16",
            "--max-steps",
            "8",
        ]);
        arguments.extend(["--logging-steps", "4", "--eval-steps", "4", "--save-steps", "4"]);
        arguments.extend(more);
        arguments
    };
    assert_succeeds(&bench.run(&arguments("whole", &["--save-total-limit", "9"])));
    let mut command = bench.command(&arguments("cut", &["--save-total-limit", "9"]));
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    bench.wait_for_step("cut", 4);
    send("-TERM", &run);
    assert_eq!(run.wait().expect("ended").code(), Some(75));
    let state = bench.json("runs/cut/checkpoints/step-4/state.json");
    assert_eq!(state["evaluation_due"], true, "the evaluation was broken off");
    assert_succeeds(&bench.run(&["finetune", "--resume", "runs/cut"]));
    assert_eq!(outcome(&bench, "cut"), outcome(&bench, "whole"));
}

#[test]
fn a_signal_saves_a_checkpoint_and_the_run_goes_on() {
    let bench = uninterrupted();
    let mut run = started(&bench, "saved");
    send("-USR1", &run);
    assert!(run.wait().expect("ended").success());
    assert_eq!(outcome(&bench, "saved"), outcome(&bench, "whole"));
}

#[cfg(target_os = "linux")]
#[test]
fn nohup_protects_a_run_and_a_closed_terminal_ends_it_with_a_checkpoint() {
    let bench = Bench::new();
    let shell = |name: &str, trap: &str| {
        let mut command = Command::new("sh");
        let temper = env!("CARGO_BIN_EXE_temper");
        command.arg("-c").arg(format!("{trap} exec {temper} {}", arguments(name, &[]).join(" ")));
        command.current_dir(bench.dir.path()).env("TEMPER_CACHE", bench.path("cache"));
        let run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        bench.wait_for_step(name, 7);
        send("-HUP", &run);
        run
    };
    let mut protected = shell("protected", "trap '' HUP;");
    assert_eq!(protected.wait().expect("ended").code(), Some(0));
    let mut ended = shell("ended", "");
    assert_eq!(ended.wait().expect("ended").code(), Some(75));
    assert!(bench.path("runs/ended/checkpoints").read_dir().expect("a folder").count() > 0);
}

#[test]
fn a_second_ctrl_c_stops_at_once_with_a_code_of_its_own() {
    let bench = Bench::new();
    // One step takes seconds: the second signal comes before its end.
    bench.write("many.csv", &common::reviews(60_000));
    let batch = ["--per-device-train-batch-size", "50000", "--max-seq-length", "16"];
    let mut command =
        bench.command(&["finetune", "./model", "many.csv", "--preset", "full", "--run-name", "twice"]);
    let mut run = command.args(batch).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    while !bench.path("runs/twice/run.toml").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    send("-INT", &run);
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(run.stderr.take().expect("piped"));
    while !said.contains("Ctrl-C again") {
        said.clear();
        assert!(std::io::BufRead::read_line(&mut lines, &mut said).expect("read") > 0, "it ended too early");
    }
    send("-INT", &run);
    std::io::Read::read_to_string(&mut lines, &mut said).expect("read");
    assert_eq!(run.wait().expect("ended").code(), Some(131), "{said}");
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let bench = uninterrupted();
    let mut run = started(&bench, "damaged");
    bench.wait_for_step("damaged", 14);
    send("-KILL", &run);
    run.wait().expect("ended");
    let steps = || {
        let names = bench.path("runs/damaged/checkpoints").read_dir().expect("a folder");
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut steps: Vec<usize> =
            names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable();
        steps
    };
    let newest = *steps().last().expect("a checkpoint");
    let file = bench.path(&format!("runs/damaged/checkpoints/step-{newest}/optimizer.bpk"));
    let mut bytes = std::fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let mut journal = std::fs::read(bench.path("runs/damaged/metrics.jsonl")).expect("read");
    journal.extend(b"\xff\xfe{\"kind\":\"train\"\n");
    std::fs::write(bench.path("runs/damaged/metrics.jsonl"), journal).expect("written");
    let resumed = bench.run(&["finetune", "--resume", "runs/damaged"]);
    assert_succeeds(&resumed);
    let text = stderr(&resumed);
    assert!(text.contains("optimizer.bpk") && text.contains("is damaged"), "{text}");
    assert_eq!(outcome(&bench, "damaged"), outcome(&bench, "whole"));
}

#[test]
fn a_best_model_that_is_gone_is_made_again() {
    let bench = uninterrupted();
    let mut run = started(&bench, "best");
    bench.wait_for_step("best", 21);
    send("-TERM", &run);
    assert_eq!(run.wait().expect("ended").code(), Some(75));
    std::fs::remove_dir_all(bench.path("runs/best/checkpoints/best")).expect("it was there");
    let resumed = bench.run(&["finetune", "--resume", "runs/best"]);
    assert_succeeds(&resumed);
    assert!(stderr(&resumed).contains("is not used"), "{}", stderr(&resumed));
    assert_eq!(outcome(&bench, "best"), outcome(&bench, "whole"));
}

#[test]
fn a_run_without_a_checkpoint_begins_again() {
    let bench = uninterrupted();
    let mut run = started(&bench, "early");
    send("-KILL", &run);
    run.wait().expect("ended");
    std::fs::remove_dir_all(bench.path("runs/early/checkpoints")).expect("it was there");
    assert_succeeds(&bench.run(&["finetune", "--resume", "runs/early"]));
    assert_eq!(outcome(&bench, "early"), outcome(&bench, "whole"));
}

#[test]
fn a_folder_that_is_no_model_is_refused_with_what_to_do() {
    let bench = Bench::new();
    let flags = ["--strategy", "lora", "--learning-rate", "1e-2", "--max-steps", "6"];
    assert_succeeds(&bench.finetune("lora", &flags));
    bench.write("texts.txt", "a fine film\n");
    let unfinished = "--resume runs/half";
    std::fs::create_dir(bench.path("runs/half")).unwrap();
    std::fs::copy(bench.path("runs/lora/run.toml"), bench.path("runs/half/run.toml")).unwrap();
    for (folder, words) in
        [("runs/half", unfinished), ("runs/lora/adapter", "temper merge MODEL runs/lora/adapter")]
    {
        for command in [
            &["predict", folder, "--file", "texts.txt"][..],
            &["evaluate", folder, "reviews.csv"],
            &["finetune", folder, "reviews.csv"],
            &["finetune", "--from", folder, "reviews.csv"],
            &["inspect", folder],
        ] {
            assert_fails(&bench.run(command), 2, &[words]);
        }
    }
}

#[test]
fn a_second_process_is_refused_by_the_name_of_the_first() {
    let bench = Bench::new();
    let mut run = started(&bench, "owned");
    let process = format!("process {}", run.id());
    assert_fails(&bench.run(&["finetune", "--resume", "runs/owned"]), 2, &["in use by", &process]);
    let replaced = bench.run(&arguments("owned", &["--overwrite-output-dir"]));
    assert_fails(&replaced, 2, &["in use by", &process]);
    send("-KILL", &run);
    run.wait().expect("ended");
}

#[test]
fn a_resumed_run_takes_no_other_settings_and_no_other_data() {
    let bench = Bench::new();
    let mut run = started(&bench, "own");
    send("-TERM", &run);
    run.wait().expect("ended");
    let with_flags =
        ["finetune", "--resume", "runs/own", "--learning-rate", "0.5", "--label-column", "label"];
    assert_fails(&bench.run(&with_flags), 2, &["--learning-rate", "--label-column"]);
    let record = bench.read("runs/own/run.toml");
    bench.write("runs/own/run.toml", &record.replace("max_grad_norm = 1.0", "max_grad_norm = -1.0"));
    assert_fails(&bench.run(&["finetune", "--resume", "runs/own"]), 3, &["max_grad_norm"]);
    bench.write("runs/own/run.toml", &record.replace("max_grad_norm", "max_grad_nrom"));
    assert_fails(&bench.run(&["finetune", "--resume", "runs/own"]), 2, &["did you mean max_grad_norm?"]);
    bench.write("runs/own/run.toml", &record);
    // The same texts with the other labels.
    let data =
        bench.read("reviews.csv").replace(",neg", ",NEG").replace(",pos", ",neg").replace(",NEG", ",pos");
    bench.write("reviews.csv", &data);
    assert_fails(
        &bench.run(&["finetune", "--resume", "runs/own"]),
        2,
        &["reviews.csv", "is not as the run read it"],
    );
}

#[test]
fn a_tokenizer_that_changes_in_the_middle_is_not_saved() {
    let bench = uninterrupted();
    let run = started(&bench, "tokenizer");
    let vocabulary = bench.read("model/vocab.txt");
    bench.write("model/vocab.txt", &vocabulary.replace("good", "gold"));
    let ended = run.wait_with_output().expect("ended");
    assert!(ended.status.success());
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(
            bench.read(&format!("runs/tokenizer/model/{file}")),
            bench.read(&format!("runs/whole/model/{file}"))
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_ends_no_training() {
    let bench = Bench::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut command = bench.command(&arguments("quiet", &["--json"]));
    let status = command.stderr(full()).stdout(Stdio::null()).status().expect("started");
    assert!(status.success());
    let mut command = bench.command(&["inspect", "runs/quiet"]);
    assert_fails(&command.stdout(full()).output().expect("started"), 1, &["stdout: No space left"]);
    // Its reader goes away.
    let mut command = bench.command(&["predict", "runs/quiet", "--file", "reviews.csv"]);
    let mut predicting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop(predicting.stdout.take());
    let output = predicting.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn a_run_is_computed_again_and_a_changed_one_is_seen() {
    let bench = uninterrupted();
    for window in ["0:7", "90:130", "145:160"] {
        let replayed = bench.run(&["replay", "runs/whole", "--steps", window]);
        assert_succeeds(&replayed);
        assert!(stdout(&replayed).contains("are equal"), "{}", stdout(&replayed));
    }
    assert_fails(&bench.run(&["replay", "runs/whole", "--steps", "1:4"]), 2, &["metrics.jsonl"]);
    let journal = bench.read("runs/whole/metrics.jsonl");
    let row = journal.lines().find(|line| line.contains("\"kind\":\"train\",\"step\":7,")).expect("a row");
    let mut changed: Value = serde_json::from_str(row).expect("JSON");
    changed["losses"] = "0".repeat(64).into();
    bench.write("runs/whole/metrics.jsonl", &journal.replace(row, &changed.to_string()));
    assert_fails(&bench.run(&["replay", "runs/whole", "--steps", "0:10"]), 7, &["differ at step 7"]);
}

#[test]
fn parameters_that_overflow_in_the_last_step_are_seen() {
    let bench = Bench::new();
    let output = bench.finetune("last", &["--max-steps", "1", "--learning-rate", "1e39"]);
    assert_fails(&output, 6, &["training diverged at step 1: the parameter"]);
    assert!(!bench.path("runs/last/model").exists());
}
