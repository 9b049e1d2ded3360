//! A model that is a file of llama.cpp: by path, by folder, converted, trained from, and what is said of it.

mod common;

use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};

fn bench() -> Bench {
    let bench = Bench::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-gguf/tests/fixtures/tiny.gguf");
    std::fs::copy(fixture, bench.path("tiny.gguf")).expect("copied");
    bench
}

#[test]
fn a_file_is_a_model_like_any_other() {
    let bench = bench();
    let generate = |model: &str| {
        let output = bench.run(&["generate", model, "--prompt", "hello", "--max-new-tokens", "8", "--json"]);
        assert_succeeds(&output);
        assert_eq!(
            stderr(&output).contains("come packed (F32)"),
            model.ends_with(".gguf"),
            "{}",
            stderr(&output)
        );
        stdout(&output)
    };
    let text = generate("tiny.gguf");
    assert_eq!(text, generate("./tiny.gguf"));
    assert_succeeds(&bench.run(&["convert", "tiny.gguf", "plain"]));
    assert_eq!(text, generate("./plain"));
    assert_fails(&bench.run(&["convert", "tiny.gguf", "plain"]), 2, &["plain exists already"]);
    // Unpacked once: the cache has one folder.
    assert_eq!(std::fs::read_dir(bench.path("cache/unpacked")).expect("a folder").count(), 1);

    let flags = ["--max-steps", "3", "--max-seq-length", "16", "--run-name", "run"];
    let output = bench.run(&[&["finetune", "tiny.gguf", "reviews.csv"][..], &flags].concat());
    assert_succeeds(&output);
    let record = bench.read("runs/run/run.toml");
    assert!(record.contains("unpacked_from = \"F32\"") && record.contains("tiny.gguf"), "{record}");
    assert_succeeds(&bench.run(&["evaluate", "runs/run"]));
}

#[test]
fn a_damaged_file_is_refused_and_nothing_is_kept_of_it() {
    let bench = bench();
    let mut bytes = std::fs::read(bench.path("tiny.gguf")).expect("read");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(bench.path("half.gguf"), bytes).expect("written");
    let output = bench.run(&["generate", "half.gguf", "--prompt", "hello"]);
    assert_fails(&output, 3, &["half.gguf is no sound GGUF file", "does not lie within the file"]);
    let kept = std::fs::read_dir(bench.path("cache/unpacked")).map_or(0, |entries| entries.count());
    assert_eq!(kept, 0);
    assert_fails(&bench.run(&["generate", "none.gguf", "--prompt", "x"]), 2, &["none.gguf"]);
}
