//! Settings that steer a run: schedules, optimisers, which model is kept, when training ends.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::Value;

fn rows(bench: &Bench, run: &str, kind: &str) -> Vec<Value> {
    let text = bench.read(&format!("runs/{run}/metrics.jsonl"));
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["kind"] == kind).collect()
}

#[test]
fn training_ends_early_and_everything_is_as_after_a_last_step() {
    let bench = Bench::new();
    let flags = [
        "--max-steps",
        "40",
        "--eval-steps",
        "5",
        "--save-steps",
        "5",
        "--logging-steps",
        "4",
        "--early-stopping-patience",
        "1",
        // No accuracy improves by so much.
        "--early-stopping-threshold",
        "2",
    ];
    let output = bench.finetune("run", &flags);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("training ends after step 10 of 40"), "{}", stderr(&output));
    let results = bench.json("runs/run/results.json");
    assert_eq!(results["steps"], 10);
    assert_eq!(results["proof"]["checked_after_steps"], serde_json::json!([3, 10]));
    assert_eq!(rows(&bench, "run", "train").last().unwrap()["step"], 10);
    let evaluations: Vec<u64> =
        rows(&bench, "run", "eval").iter().map(|row| row["step"].as_u64().unwrap()).collect();
    assert_eq!(evaluations, [5, 10]);
    assert!(bench.path("runs/run/checkpoints/step-5").is_dir());
    assert!(!bench.path("runs/run/checkpoints/step-10").exists(), "there is none of a last step");
}

#[test]
fn the_metric_that_is_named_chooses_the_model() {
    let bench = Bench::new();
    let flags = ["--max-steps", "24", "--eval-steps", "3", "--metric-for-best-model"];
    let output = bench.finetune("run", &[&flags[..], &["eval_loss"]].concat());
    assert_succeeds(&output);
    let losses: Vec<f64> =
        rows(&bench, "run", "eval").iter().map(|row| row["metrics"]["loss"].as_f64().unwrap()).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let results = bench.json("runs/run/results.json");
    assert_eq!(results["best_validation"][0].as_f64().unwrap(), least, "{losses:?}");
    assert!(stderr(&output).contains("whose validation loss of"), "{}", stderr(&output));

    let unknown = bench.finetune("unknown", &[&flags[..], &["f1"]].concat());
    assert_fails(&unknown, 2, &["f1", "accuracy"]);
    assert!(rows(&bench, "unknown", "train").is_empty(), "nothing is trained before");
    let shared = bench.run(&["compare", "./model", "reviews.csv", "--metric-for-best-model", "loss"]);
    assert_fails(&shared, 2, &["--metric-for-best-model"]);
}

#[test]
fn every_optimiser_learns_goes_on_and_is_computed_again() {
    let bench = Bench::new();
    for (name, rate) in
        [("adam", "5e-3"), ("sgd", "5e-1"), ("adafactor", "5e-3"), ("lion", "1e-3"), ("adamw", "5e-3")]
    {
        let flags = ["--max-steps", "12", "--save-steps", "4", "--save-total-limit", "3"];
        let more = ["--logging-steps", "2", "--optim", name, "--learning-rate", rate];
        let schedule = ["--lr-scheduler-type", "cosine", "--warmup-steps", "2"];
        assert_succeeds(&bench.finetune(name, &[&flags[..], &more, &schedule].concat()));
        let losses: Vec<f64> =
            rows(&bench, name, "train").iter().map(|row| row["loss"].as_f64().unwrap()).collect();
        assert!(losses.last().unwrap() < losses.first().unwrap(), "{name}: {losses:?}");
        // From a checkpoint with the optimiser's state to the next one: losses and parameters, bit for bit.
        let replayed = bench.run(&["replay", &format!("runs/{name}"), "--steps", "4:8"]);
        assert_succeeds(&replayed);
        assert!(stdout(&replayed).contains("are equal"), "{name}: {}", stdout(&replayed));
    }
    for row in rows(&bench, "adamw", "train") {
        let done = row["step"].as_f64().unwrap() - 1.0;
        let factor = match done < 2.0 {
            true => done / 2.0,
            false => 0.5 * (1.0 + (std::f64::consts::PI * (done - 2.0) / 10.0).cos()),
        };
        let rate = row["learning_rate"].as_f64().unwrap();
        assert!((rate - 5e-3 * factor).abs() < 1e-12, "step {}: {rate}", row["step"]);
    }
}

