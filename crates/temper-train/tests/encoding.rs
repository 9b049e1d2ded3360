//! What training decided of how a text becomes a tensor is kept next to the model and counts in every use.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};
use serde_json::{Value, json};

/// Rows whose label the last of many words decides.
fn endings(rows: usize) -> String {
    let fillers = ["film", "plot", "cast", "story", "the", "very", "so", "is"];
    let row = |row: usize| {
        // Knuth's generator, so that no two rows have the same words.
        let mut state = row as u64;
        let mut filler = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            fillers[(state >> 40) as usize % 8]
        };
        let words: Vec<&str> = (0..20).map(&mut filler).collect();
        let (word, label) = [("bad", "neg"), ("good", "pos")][row % 2];
        format!("{} {word},{label}\n", words.join(" "))
    };
    format!("text,label\n{}", (0..rows).map(row).collect::<String>())
}

/// Rows of two texts, whose label is whether both have the same word.
fn pairs(rows: usize) -> String {
    let words = ["good", "bad", "fun", "dull", "fine", "weak"];
    let (nouns, adverbs) = (["film", "plot", "cast", "story"], ["so", "very", "and"]);
    let row = |row: usize| {
        let first = row / 2 % 6;
        let second = if row.is_multiple_of(2) { first } else { (first + 1 + row / 12 % 5) % 6 };
        let (noun, adverb) = (nouns[row / 7 % 4], adverbs[row / 5 % 3]);
        let label = ["same", "other"][row % 2];
        format!("the {noun} is {},{adverb} {},{label}\n", words[first], words[second])
    };
    format!("first,second,class\n{}", (0..rows).map(row).collect::<String>())
}

/// The tiny model, trained on endings.
fn trained_on_endings() -> Bench {
    let bench = Bench::new();
    bench.write("reviews.csv", &endings(200));
    let flags = ["--max-seq-length", "8", "--truncation", "tail", "--num-train-epochs", "6"];
    assert_succeeds(&bench.finetune("run", &flags));
    bench
}

/// The tiny model, trained a little on pairs.
fn trained_on_pairs() -> Bench {
    let bench = Bench::new();
    bench.write("reviews.csv", &pairs(200));
    let columns = ["--text-column", "first", "--text-pair-column", "second", "--label-column", "class"];
    assert_succeeds(&bench.finetune("run", &[&columns[..], &["--max-steps", "4"]].concat()));
    bench
}

/// Share of the rows whose first column of output is their label.
fn accuracy(bench: &Bench, arguments: &[&str]) -> f64 {
    let output = bench.run(arguments);
    assert_succeeds(&output);
    let labels = |text: &str, place: fn(&str) -> Option<&str>| -> Vec<String> {
        text.lines().filter_map(place).map(String::from).collect()
    };
    let predicted = labels(&stdout(&output), |line| line.split('\t').next());
    let csv = bench.read("reviews.csv");
    let right = labels(csv.split_once('\n').unwrap().1, |line| line.rsplit(',').next());
    assert_eq!(predicted.len(), right.len());
    predicted.iter().zip(&right).filter(|(one, two)| one == two).count() as f64 / right.len() as f64
}

#[test]
fn what_is_cut_in_training_is_cut_in_prediction() {
    let bench = trained_on_endings();
    let config = bench.json("runs/run/model/tokenizer_config.json");
    assert_eq!(config["truncation_side"], "left");
    assert_eq!(config["padding_side"], "right");
    assert_eq!(config["model_max_length"], 8);
    let record = bench.json("runs/run/model/temper.json");
    assert_eq!(record["truncation"], "tail");
    assert_eq!(record["columns"], json!({"text": "text", "label": "label"}));

    for model in ["runs/run", "runs/run/model"] {
        assert!(accuracy(&bench, &["predict", model, "--file", "reviews.csv"]) > 0.97);
    }
    let scores = |arguments: &[&str]| -> Value {
        let output = bench.run(arguments);
        assert_succeeds(&output);
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()["metrics"].clone()
    };
    let trained = bench.json("runs/run/results.json")["test"]["metrics"].clone();
    assert_eq!(scores(&["evaluate", "runs/run", "--json"]), trained);
    assert_eq!(scores(&["evaluate", "runs/run/model", "reviews.csv", "--json"]), trained);

    // A flag counts before the record, and the difference is said.
    let head = bench.run(&["predict", "runs/run", "--file", "reviews.csv", "--truncation", "head"]);
    assert_succeeds(&head);
    assert!(stderr(&head).contains("trained on texts of at most 8 tokens, of longer ones the tail"));
    assert!(
        accuracy(&bench, &["predict", "runs/run", "--file", "reviews.csv", "--truncation", "head"]) < 0.8
    );
    let cut = bench.run(&["predict", "runs/run", "--file", "reviews.csv"]);
    assert!(stderr(&cut).contains("200 of 200 texts were cut to 8 tokens (tail kept)"), "{}", stderr(&cut));
}

