//! `temper compare` and `temper search-depth` on a tiny model: grids of ordinary runs.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::SystemTime;

use common::{Bench, assert_fails, assert_succeeds, reviews, stderr, stdout};
use serde_json::Value;

const SETTINGS: [&str; 8] = [
    "--learning-rate",
    "5e-3",
    "--per-device-train-batch-size",
    "8",
    "--max-seq-length",
    "16",
    "--num-train-epochs",
    "1",
];

fn arguments<'a>(command: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&[command, "./model", "reviews.csv"], &SETTINGS[..], flags].concat()
}

fn compare(bench: &Bench, flags: &[&str]) -> Output {
    bench.run(&arguments("compare", flags))
}

/// Every file below a folder with its bytes and the time of its last change.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.unwrap();
        let path = entry.path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let changed = entry.metadata().unwrap().modified().unwrap();
            files.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), changed));
        }
    }
    files
}

fn run_folders(bench: &Bench, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path(folder)).unwrap();
    let folders = entries.map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn strategies_and_seeds_are_ordinary_runs_side_by_side() {
    let bench = Bench::new();
    let flags = ["--strategies", "all,head", "--seeds", "2"];
    let first = compare(&bench, &flags);
    assert_succeeds(&first);
    let folder = "runs/compare-model-reviews";
    let names = ["all-seed42", "all-seed43", "head-seed42", "head-seed43"];
    assert_eq!(run_folders(&bench, folder), names);
    let text = stderr(&first);
    assert!(
        text.contains("run 1 of 4: all-seed42 starts") && text.contains("run 4 of 4: head-seed43"),
        "{text}"
    );

    let found = bench.json(&format!("{folder}/compare.json"));
    let rows = found["strategies"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        // The table says what the runs say.
        for (number, run) in row["runs"].as_array().unwrap().iter().enumerate() {
            let results = bench.json(&format!("{folder}/{}/results.json", run.as_str().unwrap()));
            assert_eq!(results["test"]["metrics"]["accuracy"], row["test"]["values"][number]);
            assert_eq!(results["strategy"], row["strategy"]);
            assert_eq!(results["trainable_parameters"], row["trainable_parameters"]);
            assert!(results["peak_memory_bytes"].as_u64() <= row["peak_memory_bytes"].as_u64());
        }
        let [low, high] = [0, 1].map(|end| row["test"]["interval"][end].as_f64().unwrap());
        let mean = row["test"]["mean"].as_f64().unwrap();
        assert!(0.0 <= low && low <= mean && mean <= high && high <= 1.0, "{row}");
    }
    // What each run says is in a file of its own; here is its result.
    assert!(!text.contains("grad norm"), "{text}");
    assert!(bench.read(&format!("{folder}/all-seed42.log")).contains("grad norm"));
    assert!(
        text.contains("test accuracy") && text.contains("1 left, about") && text.contains("all took"),
        "{text}"
    );
    assert!(stdout(&first).contains("Two seeds say little"), "{}", stdout(&first));
    assert_eq!(found["metric"], "accuracy");
    let best = rows.iter().find(|row| row["strategy"] == found["best"]).unwrap();
    assert!(best["difference"].is_null());
    let other = rows.iter().find(|row| row["strategy"] != found["best"]).unwrap();
    assert!((0.0..=1.0).contains(&other["difference"]["examples_p"].as_f64().unwrap()), "{other}");
    for part in ["strategy", "head", "majority", "tf-idf + logistic regression", "95 % interval"] {
        assert!(stdout(&first).contains(part), "{part} is not in {}", stdout(&first));
        assert!(bench.read(&format!("{folder}/compare.md")).contains(part), "{part}");
    }
    assert!(bench.read(&format!("{folder}/compare.svg")).contains("<svg"));

    // A run by itself is the same run.
    let alone: Vec<&str> =
        arguments("finetune", &["--strategy", "head", "--seed", "43", "--run-name", "alone"]);
    assert_succeeds(&bench.run(&alone));
    let weights = |run: &str| std::fs::read(bench.path(&format!("{run}/model/model.safetensors"))).unwrap();
    assert!(weights("runs/alone") == weights(&format!("{folder}/head-seed43")));

    // Called again it computes nothing; with a seed more, that seed alone.
    let before = files(&bench.path(folder));
    let again = compare(&bench, &flags);
    assert_succeeds(&again);
    assert_eq!(stdout(&again), stdout(&first));
    assert_eq!(stderr(&again).matches("is already finished").count(), 4, "{}", stderr(&again));
    let after = files(&bench.path(folder));
    let in_runs = |(path, _): &(&String, &(Vec<u8>, SystemTime))| path.contains("seed");
    assert!(before.iter().filter(in_runs).eq(after.iter().filter(in_runs)));
    let names: Vec<&String> = before.keys().collect();
    assert_eq!(names, after.keys().collect::<Vec<_>>());
    let more = compare(&bench, &["--strategies", "head", "--seeds", "3", "--json"]);
    assert_succeeds(&more);
    assert_eq!(stderr(&more).matches("starts").count(), 1, "{}", stderr(&more));
    let found: Value = serde_json::from_str(&stdout(&more)).unwrap();
    assert_eq!(found, bench.json(&format!("{folder}/compare.json")));
    assert_eq!(found["strategies"][0]["test"]["values"].as_array().unwrap().len(), 3);
}