#[test]
fn an_average_of_the_weights_is_evaluated_saved_and_gone_on_with() {
    let bench = Bench::new();
    let flags = ["--max-steps", "12", "--eval-steps", "6", "--save-steps", "4", "--save-total-limit", "9"];
    let weights =
        |run: &str| std::fs::read(bench.path(&format!("runs/{run}/model/model.safetensors"))).unwrap();
    let average = |decay| [&flags[..], &["--ema-decay", decay]].concat();
    assert_succeeds(&bench.finetune("plain", &flags));
    assert_succeeds(&bench.finetune("average", &average("0.9")));
    assert!(weights("plain") != weights("average"));
    let losses = |run: &str| rows(&bench, run, "train").last().unwrap()["losses"].clone();
    assert_eq!(losses("plain"), losses("average"), "the training is the same");
    // A decay of zero keeps the last weights.
    assert_succeeds(&bench.finetune("none", &average("0")));
    assert!(weights("plain") == weights("none"));

    assert_succeeds(&bench.finetune("killed", &average("0.9")));
    std::fs::remove_file(bench.path("runs/killed/results.json")).unwrap();
    std::fs::remove_dir_all(bench.path("runs/killed/model")).unwrap();
    std::fs::remove_dir_all(bench.path("runs/killed/checkpoints/step-8")).unwrap();
    let resumed = bench.run(&["finetune", "--resume", "runs/killed"]);
    assert_succeeds(&resumed);
    assert!(stderr(&resumed).contains("after step 4"), "{}", stderr(&resumed));
    assert!(weights("killed") == weights("average"), "as if it had never been killed");
    assert_succeeds(&bench.run(&["replay", "runs/average", "--steps", "4:8"]));
}

#[test]
fn the_order_of_batches_has_a_seed_of_its_own() {
    let bench = Bench::new();
    // Without dropout the order alone tells two runs of the same seed apart.
    let run = |name: &str, flags: &[&str]| {
        let still = ["--dropout", "0", "--attention-dropout", "0", "--max-steps", "4"];
        assert_succeeds(&bench.finetune(name, &[&still[..], flags].concat()));
        rows(&bench, name, "train").last().unwrap()["losses"].clone()
    };
    let (plain, same, other) =
        (run("plain", &[]), run("same", &["--data-seed", "42"]), run("other", &["--data-seed", "7"]));
    assert_eq!(plain, same, "42 is the seed of the run");
    assert_ne!(plain, other);
    assert_eq!(other, run("again", &["--data-seed", "7"]));
}

