//! What strategies would train, as a table, as JSON and as a figure.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stdout};

/// Both patterns belong to one strategy.
const PATTERNS: &str = "pattern:head\\..*,pooler\\..*";

#[test]
fn one_strategy_is_a_table_and_a_figure_of_the_layers() {
    let bench = Bench::new();
    let flags = ["--strategy", "last:1", "--layer-decay", "0.5", "--svg", "figures/last.svg"];
    let output = bench.run(&[&["inspect", "./model"], &flags[..]].concat());
    assert_succeeds(&output);
    assert!(stdout(&output).contains("layers.1.attention.query.weight"), "{}", stdout(&output));
    let svg = bench.read("figures/last.svg");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
    for part in [
        "strategy last:1",
        "data-path=\"layers.0.attention\" data-state=\"frozen\"",
        "data-path=\"layers.1.attention\" data-state=\"trained\"",
        "rate \u{d7}0.5",
    ] {
        assert!(svg.contains(part), "{part} is not in: {svg}");
    }
}

#[test]
fn several_strategies_are_totals_and_a_figure_with_columns() {
    let bench = Bench::new();
    let strategies = ["--strategy", "all", "--strategy", "head", "--strategy", PATTERNS];
    let arguments = [&["inspect", "./model", "--svg", "compared.svg"], &strategies[..]].concat();
    let output = bench.run(&arguments);
    assert_succeeds(&output);
    let shown = stdout(&output);
    assert!(!shown.contains("layers.1.attention.query.weight"), "{shown}");
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).expect(name).to_owned();
    assert!(line("all ").ends_with("100.000") && !line("head ").ends_with("100.000"), "{shown}");
    assert!(!line(PATTERNS).is_empty());
    let svg = bench.read("compared.svg");
    assert!(svg.contains("data-path=\"all layers.0\" data-state=\"trained\""), "{svg}");
    assert!(svg.contains("data-path=\"head layers.0\" data-state=\"frozen\""), "{svg}");

    let json: serde_json::Value =
        serde_json::from_str(&stdout(&bench.run(&[&arguments[..], &["--json"]].concat()))).expect("JSON");
    let trainable = |index: usize| json["strategies"][index]["trainable"].as_u64().expect("a number");
    assert_eq!(json["strategies"][2]["strategy"], PATTERNS);
    assert!(trainable(0) > trainable(2) && trainable(2) > trainable(1));
    let one: serde_json::Value =
        serde_json::from_str(&stdout(&bench.run(&["inspect", "./model", "--json"]))).expect("JSON");
    assert_eq!(one["trainable"], json["strategies"][0]["trainable"]);
}

#[test]
fn a_new_head_is_drawn_as_fine_tuning_begins_with_it() {
    let bench = Bench::new();
    let config = bench.read("model/config.json").replace("BertForSequenceClassification", "BertModel");
    bench.write("model/config.json", &config);
    let head = |flags: &[&str]| {
        let flags = [&["inspect", "./model", "--strategy", "head", "--svg", "head.svg"], flags].concat();
        assert_succeeds(&bench.run(&flags));
        bench.read("head.svg")
    };
    assert!(!head(&[]).contains("data-path=\"head."));
    assert!(head(&["--num-labels", "3"]).contains("data-path=\"head.output\" data-state=\"trained\""));
}

#[test]
fn what_cannot_be_drawn_leaves_no_file() {
    let bench = Bench::new();
    bench.write("occupied", "a file");
    let with = |flags: &[&str]| bench.run(&[&["inspect", "./model"], flags].concat());
    assert_fails(&with(&["--svg", "occupied/figure.svg"]), 1, &["occupied"]);
    assert_fails(&with(&["--svg", "model"]), 1, &["model"]);
    assert_fails(
        &with(&["--strategy", "all", "--strategy", "top:2", "--svg", "x.svg"]),
        2,
        &["top:2", "last:K"],
    );
    assert_fails(&with(&["--strategy", "last:9", "--svg", "x.svg"]), 2, &["last:9"]);
    assert_fails(&with(&["--layer-decay", "2", "--svg", "x.svg"]), 2, &["2"]);
    assert!(!bench.path("x.svg").exists());
}

#[test]
fn a_report_shows_what_trained() {
    let bench = Bench::new();
    assert_succeeds(&bench.finetune("run", &["--max-steps", "2", "--strategy", "head"]));
    let report = bench.read("runs/run/report.html");
    for part in ["What trained", "strategy head", "data-path=\"layers.1.ffn\" data-state=\"frozen\""] {
        assert!(report.contains(part), "{part} is not in the report");
    }
}
