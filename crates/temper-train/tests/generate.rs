//! `temper generate`: a tiny GPT-2 whose words are numbered writes what transformers writes.

mod common;

use std::path::Path;

use common::{Bench, assert_fails, assert_succeeds, stdout};
use serde_json::{Value, json};

/// The fixture's model with a tokenizer of one word an id: `w4`, `w5`, ...
fn bench() -> Bench {
    let bench = Bench::new();
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
    std::fs::create_dir(bench.path("gpt2")).expect("a folder");
    for file in ["config.json", "generation_config.json", "model.safetensors", "generation.json"] {
        std::fs::copy(zoo.join("gpt2-causal-lm").join(file), bench.path("gpt2").join(file)).expect("copied");
    }
    let special = ["<pad>", "<unk>", "</s>"];
    let word = |id: usize| special.get(id).map_or_else(|| format!("w{id}"), |word| (*word).to_owned());
    let vocab: serde_json::Map<String, Value> = (0..48).map(|id| (word(id), json!(id))).collect();
    let added: Vec<Value> = (0..3)
        .map(|id| {
            json!({"id": id, "content": special[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    });
    bench.write("gpt2/tokenizer.json", &tokenizer.to_string());
    // GPT-2's own class has a BPE vocabulary.
    bench.write(
        "gpt2/tokenizer_config.json",
        &json!({"tokenizer_class": "PreTrainedTokenizerFast"}).to_string(),
    );
    bench
}

fn words(ids: &Value) -> String {
    let ids = ids.as_array().expect("ids").iter().filter(|id| id.as_u64() > Some(2));
    ids.map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

/// Runs `temper generate` and gives what it printed.
fn generate(bench: &Bench, arguments: &[&str]) -> String {
    let output = bench.run(&[&["generate", "./gpt2"], arguments].concat());
    assert_succeeds(&output);
    stdout(&output)
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

#[test]
fn text_is_transformers_from_flags_files_and_stdin() {
    let bench = bench();
    let records = bench.json("gpt2/generation.json");
    let prompts: Vec<String> = records[0]["prompts"].as_array().expect("prompts").iter().map(words).collect();
    bench.write("prompts.txt", &prompts.join("\n"));
    let flags = [
        vec!["--max-new-tokens", "12"],
        vec!["--max-new-tokens", "12", "--repetition-penalty", "1.3"],
        vec!["--max-new-tokens", "12", "--min-new-tokens", "6"],
        vec!["--max-new-tokens", "12", "--num-beams", "3", "--early-stopping", "false"],
        vec!["--max-new-tokens", "12", "--num-beams=4", "--early-stopping=true", "--length-penalty=2"],
    ];
    for (flags, record) in flags.iter().zip(records.as_array().expect("records")) {
        let text = generate(&bench, &[&["--prompts-file", "prompts.txt", "--json"], &flags[..]].concat());
        for (index, row) in rows(&text).iter().enumerate() {
            let new = &record["outputs"][index];
            assert_eq!(row["prompt"], prompts[index], "{flags:?}");
            assert_eq!(&row["tokens"], new, "{flags:?}");
            assert_eq!(row["text"].as_str().expect("a text").trim(), words(new), "{flags:?}");
            let ended = new.as_array().and_then(|new| new.last()) == Some(&json!(2));
            assert_eq!(row["finish"], if ended { "stop" } else { "length" }, "{flags:?}");
        }
    }
    let expected = format!("{} {}\n", prompts[2], words(&records[0]["outputs"][2]));
    assert_eq!(generate(&bench, &["--prompt", &prompts[2], "--max-new-tokens", "12"]), expected);
    let mut command = bench.command(&["generate", "./gpt2", "--max-new-tokens", "12"]);
    let file = std::fs::File::open(bench.path("prompts.txt")).expect("a file");
    let output = command.stdin(file).output().expect("started");
    assert!(stdout(&output).contains(&expected), "{}", stdout(&output));
}

#[test]
fn a_stream_prints_the_same_text() {
    let bench = bench();
    let asked = ["--prompt", "w32 w32 w4 w29 w45", "--prompt", "w46", "--max-new-tokens", "12"];
    assert_eq!(generate(&bench, &[&asked[..], &["--stream"]].concat()), generate(&bench, &asked));
}

#[test]
fn a_seed_decides_what_is_drawn() {
    let bench = bench();
    let draw = |seed| generate(&bench, &["--prompt", "w9", "--do-sample", "--temperature=3", "--seed", seed]);
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
}

#[test]
fn texts_stop_at_tokens_and_texts() {
    let bench = bench();
    // Greedy continues: w6 w10 w27 w27 w10 ...
    let stop = |at: &[&str]| {
        let asked = ["--prompt", "w32 w32 w4 w29 w45", "--max-new-tokens", "12", "--json"];
        rows(&generate(&bench, &[&asked[..], at].concat()))[0].clone()
    };
    assert_eq!(stop(&["--stop", "w27"])["tokens"], json!([6, 10, 27]));
    assert_eq!(stop(&["--stop", "w27 w10", "--stop", "w99"])["tokens"], json!([6, 10, 27, 27, 10]));
    assert_eq!(stop(&["--stop", "w27"])["finish"], "stop");
    assert_eq!(stop(&["--stop", "<unk>"])["finish"], "length");
}

#[test]
fn bad_requests_are_refused() {
    let bench = bench();
    let refused = |flags: &[&str], words: &[&str]| {
        assert_fails(&bench.run(&[&["generate", "./gpt2", "--prompt", "w9"], flags].concat()), 2, words);
    };
    refused(&["--temperature", "0", "--do-sample"], &["temperature", "above 0"]);
    refused(&["--temperature", "2"], &["--do-sample"]);
    refused(&["--length-penalty", "2"], &["--num-beams"]);
    refused(&["--num-beams", "0"], &["num_beams"]);
    refused(&["--num-beams", "2", "--stream"], &["--stream"]);
    refused(&["--top-p", "1.5", "--do-sample"], &["top_p", "1.5"]);
    refused(&["--max-new-tokens", "0"], &["max_new_tokens"]);
    refused(&["--max-new-tokens", "2", "--min-new-tokens", "3"], &["min_new_tokens", "max_new_tokens"]);
    refused(&["--max-new-tokens", "60"], &["60", "40 positions"]);
    let long = "w9 ".repeat(41);
    refused(&["--prompt", &long], &["prompt 2", "41 tokens", "40 positions"]);
    let output = bench.run(&["generate", "./model", "--prompt", "good film"]);
    assert_fails(&output, 2, &["BertForSequenceClassification", "no language-model head"]);
}