#[test]
fn dropout_is_the_runs_own() {
    let bench = Bench::new();
    let still = ["--dropout", "0", "--attention-dropout", "0.25", "--max-steps", "4"];
    assert_succeeds(&bench.finetune("run", &still));
    let config = bench.json("runs/run/model/config.json");
    assert_eq!(config["hidden_dropout_prob"], 0.0);
    assert_eq!(config["attention_probs_dropout_prob"], 0.25);
    assert_fails(&bench.finetune("wrong", &["--dropout", "1"]), 2, &["dropout"]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let bench = Bench::new();
    for (flags, words) in [
        (&["--eval-strategy", "epoch", "--eval-steps", "3"][..], "--eval-strategy"),
        (&["--save-strategy", "no", "--save-steps", "3"], "--save-strategy"),
        (&["--eval-strategy", "no", "--early-stopping-patience", "2"], "--early-stopping-patience"),
        (&["--lr-scheduler-type", "cosinus"], "cosine"),
        (&["--optim", "rmsprop"], "lion"),
    ] {
        assert_fails(&bench.finetune("run", flags), 2, &[words]);
    }
    assert!(!bench.path("runs/run").exists());
    let never =
        ["--eval-strategy", "no", "--save-strategy", "no", "--max-steps", "6", "--logging-first-step"];
    assert_succeeds(&bench.finetune("run", &never));
    assert_eq!(rows(&bench, "run", "eval").len(), 1);
    assert!(rows(&bench, "run", "checkpoint").is_empty());
    assert_eq!(rows(&bench, "run", "train")[0]["step"], 1);
}

#[test]
fn what_was_mistaken_for_something_else_is_said() {
    let bench = Bench::new();
    assert_fails(&bench.run(&["finetune", "imdb", "bert"]), 2, &["the model comes first: bert imdb"]);
    let output = bench.command(&["models"]).env("TEMPER_LERNING_RATE", "1").output().unwrap();
    assert_fails(&output, 2, &["TEMPER_LERNING_RATE (did you mean TEMPER_LEARNING_RATE?)"]);
}

#[test]
fn datasets_are_listed_with_their_task_and_the_users_own() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("datasets")).unwrap();
    bench.write(
        "datasets/own.toml",
        "name = \"called-otherwise\"\ntitle = \"Ours\"\nhomepage = \"\"\nlicence = \"internal\"\ntask = \"text-classification\"\n\
         format = \"csv\"\n[source]\nhub = \"me/own\"\n[splits]\ntrain = [\"train.csv\"]\n[columns]\ntext = \"text\"\n\
         label = \"label\"\n[hold_out]\nvalidation = 0.1\ntest = 0.1\n",
    );
    let output = bench.run(&["datasets", "--json"]);
    assert_succeeds(&output);
    let listed: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let find = |name: &str| {
        let found = listed["datasets"].as_array().unwrap().iter().find(|dataset| dataset["name"] == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!(find("squad")["task"], "question-answering");
    assert_eq!(find("own")["is_here"], false);
    assert!(stdout(&bench.run(&["datasets"])).contains("Hub me/own"));
}

#[test]
fn shells_are_helped_and_the_version_says_what_computes() {
    let bench = Bench::new();
    for (shell, word) in [("bash", "complete"), ("zsh", "#compdef temper"), ("fish", "finetune")] {
        let output = bench.run(&["completions", shell]);
        assert_succeeds(&output);
        assert!(stdout(&output).contains(word), "{shell}");
    }
    let version = stdout(&bench.run(&["--version"]));
    assert!(version.contains("backends: ") && version.contains("processor: "), "{version}");
}

/// The records of an event file, each with its checksums: the same numbers as metrics.jsonl has, also of a run that went on.
#[test]
fn tensorboard_gets_every_number_once() {
    let bench = Bench::new();
    let flags = ["--max-steps", "12", "--save-steps", "4", "--logging-steps", "4", "--eval-steps", "6"];
    assert_succeeds(&bench.finetune("run", &[&flags[..], &["--report-to", "tensorboard"]].concat()));
    let bytes = std::fs::read(bench.path("runs/run/tensorboard/events.out.tfevents.temper")).unwrap();
    let mut rest = &bytes[..];
    let (mut records, mut tags) = (0, Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = &rest[12..12 + length];
        let text = String::from_utf8_lossy(event);
        tags.push(["train/loss", "eval/accuracy"].map(|tag| text.contains(tag)));
        rest = &rest[12 + length + 4..];
        records += 1;
    }
    let numbers = [rows(&bench, "run", "train").len(), rows(&bench, "run", "eval").len()];
    assert_eq!(records, 1 + numbers[0] + numbers[1]);
    for (kind, number) in numbers.into_iter().enumerate() {
        assert_eq!(tags.iter().filter(|tags| tags[kind]).count(), number);
    }
}

#[test]
fn each_command_has_a_page_for_man() {
    let bench = Bench::new();
    assert_succeeds(&bench.run(&["manual", "man"]));
    let page = bench.read("man/temper-cache-prune.1");
    assert!(page.contains(".TH temper-cache-prune 1") && page.contains("older\\-than"), "{page}");
    for name in ["temper.1", "temper-finetune.1"] {
        assert!(bench.path(&format!("man/{name}")).is_file(), "{name}");
    }
    assert!(!bench.path("man/temper-manual.1").exists() && !bench.path("man/temper-help.1").exists());
}