#[test]
fn vectors_are_of_what_training_kept() {
    let bench = trained_on_endings();
    let vector = |text: &str, flags: &[&str]| {
        let output = bench.run(&[&["embed", "runs/run", "--text", text], flags].concat());
        assert_succeeds(&output);
        serde_json::from_str::<Value>(&stdout(&output)).unwrap()["embedding"].clone()
    };
    let long = "the film is so very very very dull and the plot is weak";
    assert_eq!(vector(long, &[]), vector("dull and the plot is weak", &[]));
    assert_ne!(vector(long, &[]), vector(long, &["--truncation", "head"]));
}

#[test]
fn a_run_that_starts_from_another_reads_texts_as_it_did() {
    let bench = trained_on_endings();
    let transfer = |name: &str, flags: &[&str]| {
        let base = ["finetune", "--from", "runs/run", "reviews.csv", "--max-steps", "2", "--run-name", name];
        let output = bench.run(&[&base[..], flags].concat());
        assert_succeeds(&output);
        let record: toml::Value = toml::from_str(&bench.read(&format!("runs/{name}/run.toml"))).unwrap();
        (record["request"]["settings"].clone(), stderr(&output))
    };
    let (settings, said) = transfer("second", &[]);
    assert_eq!(settings["max_seq_length"].as_integer(), Some(8));
    assert_eq!(settings["truncation"].as_str(), Some("tail"));
    assert!(
        said.contains("taken from runs/run: max_seq_length 8, truncation tail, pooling pooler"),
        "{said}"
    );
    let (settings, said) = transfer("third", &["--truncation", "head"]);
    assert_eq!(settings["max_seq_length"].as_integer(), Some(8));
    assert_eq!(settings["truncation"].as_str(), Some("head"));
    assert!(said.contains("runs/run has truncation tail (here head)"), "{said}");
    assert_eq!(bench.json("runs/third/model/temper.json")["truncation"], "head");

    let planned = |flags: &[&str]| {
        let base = ["plan", "runs/run", "reviews.csv", "--strategies", "head", "--json"];
        let output = bench.run(&[&base[..], flags].concat());
        assert_succeeds(&output);
        let rows: Value = serde_json::from_str(&stdout(&output)).unwrap();
        (rows[0]["truncated_percent"].as_f64().unwrap(), stderr(&output))
    };
    let (cut, said) = planned(&[]);
    assert!(cut > 99.0 && said.matches("taken from runs/run").count() == 1, "{cut} {said}");
    assert!(planned(&["--max-seq-length", "40"]).0 < 1.0);
}

