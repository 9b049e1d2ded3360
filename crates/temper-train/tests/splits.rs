//! Which splits a run has: flags for shares and files, what it says of them, and what it records.

mod common;

use common::{Bench, assert_fails, assert_succeeds, reviews, stderr, stdout};
use serde_json::json;

#[test]
fn shares_are_said_and_recorded() {
    let bench = Bench::new();
    let flags = ["--validation-split-percentage", "20", "--stratify", "--max-steps", "2"];
    let output = bench.finetune("shares", &flags);
    assert_succeeds(&output);
    let results = bench.json("runs/shares/results.json");
    let [train, validation, test] = [0, 1, 2].map(|split| &results["data"]["splits"][split]);
    assert_eq!((&validation["split"], &validation["examples"]), (&json!("validation"), &json!(40)));
    let counts = json!([["neg", 20], ["pos", 20]]);
    assert_eq!(validation["label_counts"], counts);
    let source = json!({"from": "held_out", "share": 0.2, "hash_of": "text", "stratified": true,
        "examples_before_limit": 40});
    assert_eq!(validation["source"], source);
    assert_eq!((&train["examples"], &test["examples"]), (&json!(140), &json!(20)));
    let said = stderr(&output);
    let line = "validation: 20 % of train of each label by a hash of the text, 40 examples; \
                test: 10 % of train of each label by a hash of the text, 20 examples";
    assert!(said.contains(line), "{said}");
    assert!(!said.contains("results will vary"), "{said}");
    // What a run is evaluated on are its own splits.
    assert_succeeds(&bench.run(&["evaluate", "runs/shares", "--split", "validation"]));
    let own = bench.run(&["evaluate", "runs/shares", "--test-split-percentage", "5"]);
    assert_fails(&own, 2, &["the splits of a run are those in its run.toml", "DATASET"]);
    // Those of a dataset that is named are what the flags say.
    bench.write("new.csv", &reviews(8));
    let evaluated = |flags: &[&str]| {
        let output = bench.run(&[&["evaluate", "runs/shares"], flags].concat());
        assert_succeeds(&output);
        stdout(&output).lines().next().unwrap().to_owned()
    };
    assert_eq!(evaluated(&["reviews.csv", "--stratify"]), "20 examples");
    assert_eq!(evaluated(&["reviews.csv", "--test-split-percentage", "30", "--stratify"]), "60 examples");
    assert_eq!(evaluated(&["reviews.csv", "--test-file", "new.csv"]), "8 examples");
    assert_eq!(evaluated(&["--train-file", "reviews.csv", "--test-file", "new.csv"]), "8 examples");
    let two = bench.run(&["evaluate", "runs/shares", "reviews.csv", "--train-file", "new.csv"]);
    assert_fails(&two, 2, &["reviews.csv and --train-file new.csv both name"]);
}

#[test]
fn files_of_splits_are_read_recorded_and_compared() {
    let bench = Bench::new();
    bench.write("dev.csv", &reviews(8));
    bench.write("part-1.csv", &reviews(64));
    bench.write("part-2.csv", &reviews(150));
    let train = |name: &str, flags: &[&str]| {
        let base = ["finetune", "./model", "--run-name", name, "--max-seq-length", "16", "--max-steps", "2"];
        bench.run(&[&base[..], flags].concat())
    };
    let flags = ["--train-file", "part-*.csv", "--validation-file", "dev.csv"];
    let output = train("files", &flags);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("validation: dev.csv, "), "{}", stderr(&output));
    let record: toml::Table = toml::from_str(&bench.read("runs/files/run.toml")).unwrap();
    let files = record["dataset_files"].as_array().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["part-1.csv", "part-2.csv", "dev.csv"]);
    assert_succeeds(&bench.run(&["evaluate", "runs/files", "--split", "validation"]));
    bench.write("dev.csv", &reviews(9));
    assert_fails(&bench.run(&["evaluate", "runs/files", "--split", "validation"]), 2, &["dev.csv"]);

    let both = train("both", &["reviews.csv", "--train-file", "part-1.csv"]);
    // The dataset stands behind the flags here: `finetune ./model ... reviews.csv`.
    assert_fails(&both, 2, &["reviews.csv and --train-file part-1.csv both name"]);
    let from = ["finetune", "--from", "runs/files", "--train-file", "part-1.csv", "--run-name", "next"];
    assert_succeeds(&bench.run(&[&from[..], &["--max-seq-length", "16", "--max-steps", "1"]].concat()));
    assert_fails(&train("none", &["--train-file", "nosuch.csv"]), 2, &["nosuch.csv: no such file"]);
    assert_fails(&train("none", &["--train-file", "no-*.csv"]), 2, &["no-*.csv", "no file fits"]);
    let own = ["reviews.csv", "--test-file", "dev.csv", "--test-split-percentage", "5"];
    assert_fails(&train("none", &own), 2, &["a test split of its own", "--test-split-percentage"]);
    let all = ["reviews.csv", "--test-split-percentage", "100"];
    assert_fails(&train("none", &all), 2, &["test_split_percentage 100: it must be above 0 and below 100"]);
}

