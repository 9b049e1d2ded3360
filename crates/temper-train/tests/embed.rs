//! `temper embed` gives transformers' vectors, in both formats.

mod common;

use common::{Bench, assert_fails, assert_succeeds, stdout};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/embeddings.json")).expect("JSON")
}

/// The tiny model with the fixture's vocabulary.
fn bench(fixture: &Value) -> Bench {
    let bench = Bench::new();
    bench.write("model/vocab.txt", &strings(&fixture["vocabulary"]).join("\n"));
    bench
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().expect("a list").iter();
    items.map(|item| item.as_str().expect("a text").to_owned()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|item| item.as_f64().expect("a number")).collect()
}

fn rows(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn assert_close(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() < 1e-5, "{ours} {theirs}");
    }
}

#[test]
fn vectors_are_transformers() {
    let fixture = fixture();
    let (bench, texts) = (bench(&fixture), strings(&fixture["texts"]));
    let texts = texts.iter().flat_map(|text| ["--text", text]);
    let base: Vec<&str> = ["embed", "./model"].into_iter().chain(texts).collect();
    for (name, flags) in [
        ("mean", &[][..]),
        ("mean", &["--max-tokens-per-batch", "5"]),
        ("cls", &["--pooling", "cls"]),
        ("last", &["--pooling", "last"]),
        ("normalized", &["--normalize"]),
    ] {
        let output = bench.run(&[&base[..], flags].concat());
        assert_succeeds(&output);
        let rows = rows(&stdout(&output));
        let theirs = fixture["embeddings"][name].as_array().expect("a list");
        assert_eq!(rows.len(), theirs.len());
        for ((row, theirs), text) in rows.iter().zip(theirs).zip(strings(&fixture["texts"])) {
            assert_eq!(row["text"], text);
            assert_close(&numbers(&row["embedding"]), &numbers(theirs));
        }
    }
}

#[test]
fn files_are_read_and_written() {
    let fixture = fixture();
    let bench = bench(&fixture);
    // A text of its own line each; the empty one has none.
    let texts: Vec<String> = strings(&fixture["texts"]).into_iter().filter(|text| !text.is_empty()).collect();
    bench.write("texts.txt", &texts.join("\n"));
    for name in ["vectors.npy", "vectors.jsonl"] {
        let output = bench.run(&["embed", "./model", "--file", "texts.txt", "--output", name]);
        assert_succeeds(&output);
        assert_eq!(stdout(&output), "");
    }
    let lines: Vec<Vec<f64>> =
        rows(&bench.read("vectors.jsonl")).iter().map(|row| numbers(&row["embedding"])).collect();
    let bytes = std::fs::read(bench.path("vectors.npy")).expect("written");
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (4, 32)"));
    let values = bytes[128..].chunks(4).map(|value| f32::from_le_bytes(value.try_into().expect("4 bytes")));
    assert_close(&values.map(f64::from).collect::<Vec<_>>(), &lines.concat());
    assert_close(&lines[0], &numbers(&fixture["embeddings"]["mean"][0]));
}

#[test]
fn what_cannot_be_done_is_said() {
    let bench = Bench::new();
    let base = ["embed", "./model", "--text", "a film"];
    let run = |flags: &[&str]| bench.run(&[&base[..], flags].concat());
    assert_fails(&run(&["--output", "vectors.csv"]), 2, &["vectors.csv", ".npy", ".jsonl"]);
    assert_fails(&run(&["--pooling", "median"]), 2, &["mean, cls, last"]);
    assert_fails(&run(&["--max-seq-length", "99"]), 2, &["99", "40 positions"]);
    assert_fails(&run(&["--output", "model/vocab.txt/vectors.npy"]), 1, &["vocab.txt"]);
}

#[test]
fn a_folder_of_sentence_transformers_gives_its_vectors() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/sentences.json")).expect("JSON");
    let texts = strings(&fixture["texts"]);
    let texts: Vec<&str> = texts.iter().flat_map(|text| ["--text", text.as_str()]).collect();
    let cases = fixture["cases"].as_object().expect("cases");
    for (name, case) in cases {
        let bench = bench(&fixture);
        // The reference's tokenizer keeps the case.
        bench.write("model/tokenizer_config.json", r#"{"do_lower_case": false}"#);
        std::fs::create_dir(bench.path("model/1_Pooling")).expect("a folder");
        for (file, content) in case["files"].as_object().expect("files") {
            bench.write(&format!("model/{file}"), &content.to_string());
        }
        let output = bench.run(&[&["embed", "./model"], &texts[..]].concat());
        assert_succeeds(&output);
        let theirs = case["vectors"].as_array().expect("vectors");
        for (ours, theirs) in rows(&stdout(&output)).iter().zip(theirs) {
            let (ours, theirs) = (numbers(&ours["embedding"]), numbers(theirs));
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let pairs = ours.iter().zip(&theirs);
            let most = pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
            assert!(most < 2e-5, "{name}: {most}");
        }
    }
    assert_eq!(cases.len(), 11);
}

#[test]
fn flags_count_before_the_files_of_sentence_transformers() {
    let sentences: Value = serde_json::from_str(include_str!("fixtures/sentences.json")).expect("JSON");
    let bench = Bench::new();
    std::fs::create_dir(bench.path("model/1_Pooling")).expect("a folder");
    let write = |case: &str| {
        for (file, content) in sentences["cases"][case]["files"].as_object().expect("files") {
            bench.write(&format!("model/{file}"), &content.to_string());
        }
    };
    let embed = |flags: &[&str]| {
        let output = bench.run(&[&["embed", "./model", "--text", "the film is good."], flags].concat());
        assert_succeeds(&output);
        numbers(&rows(&stdout(&output))[0]["embedding"])
    };
    let plain = ["--pooling", "mean", "--normalize=false", "--prompt", ""];
    let mean = embed(&plain);
    write("cls-normalized");
    assert_eq!(embed(&plain), mean);
    assert_ne!(embed(&[]), mean);
    write("prompt");
    assert_eq!(embed(&["--prompt", ""]), mean);
    assert_eq!(embed(&["--prompt-name", "document"]), mean);
    assert_eq!(embed(&["--prompt", "a film and "]), embed(&[]));
    let other = bench.run(&["embed", "./model", "--text", "x", "--prompt-name", "passage"]);
    assert_fails(&other, 2, &["passage", "query, document"]);

    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
    bench.write("model/modules.json", modules);
    assert_fails(&bench.run(&["embed", "./model", "--text", "x"]), 3, &["modules.json", "models.Dense"]);
    assert_eq!(embed(&plain), mean);
}
