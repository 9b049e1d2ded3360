//! Memory that does not suffice: exit code 5 and what would fit, and nothing that was there is lost.
#![cfg(target_os = "linux")] // `ulimit -v` limits memory there.

mod common;

use std::path::Path;
use std::process::Output;

use common::{Bench, assert_fails, assert_succeeds, interrupt, stderr};

/// The tiny model on so many tokens at once that training takes about 500 MiB.
const LARGE: [&str; 8] = [
    "--per-device-train-batch-size",
    "12000",
    "--max-seq-length",
    "16",
    "--max-eval-samples",
    "50",
    "--max-test-samples",
    "50",
];

fn bench() -> Bench {
    let bench = Bench::new();
    let rows = (0..20_000).map(|row| {
        let (word, label) = [("good", "pos"), ("bad", "neg")][row % 2];
        let very = "very ".repeat(row % 7);
        format!("\"the film was {very}{word} and so was the plot. {row}\",{label}\n")
    });
    bench.write("many.csv", &("text,label\n".to_owned() + &rows.collect::<String>()));
    bench
}

/// Runs temper with so much memory, and no threads besides two: each takes some of it.
fn limited(bench: &Bench, kibibytes: u64, arguments: &[&str]) -> Output {
    let temper = bench.command(arguments);
    let mut shell = std::process::Command::new("bash");
    shell.arg("-c").arg(format!("ulimit -v {kibibytes}; exec \"$0\" --threads 2 \"$@\""));
    shell.arg(temper.get_program()).args(temper.get_args()).current_dir(bench.dir.path());
    for (name, value) in temper.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.output().expect("bash")
}

fn finetune<'a>(name: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["finetune", "./model", "many.csv", "--preset", "full", "--run-name", name], &LARGE[..], flags].concat()
}

#[test]
fn what_clearly_does_not_fit_is_refused_before_anything_is_made() {
    let bench = bench();
    let output = limited(&bench, 250_000, &finetune("refused", &["--max-steps", "3"]));
    let words =
        ["out of memory", "are needed; there are 244.1 MiB", "--max-tokens-per-batch", "--strategy lora"];
    assert_fails(&output, 5, &words);
    assert!(!bench.path("runs/refused").exists());
    // What the message proposes does fit, and the steps are the same ones.
    let text = stderr(&output);
    let proposed =
        text.split("--max-tokens-per-batch ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let flags = ["--max-steps", "1", "--max-tokens-per-batch", proposed];
    assert_succeeds(&bench.run(&finetune("proposed", &flags)));
}

#[test]
fn a_run_that_memory_ends_goes_on_from_its_checkpoint() {
    let bench = bench();
    let flags = ["--max-steps", "6", "--save-steps", "2", "--logging-steps", "1"];
    let child = bench.command(&finetune("ended", &flags)).spawn().expect("started");
    bench.wait_for_step("ended", 2);
    interrupt(child.id());
    assert_eq!(child.wait_with_output().expect("ended").status.code(), Some(130));
    let checkpoints = || {
        let entries = std::fs::read_dir(bench.path("runs/ended/checkpoints")).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = checkpoints();
    let output = limited(&bench, 350_000, &["finetune", "--resume", "runs/ended"]);
    assert_fails(&output, 5, &["error: out of memory", "what needs less", "runs/ended/checkpoints"]);
    assert!(!Path::new(&bench.path("runs/ended/results.json")).exists());
    // An evaluation that the interruption broke off may have left its best model meanwhile.
    let after = checkpoints();
    assert!(before.iter().all(|name| after.contains(name)), "{before:?} {after:?}");
    assert_succeeds(&bench.run(&["finetune", "--resume", "runs/ended"]));
    assert_eq!(bench.json("runs/ended/results.json")["steps"], 6);
}