#[test]
fn every_kind_of_strategy_can_be_compared() {
    let bench = Bench::new();
    bench.write("slow.toml", "[[group]]\npattern = \"head\\\\..*\"\nrate = 0.5\n");
    let list = r"norms+head,biases+head,layers:0-0,lora,gradual,pattern:head\..*,pooler\..*,slow.toml";
    let flags = ["--strategies", list, "--seeds", "1", "--max-steps", "6"];
    assert_succeeds(&compare(&bench, &flags));
    let found = bench.json("runs/compare-model-reviews/compare.json");
    let names: Vec<&str> =
        found["strategies"].as_array().unwrap().iter().map(|row| row["strategy"].as_str().unwrap()).collect();
    assert_eq!(names[..5], ["norms+head", "biases+head", "layers:0-0", "lora", "gradual"]);
    assert_eq!(names[5..], [r"pattern:head\..*,pooler\..*", "slow.toml"]);
    let again = compare(&bench, &flags);
    assert_succeeds(&again);
    assert_eq!(stderr(&again).matches("is already finished").count(), 7);
    // A strategy's file that says something else is another strategy.
    bench.write("slow.toml", "[[group]]\npattern = \"head\\\\..*\"\nrate = 0.25\n");
    assert_fails(
        &compare(&bench, &flags),
        2,
        &["slow.toml-seed42 was made with other settings", "strategy:"],
    );
}

#[test]
fn other_settings_are_refused_by_name() {
    let bench = Bench::new();
    let flags = ["--strategies", "head", "--seeds", "1", "--max-steps", "3"];
    assert_succeeds(&compare(&bench, &flags));
    let before = files(&bench.path("runs"));
    let other = |more: &[&str]| compare(&bench, &[&flags[..4], more].concat());
    let refused = other(&["--max-steps", "4", "--weight-decay", "0.5"]);
    assert_fails(&refused, 2, &["max_steps: 3 then, 4 now", "weight_decay", "--overwrite-output-dir"]);
    assert!(!stderr(&refused).contains("learning_rate"), "{}", stderr(&refused));
    assert_fails(&other(&["--max-steps", "3", "--seed", "7"]), 2, &["seed: 42 then, 7 now"]);
    assert!(files(&bench.path("runs")) == before);
    assert_succeeds(&other(&["--max-steps", "4", "--overwrite-output-dir"]));
    assert_eq!(bench.json("runs/compare-model-reviews/head-seed42/results.json")["steps"], 4);
    // A folder of something else is not touched.
    assert_succeeds(&bench.finetune("run", &["--max-steps", "2"]));
    for flags in [&["--run-name", "run"][..], &["--run-name", "run", "--overwrite-output-dir"]] {
        assert_fails(&compare(&bench, flags), 2, &["compare.toml"]);
    }
    assert!(bench.path("runs/run/results.json").exists());
}

#[test]
fn data_that_changed_between_runs_is_noticed() {
    let bench = Bench::new();
    let flags = ["--strategies", "head", "--max-steps", "2"];
    assert_succeeds(&compare(&bench, &[&flags[..], &["--seeds", "1"]].concat()));
    bench.write("reviews.csv", &reviews(160));
    assert_fails(
        &compare(&bench, &[&flags[..], &["--seeds", "2"]].concat()),
        2,
        &["head-seed43", "same model and data"],
    );
}