#[test]
fn a_dataset_is_examined_in_the_splits_that_flags_say() {
    let bench = Bench::new();
    bench.write("new.csv", &reviews(8));
    let rows = |arguments: &[&str]| {
        let output = bench.run(&[&["doctor"], arguments, &["--json"]].concat());
        assert_succeeds(&output);
        let diagnosis: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        [0, 1, 2].map(|split| diagnosis["splits"][split]["rows"].as_u64().unwrap())
    };
    let shares = ["--validation-split-percentage", "20", "--test-split-percentage", "30", "--stratify"];
    assert_eq!(rows(&[&["reviews.csv"], &shares[..]].concat()), [100, 40, 60]);
    let [train, validation, test] = rows(&["--train-file", "reviews.csv", "--test-file", "new.csv"]);
    assert_eq!((train + validation, test), (200, 8));
    let all = bench.run(&["doctor", "reviews.csv", "--test-split-percentage", "100"]);
    assert_fails(&all, 2, &["it must be above 0 and below 100"]);
    let two = bench.run(&["doctor", "reviews.csv", "--train-file", "new.csv"]);
    assert_fails(&two, 2, &["reviews.csv and --train-file new.csv both name"]);
    assert_fails(&bench.run(&["doctor", "--test-file", "new.csv"]), 2, &["--machine"]);
}

#[test]
fn few_training_examples_are_warned_of() {
    let bench = Bench::new();
    let output = bench.finetune("few", &["--max-train-samples", "10", "--max-steps", "2"]);
    assert_succeeds(&output);
    let warning = "only 10 training examples: results will vary between seeds";
    assert!(stderr(&output).contains(warning), "{}", stderr(&output));
    let notices = bench.json("runs/few/results.json")["data"]["notices"].clone();
    assert!(notices[0].as_str().unwrap().contains(warning), "{notices}");
}

#[test]
fn names_and_paths_are_not_mixed_up() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("bart-base")).unwrap();
    std::fs::create_dir_all(bench.path("runs")).unwrap();
    // Offline, nothing is had of a name.
    let named = bench.run(&["inspect", "bart-base", "--no-stand-in"]);
    assert_fails(&named, 4, &["bart-base is also a folder here: ./bart-base names it"]);
    assert_fails(&bench.run(&["predict", "runs/nosuch", "--text", "x"]), 2, &["runs/nosuch is not a folder"]);
    for dataset in ["nosuch.csv", "nosuch.xml", "runs/nosuch", "./nosuch"] {
        let output = bench.run(&["finetune", "./model", dataset]);
        assert_fails(&output, 2, &[&format!("{dataset}: no such file")]);
        assert!(!stderr(&output).contains("toml"), "{}", stderr(&output));
    }
    assert_fails(&bench.run(&["fetch", "nosuch.csv"]), 2, &["nosuch.csv: no such file"]);
    // A card's name means the card, also where a file has it.
    std::fs::create_dir_all(bench.path("datasets")).unwrap();
    let card = "name = \"own\"\ntitle = \"Own\"\nhomepage = \"none\"\nlicence = \"CC0\"\ntask = \"text-classification\"\n\
                format = \"csv\"\n[splits]\ntrain = [\"own/*.csv\"]\n[columns]\ntext = \"text\"\nlabel = \"label\"\n\
                [hold_out]\ntest = 0.1\nvalidation = 0.1\n";
    bench.write("datasets/own.toml", card);
    let missing = bench.run(&["finetune", "./model", "own"]);
    assert_fails(&missing, 2, &["datasets/own/*.csv", "no file fits"]);
    std::fs::create_dir_all(bench.path("datasets/own")).unwrap();
    bench.write("datasets/own/a.csv", &reviews(100));
    bench.write("own", "another file");
    let flags = ["--max-steps", "2", "--max-seq-length", "16"];
    let output = bench.run(&[&["finetune", "./model", "own", "--run-name", "own"][..], &flags].concat());
    assert_succeeds(&output);
    assert!(stderr(&output).contains("own is the dataset of that name"), "{}", stderr(&output));
    let record: toml::Table = toml::from_str(&bench.read("runs/own/run.toml")).unwrap();
    assert_eq!(record["dataset_files"][0]["name"].as_str(), Some("a.csv"));
}
