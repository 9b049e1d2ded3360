//! What `temper predict` writes: a row a line, columns that are kept, formats.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Bench, assert_fails, assert_succeeds, stdout};
use serde_json::{Value, json};

/// Runs with this standard input.
fn piped(bench: &Bench, arguments: &[&str], input: &str) -> String {
    let mut command = bench.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_succeeds(&output);
    stdout(&output)
}

#[test]
fn each_line_has_a_row_also_a_blank_one() {
    let bench = Bench::new();
    let input = "\nthe film is good.\n\n  \nfine\n\n";
    bench.write("texts.txt", input);
    for rows in [
        piped(&bench, &["predict", "./model"], input),
        stdout(&bench.run(&["predict", "./model", "--file", "texts.txt"])),
        stdout(&bench.run(&["predict", "./model", "--file", "texts.txt", "--max-tokens-per-batch", "1"])),
    ] {
        let texts: Vec<&str> = rows.lines().map(|row| row.rsplit('\t').next().unwrap()).collect();
        assert_eq!(texts, ["", "the film is good.", "", "", "fine", ""], "{rows}");
    }
    let rows = stdout(&bench.run(&["predict", "./model", "--file", "texts.txt", "--format", "csv"]));
    let mut csv = csv::Reader::from_reader(rows.as_bytes());
    let texts: Vec<String> = csv.records().map(|row| row.unwrap()[0].to_owned()).collect();
    assert_eq!(texts, ["", "the film is good.", "", "", "fine", ""], "{rows}");
    assert_eq!(&csv.headers().unwrap()[0], "text");
    // Vectors are of texts.
    let vectors = stdout(&bench.run(&["embed", "./model", "--file", "texts.txt"]));
    assert_eq!(vectors.lines().count(), 2);
}

#[test]
fn only_blank_lines_of_stdin_are_as_many_rows() {
    let bench = Bench::new();
    assert_eq!(piped(&bench, &["predict", "./model"], "\n\n\n"), "\n\n\n");
    assert_eq!(piped(&bench, &["predict", "./model", "--json"], "\n"), "{\"text\":\"\"}\n");
}

#[test]
fn columns_are_kept_with_their_types_and_the_runs_own_columns_are_known() {
    let bench = Bench::new();
    let rows = common::reviews(60).replace("text,label", "review,stars");
    bench.write("stars.csv", &rows);
    let columns = ["--text-column", "review", "--label-column", "stars"];
    let train = [
        &[
            "finetune",
            "./model",
            "stars.csv",
            "--run-name",
            "stars",
            "--max-steps",
            "2",
            "--max-seq-length",
            "16",
        ],
        &columns[..],
    ];
    assert_succeeds(&bench.run(&train.concat()));
    bench.write(
        "new.jsonl",
        "{\"id\": 7, \"review\": \"good\\tand\\nfine\", \"label\": \"x\"}\n{\"id\": 8, \"review\": \"dull\", \"label\": null}\n",
    );
    let predict = ["predict", "runs/stars", "--file", "new.jsonl", "--keep", "id,label"];
    let lines = stdout(&bench.run(&predict));
    let columns: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((columns[0][..2].to_vec(), columns[0][4]), (vec!["7", "x"], "good\\tand\\nfine"));
    assert_eq!((columns[1][..2].to_vec(), columns[1][4]), (vec!["8", ""], "dull"));
    let output = bench.run(&[&predict[..], &["--output", "out/rows.jsonl"]].concat());
    assert_succeeds(&output);
    assert_eq!(stdout(&output), "");
    let written = bench.read("out/rows.jsonl");
    let rows: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&rows[0]["id"], &rows[0]["label"], &rows[1]["label"]),
        (&json!(7), &json!("x"), &Value::Null)
    );
    assert_eq!(rows[0]["text"], "good\tand\nfine");
    assert_eq!(rows[0]["predicted_label"], columns[0][2], "{written}");
    // Of csv, a probability is a column.
    assert_succeeds(&bench.run(&[&predict[..], &["--output", "rows.csv"]].concat()));
    let mut csv = csv::Reader::from_path(bench.path("rows.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let row = csv.records().next().unwrap().unwrap();
    assert_eq!(&row[place("text")], "good\tand\nfine");
    let probability: f64 = row[place("probabilities.neg")].parse().unwrap();
    assert!((probability - rows[0]["probabilities"]["neg"].as_f64().unwrap()).abs() < 1e-12);
}

#[test]
fn an_output_is_complete_or_absent() {
    let bench = Bench::new();
    bench.write("bad.jsonl", "{\"text\": \"good\"}\n{\"text\": 3}\n");
    let output = bench.run(&["predict", "./model", "--file", "bad.jsonl", "--output", "rows.tsv"]);
    assert_fails(&output, 3, &["row 2"]);
    assert!(!bench.path("rows.tsv").exists());
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let bench = Bench::new();
    bench.write("rows.csv", "id,body,text\n1,good,bad\n");
    bench.write("texts.txt", "good\n");
    let predict = |flags: &[&str]| bench.run(&[&["predict", "./model"], flags].concat());
    assert_fails(&predict(&["--file", "rows.csv", "--keep", "idd"]), 3, &["`idd`", "did you mean `id`"]);
    assert_fails(&predict(&["--file", "texts.txt", "--keep", "id"]), 2, &["--keep", "lines and no columns"]);
    assert_fails(&predict(&["--text", "good", "--keep", "id"]), 2, &["--keep", "lines and no columns"]);
    let taken = ["--file", "rows.csv", "--text-column", "body", "--keep", "text"];
    assert_fails(&predict(&taken), 2, &["--keep text", "rename"]);
    assert_succeeds(&predict(&["--file", "rows.csv", "--keep", "text,body,body", "--json"]));
}