#[test]
fn bad_flags_are_refused_before_anything_runs() {
    let bench = Bench::new();
    for (flags, words) in [
        (&["--strategies", "head,last:9"][..], &["last:9", "2"][..]),
        (&["--strategies", "head,everything"], &["everything"]),
        (&["--strategies", "head,head"], &["head twice"]),
        (&["--strategy", "head"], &["--strategies"]),
        (&["--budget", "1h"], &["--strategies"]),
        (&["--strategies", "nowhere.toml"], &["nowhere.toml"]),
        (&["--strategies", "head,lora", "--max-steps", "2"], &["3 optimiser steps"]),
        (&["--seeds", "0"], &["--seeds"]),
        (&["--warmup-ratio", "2"], &["warmup_ratio"]),
        (&["--max-seq-length", "999"], &["40 positions"]),
    ] {
        assert_fails(&compare(&bench, flags), 2, words);
    }
    assert_fails(&bench.run(&["compare", "--resume", "runs/x"]), 2, &["continues all"]);
    assert_fails(&bench.run(&["compare", "./model"]), 2, &["DATASET"]);
    for (flags, words) in [
        (&["--depths", "0,3"][..], &["--depths 3", "2 layers"][..]),
        (&["--depths", "one"], &["--depths"]),
        (&["--tolerance=-1"], &["--tolerance"]),
        (&["--strategy", "head"], &["--depths"]),
    ] {
        assert_fails(&bench.run(&arguments("search-depth", flags)), 2, words);
    }
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_run_that_diverges_does_not_stop_the_others() {
    let bench = Bench::new();
    let flags =
        ["--strategies", "all,head", "--seeds", "1", "--learning-rate", "1e30", "--warmup-ratio", "0"];
    let output = compare(&bench, &flags);
    assert_fails(&output, 6, &["diverged at step", "all-seed42 failed", "run 2 of 2"]);
}

/// Waits until the journal of a run has a row, then presses Ctrl-C.
#[cfg(unix)]
fn interrupt(bench: &Bench, child: &mut Child, run: &str) -> Option<i32> {
    let journal = bench.path(&format!("{run}/metrics.jsonl"));
    while std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "{run} was over before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    child.wait().unwrap().code()
}

#[cfg(unix)]
#[test]
fn an_interrupted_comparison_goes_on() {
    let bench = Bench::new();
    let flags = ["--strategies", "head,all", "--seeds", "1", "--logging-steps", "1", "--max-steps", "900"];
    let begin = |name: &str| {
        let flags = [&flags[..], &["--run-name", name]].concat();
        let mut command = bench.command(&arguments("compare", &flags));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    assert!(begin("straight").wait().unwrap().success());
    let mut child = begin("resumed");
    assert_eq!(interrupt(&bench, &mut child, "runs/resumed/all-seed42"), Some(130));
    assert!(bench.path("runs/resumed/head-seed42/results.json").exists());
    assert!(!bench.path("runs/resumed/all-seed42/results.json").exists());

    let goes_on = compare(&bench, &[&flags[..], &["--run-name", "resumed"]].concat());
    assert_succeeds(&goes_on);
    let text = stderr(&goes_on);
    assert!(
        text.contains("head-seed42 is already finished") && text.contains("all-seed42 continues after step"),
        "{text}"
    );
    for run in ["head-seed42", "all-seed42"] {
        let weights = |folder: &str| {
            std::fs::read(bench.path(&format!("runs/{folder}/{run}/model/model.safetensors"))).unwrap()
        };
        assert!(weights("straight") == weights("resumed"), "{run}");
    }
}

#[cfg(unix)]
#[test]
fn two_comparisons_do_not_work_in_one_folder() {
    let bench = Bench::new();
    let flags = ["--strategies", "all", "--seeds", "1", "--logging-steps", "1", "--max-steps", "5000"];
    let mut command = bench.command(&arguments("compare", &flags));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = "runs/compare-model-reviews/all-seed42";
    while !bench.path(&format!("{run}/metrics.jsonl")).exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_fails(&compare(&bench, &flags), 2, &["is in use by process"]);
    assert_eq!(interrupt(&bench, &mut child, run), Some(130));
}

#[test]
fn the_baseline_learns_separable_words_and_the_cache_is_counted() {
    let bench = Bench::new();
    let flags =
        ["--strategies", "head", "--seeds", "1", "--num-train-epochs", "2", "--frozen-dropout", "false"];
    let output = compare(&bench, &flags);
    assert_succeeds(&output);
    let found = bench.json("runs/compare-model-reviews/compare.json");
    let score = |number: usize| found["baselines"][number]["metrics"]["accuracy"].as_f64().unwrap();
    // One word decides the label, and the labels are balanced.
    assert_eq!(score(1), 1.0);
    let results = bench.json("runs/compare-model-reviews/head-seed42/results.json");
    let most = results["test"]["baseline"].as_f64().unwrap();
    assert!(score(0) == most || score(0) == 1.0 - most, "{} {most}", score(0));

    // The second epoch finds what the first one kept.
    let hit_rate = &results["trunk_cache"]["training"]["hit_rate"];
    assert!(hit_rate.as_f64() > Some(0.0), "{results}");
    assert_eq!(&found["strategies"][0]["trunk_cache_hit_rate"], hit_rate);
    assert!(stdout(&output).contains(&format!("{:.1} %", 100.0 * hit_rate.as_f64().unwrap())));
}

#[test]
fn the_search_names_the_smallest_depth_within_the_tolerance() {
    let bench = Bench::new();
    let search = |flags: &[&str]| bench.run(&arguments("search-depth", flags));
    let output = search(&["--num-train-epochs", "4"]);
    assert_succeeds(&output);
    let folder = "runs/depth-model-reviews";
    assert_eq!(run_folders(&bench, folder), ["all-seed42", "head-seed42", "last-1-seed42"]);
    let found = bench.json(&format!("{folder}/depth.json"));
    let depths = found["depths"].as_array().unwrap();
    let score = |row: &Value| row["validation"]["mean"].as_f64().unwrap();
    let best = depths.iter().map(score).fold(0.0, f64::max);
    let smallest = depths.iter().find(|row| score(row) >= best - 0.005).unwrap();
    assert_eq!(found["depth"], smallest["depth"]);
    assert!(stdout(&output).contains(&format!("{} is enough", smallest["strategy"].as_str().unwrap())));
    // Scores of the table are those of the runs.
    for (row, run) in depths.iter().zip(["head", "last-1", "all"]) {
        let results = bench.json(&format!("{folder}/{run}-seed42/results.json"));
        assert_eq!(row["validation"]["values"][0], results["best_validation"][0]);
        // What stays frozen is computed once.
        let is_kept = results["trunk_cache"]["training"]["hit_rate"].as_f64() > Some(0.5);
        assert_eq!(is_kept, run != "all", "{results}");
    }

    // Nothing is trained again for another tolerance: with any loss allowed, the head is enough.
    let again = search(&["--num-train-epochs", "4", "--tolerance", "1", "--json"]);
    assert_succeeds(&again);
    assert_eq!(stderr(&again).matches("is already finished").count(), 3);
    assert_eq!(serde_json::from_str::<Value>(&stdout(&again)).unwrap()["depth"], 0);
}

#[test]
fn the_runs_of_a_job_array_are_those_of_one_call() {
    let bench = Bench::new();
    let flags = ["--strategies", "all,head", "--seeds", "2", "--run-name", "array"];
    let shard = |number: &'static str| [&flags[..], &["--shard", number]].concat();
    // The last of four runs.
    let first = compare(&bench, &shard("3/4"));
    assert_succeeds(&first);
    assert!(stderr(&first).contains("3 of 4 runs are missing"), "{}", stderr(&first));
    let folder = "runs/array";
    assert_eq!(run_folders(&bench, folder), ["head-seed43"]);
    let jobs = ["0/2", "1/2"].map(|number| {
        let arguments = arguments("compare", &shard(number));
        bench.command(&arguments).stderr(Stdio::piped()).spawn().unwrap()
    });
    for job in jobs {
        assert_succeeds(&job.wait_with_output().unwrap());
    }
    assert_eq!(run_folders(&bench, folder), ["all-seed42", "all-seed43", "head-seed42", "head-seed43"]);
    let table = bench.read("runs/array/compare.md");
    let again = compare(&bench, &shard("1/2"));
    assert_succeeds(&again);
    assert!(stderr(&again).contains("head-seed42 is already finished"), "{}", stderr(&again));
    assert_fails(&compare(&bench, &shard("2/2")), 2, &["write I/N"]);
    // The same call without a shard writes the same table, and trains nothing.
    let all = compare(&bench, &flags);
    assert_succeeds(&all);
    assert_eq!(stderr(&all).matches("is already finished").count(), 4, "{}", stderr(&all));
    assert_eq!(bench.read("runs/array/compare.md"), table);
}

#[test]
fn a_search_is_sharded_as_a_comparison_is() {
    let bench = Bench::new();
    let search = |more: &[&str]| {
        let flags = [&["--run-name", "depths", "--depths", "0,1", "--preset", "full"], more].concat();
        bench.run(&arguments("search-depth", &flags))
    };
    assert_succeeds(&search(&["--shard", "1/2"]));
    assert!(!bench.path("runs/depths/depth.json").exists());
    assert_succeeds(&search(&["--shard", "0/2"]));
    assert_eq!(bench.json("runs/depths/depth.json")["depths"].as_array().unwrap().len(), 2);
}

#[test]
fn what_a_killed_beginning_leaves_is_no_obstacle() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("runs/begun")).unwrap();
    bench.write("runs/begun/.lock", "process 1 on this machine\n");
    assert_succeeds(&compare(&bench, &["--strategies", "head", "--seeds", "1", "--run-name", "begun"]));
}
