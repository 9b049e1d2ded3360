//! A model that is a file of llama.cpp: by path, by folder, converted, written, trained from, and what is said of it.

mod common;

use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stderr, stdout};

fn bench() -> Bench {
    let bench = Bench::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-gguf/tests/fixtures");
    for name in ["tiny.gguf", "gpt2.gguf", "pieces.gguf"] {
        std::fs::copy(fixtures.join(name), bench.path(name)).expect("copied");
    }
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
fn a_model_is_written_as_a_file_that_says_the_same() {
    let bench = bench();
    let generate = |model: &str| {
        let output = bench.run(&["generate", model, "--prompt", "hello", "--max-new-tokens", "8", "--json"]);
        assert_succeeds(&output);
        stdout(&output)
    };
    for name in ["tiny.gguf", "gpt2.gguf"] {
        assert_succeeds(&bench.run(&["convert", name, &format!("plain-{name}.d")]));
        let plain = format!("./plain-{name}.d");
        let out = format!("out-{name}");
        let output = bench.run(&["convert", &plain, &out, "--gguf-type", "f32"]);
        assert_succeeds(&output);
        assert!(stdout(&output).contains("parameters in F32"), "{}", stdout(&output));
        assert_eq!(generate(name), generate(&format!("./{out}")));
    }
    let template = "{{ messages[0]['content'] }}";
    bench.write("plain-tiny.gguf.d/chat_template.jinja", template);
    assert_succeeds(&bench.run(&["convert", "./plain-tiny.gguf.d", "small.GGUF", "--gguf-type", "q8_0"]));
    let file = temper_gguf::GgufFile::read(&bench.path("small.GGUF")).expect("a file");
    let text = |key: &str| file.metadata[key].as_text().map(str::to_owned);
    assert_eq!(text("general.name").as_deref(), Some("plain-tiny.gguf.d"));
    assert_eq!(text("tokenizer.chat_template").as_deref(), Some(template));
    assert!(bench.path("small.GGUF").metadata().expect("a file").len() < 60_000);
}

#[test]
fn what_cannot_be_written_is_refused_and_nothing_is_left() {
    let bench = bench();
    let refused = |arguments: &[&str], words: &[&str]| {
        assert_fails(&bench.run(&[&["convert"], arguments].concat()), 2, words);
    };
    refused(&["./model", "bert.gguf"], &["`bert`", "write a folder instead"]);
    refused(&["pieces.gguf", "again.gguf"], &["byte_fallback"]);
    refused(&["tiny.gguf", "folder", "--gguf-type", "q8_0"], &["--gguf-type is of a file", "folder"]);
    refused(&["tiny.gguf", "gpt2.gguf"], &["gpt2.gguf exists already; name another file"]);
    for name in ["bert.gguf", "again.gguf", "folder"] {
        assert!(!bench.path(name).exists(), "{name}");
    }
}

#[test]
fn a_tokenizer_of_pieces_is_read() {
    let bench = bench();
    let prompt = "the cat sat on für";
    let output =
        bench.run(&["generate", "pieces.gguf", "--prompt", prompt, "--max-new-tokens", "4", "--json"]);
    assert_succeeds(&output);
    let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(answer.to_string().contains("the cat"), "{answer}");
}

#[test]
fn a_damaged_file_is_refused_and_nothing_is_kept_of_it() {
    let bench = bench();
    let mut bytes = std::fs::read(bench.path("tiny.gguf")).expect("read");
    bytes.truncate(bytes.len() / 2);
    std::fs::write(bench.path("half.gguf"), bytes).expect("written");
    let output = bench.run(&["generate", "half.gguf", "--prompt", "hello"]);
    assert_fails(&output, 3, &["half.gguf is not a valid GGUF file", "is not within the file"]);
    let kept = std::fs::read_dir(bench.path("cache/unpacked")).map_or(0, |entries| entries.count());
    assert_eq!(kept, 0);
    assert_fails(&bench.run(&["generate", "none.gguf", "--prompt", "x"]), 2, &["none.gguf"]);
}