#[test]
fn a_checkpoint_of_others_is_cut_as_its_files_say() {
    let bench = Bench::new();
    bench.write("reviews.csv", &endings(60));
    let predict = |flags: &[&str]| {
        let output = bench.run(&[&["predict", "./model", "--file", "reviews.csv", "--json"], flags].concat());
        assert_succeeds(&output);
        stdout(&output)
    };
    let (head, tail) =
        (predict(&["--max-seq-length", "8"]), predict(&["--max-seq-length", "8", "--truncation", "tail"]));
    assert_ne!(head, tail);
    bench.write("model/tokenizer_config.json", r#"{"model_max_length": 8, "truncation_side": "left"}"#);
    assert_eq!(predict(&[]), tail);
    assert_eq!(predict(&["--truncation", "head"]), head);
    let output = bench.run(&["finetune", "./model", "reviews.csv", "--max-steps", "2", "--run-name", "run"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("taken from ./model: max_seq_length 8, truncation tail"));
    assert_eq!(bench.json("runs/run/model/temper.json")["truncation"], "tail");
    bench.write("model/tokenizer_config.json", r#"{"truncation_side": "middle"}"#);
    assert_fails(&bench.run(&["predict", "./model", "--text", "x"]), 3, &["truncation_side", "middle"]);
}

#[test]
fn both_ends_are_kept_and_transformers_gets_the_nearest() {
    let bench = Bench::new();
    bench.write("reviews.csv", &endings(60));
    let output =
        bench.finetune("run", &["--truncation", "head-tail", "--max-steps", "2", "--max-seq-length", "8"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("transformers cannot keep both ends"), "{}", stderr(&output));
    assert!(bench.read("runs/run/model/README.md").contains("transformers cannot keep both ends"));
    assert_eq!(bench.json("runs/run/model/tokenizer_config.json")["truncation_side"], "left");
    assert_eq!(bench.json("runs/run/model/temper.json")["truncation"], "head-tail");
    let predict = |flags: &[&str]| {
        stdout(&bench.run(&[&["predict", "runs/run", "--file", "reviews.csv", "--json"], flags].concat()))
    };
    assert_eq!(predict(&[]), predict(&["--truncation", "head-tail"]));
    assert_ne!(predict(&[]), predict(&["--truncation", "tail"]));
}

#[test]
fn a_record_that_says_something_else_is_refused() {
    let bench = trained_on_pairs();
    let record = bench.json("runs/run/model/temper.json");
    let with = |key: &str, value: Value| {
        let mut changed = record.clone();
        changed[key] = value;
        bench.write("runs/run/model/temper.json", &changed.to_string());
    };
    for command in [&["predict", "runs/run", "--text", "x"][..], &["embed", "runs/run", "--text", "x"]] {
        with("stride", 3.into());
        assert_fails(&bench.run(command), 3, &["temper.json", "stride"]);
        with("version", 2.into());
        assert_fails(&bench.run(command), 3, &["temper.json", "version"]);
    }
    with("max_seq_length", 12.into());
    let output = bench.run(&["predict", "runs/run", "--text", "x", "--text-pair", "y"]);
    assert_succeeds(&output);
    assert!(stderr(&output).contains("contradict"), "{}", stderr(&output));
}

#[test]
fn a_model_of_pairs_finds_them_again() {
    let bench = trained_on_pairs();
    let record = bench.json("runs/run/model/temper.json");
    assert_eq!(record["columns"], json!({"text": "first", "text_pair": "second", "label": "class"}));
    let predict = |flags: &[&str]| {
        let output = bench.run(&[&["predict", "runs/run", "--json"], flags].concat());
        assert_succeeds(&output);
        stdout(&output)
    };
    let named = ["--file", "reviews.csv", "--text-column", "first", "--text-pair-column", "second"];
    let all = predict(&named);
    assert_eq!(predict(&["--file", "reviews.csv"]), all);
    let first = all.lines().next().unwrap().to_owned() + "\n";
    assert_eq!(predict(&["--text", "the film is good", "--text-pair", "so good"]), first);
    bench.write("pairs.txt", "the film is good\tso good\n");
    assert_eq!(predict(&["--file", "pairs.txt"]), first);

    let evaluated = bench.run(&["evaluate", "runs/run/model", "reviews.csv", "--json"]);
    assert_succeeds(&evaluated);
    let scores: Value = serde_json::from_str(&stdout(&evaluated)).unwrap();
    assert_eq!(scores["metrics"], bench.json("runs/run/results.json")["test"]["metrics"]);

    let again = bench.run(&[
        "finetune",
        "--from",
        "runs/run",
        "reviews.csv",
        "--max-steps",
        "2",
        "--run-name",
        "again",
    ]);
    assert_succeeds(&again);
    assert!(stderr(&again).contains("pairs of texts, as runs/run was trained: first and second"));
    assert_eq!(bench.json("runs/again/model/temper.json")["columns"], record["columns"]);
}

#[test]
fn single_texts_for_a_model_of_pairs_are_refused_and_the_other_way_round() {
    let bench = trained_on_pairs();
    bench.write("single.csv", &common::reviews(40));
    let words = ["trained on pairs"];
    assert_fails(&bench.run(&["predict", "runs/run", "--text", "the film is good"]), 2, &words);
    assert_fails(&bench.run(&["predict", "runs/run", "--file", "single.csv"]), 2, &["pairs", "second"]);
    assert_fails(&bench.run(&["evaluate", "runs/run", "single.csv"]), 2, &["pairs", "--text-pair-column"]);
    assert_succeeds(
        &bench.finetune("single", &["--max-steps", "2", "--text-column", "first", "--label-column", "class"]),
    );
    let pairs = ["--file", "reviews.csv", "--text-pair-column", "second"];
    assert_fails(&bench.run(&[&["predict", "runs/single"], &pairs[..]].concat()), 2, &["single texts"]);
    assert_fails(
        &bench.run(&["evaluate", "runs/single", "reviews.csv", "--text-pair-column", "second"]),
        2,
        &["single texts", "second"],
    );
    let transfer =
        bench.run(&["finetune", "--from", "runs/run", "single.csv", "--max-steps", "2", "--run-name", "t"]);
    assert_succeeds(&transfer);
    assert!(stderr(&transfer).contains("this run reads single texts"), "{}", stderr(&transfer));
}
