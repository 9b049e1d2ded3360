//! transformers' pipelines, where they are available, say of texts what `temper predict` says: labels, numbers, entities.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Bench, assert_succeeds, stdout};
use serde_json::{Value, json};

/// Python with transformers: the one that TEMPER_REFERENCE_PYTHON names, or the reference environment's.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/reference/.venv/bin/python");
    std::env::var_os("TEMPER_REFERENCE_PYTHON").map(PathBuf::from).or_else(|| own.exists().then_some(own))
}

/// Trains for some steps on a task, and asks both sides.
fn assert_agree(bench: &Bench, name: &str, data: &[&str], texts: &[&[&str]], flags: &[&str]) {
    let Some(python) = python() else {
        eprintln!("skipped: transformers' pipelines need TEMPER_REFERENCE_PYTHON or xtask/reference/.venv");
        return;
    };
    let settings =
        ["--run-name", name, "--max-steps", "20", "--max-seq-length", "32", "--learning-rate", "1e-2"];
    assert_succeeds(&bench.run(&[&["finetune", "./model"], data, &settings].concat()));
    let run = format!("runs/{name}");
    let mut arguments = vec!["predict", run.as_str(), "--json"];
    arguments.extend(flags);
    for text in texts {
        arguments.extend(["--text", text[0]]);
        arguments.extend(text.get(1).iter().flat_map(|pair| ["--text-pair", **pair]));
    }
    let predicted = bench.run(&arguments);
    assert_succeeds(&predicted);
    bench.write("predictions.jsonl", &stdout(&predicted));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/reference/check_pipeline.py");
    let mut check = Command::new(python);
    check.arg(script).arg("--model").arg(bench.path(&format!("{run}/model")));
    check.arg("--predictions").arg(bench.path("predictions.jsonl"));
    if let [_, aggregation] = flags {
        check.args(["--aggregation", aggregation]);
    }
    let output = check.env("HF_HUB_OFFLINE", "1").output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}", String::from_utf8_lossy(&output.stdout));
}

const TEXTS: [&[&str]; 5] = [
    &["the film is great ."],
    &["fun"],
    &["a dull, weak plot"],
    &["not so good , not so bad"],
    &["the cast"],
];

#[test]
fn one_label_several_labels_and_numbers_are_those_of_the_pipeline() {
    let bench = Bench::new();
    let row = |label: &dyn Fn(usize) -> Value| -> String {
        let words = ["good", "bad", "fine", "poor", "great", "dull"];
        let text =
            |row: usize| format!("the {} is {}", ["film", "plot", "cast"][row / 6 % 3], words[row % 6]);
        let ends = ["", " and fun", " and weak", ".", " , not so"];
        (0..90)
            .map(|row| {
                json!({"text": text(row) + ends[row / 18 % 5], "label": label(row)}).to_string() + "\n"
            })
            .collect()
    };
    bench.write("one.jsonl", &row(&|row| json!(["neg", "neutral", "pos"][row % 3])));
    assert_agree(&bench, "one", &["one.jsonl"], &TEXTS, &[]);
    bench.write("several.jsonl", &row(&|row| json!(["film", "praise", "blame"][..row % 4])));
    assert_agree(&bench, "several", &["several.jsonl"], &TEXTS, &[]);
    bench.write("number.jsonl", &row(&|row| json!(row % 6)));
    assert_agree(&bench, "number", &["number.jsonl", "--problem-type", "regression"], &TEXTS, &[]);
}

#[test]
fn pairs_are_read_as_by_the_pipeline() {
    let bench = Bench::new();
    let row = |row: usize| {
        let words = ["good", "bad", "fine", "poor"];
        let (first, second) = (words[row % 4], words[row / 4 % 4]);
        let label = if first == second { "same" } else { "other" };
        let pair = format!("the cast was {second}{}", [".", " and so", ""][row / 16 % 3]);
        json!({"text": format!("the film is {first}"), "text_pair": pair, "label": label}).to_string() + "\n"
    };
    bench.write("pairs.jsonl", &(0..96).map(row).collect::<String>());
    let texts: [&[&str]; 3] =
        [&["the film is good", "the cast was good"], &["fun", "a weak plot and a dull cast"], &["the", "."]];
    assert_agree(&bench, "pairs", &["pairs.jsonl", "--column", "text_pair=text_pair"], &texts, &[]);
}

/// Words of several tokens, so that the tokens of a word may disagree.
#[test]
fn entities_are_those_of_the_pipeline() {
    let bench = Bench::new();
    let pieces =
        "[PAD] [UNK] [CLS] [SEP] [MASK] the a film plot is was and . , gre ##at go ##od du ##ll we ##ak";
    bench.write("model/vocab.txt", &pieces.replace(' ', "\n"));
    let row = |row: usize| {
        let subject = ["film", "plot"][row % 2];
        let (word, kind) =
            [("great", "B-praise"), ("dull", "B-blame"), ("good", "B-praise"), ("weak", "B-blame")]
                [row / 2 % 4];
        let (more, inside) =
            if (row / 8).is_multiple_of(2) { (vec!["and", "weak"], "I-blame") } else { (vec![], "O") };
        let mut words = vec!["the", subject, "is", word];
        let mut tags = vec!["O", "B-subject", "O", kind];
        words.extend(&more);
        tags.extend(more.iter().enumerate().map(|(place, _)| if place == 0 { "O" } else { inside }));
        words.extend(["was", "a", "."].iter().take(row / 16 % 4));
        tags.resize(words.len(), "O");
        json!({"tokens": words, "tags": tags}).to_string() + "\n"
    };
    bench.write("words.jsonl", &(0..96).map(row).collect::<String>());
    let texts: [&[&str]; 4] = [
        &["the film is great and the plot was dull."],
        &["goodat weakgood dullat"],
        &["A great, weak film and a good plot"],
        &["the"],
    ];
    for aggregation in ["first", "average", "max"] {
        let data = ["words.jsonl", "--task", "token-classification"];
        assert_agree(&bench, aggregation, &data, &texts, &["--aggregation", aggregation]);
    }
}

#[test]
fn hidden_tokens_are_filled_in_as_by_the_pipeline() {
    let bench = Bench::new();
    let row = |row: usize| {
        let (subject, word) = [("film", "good"), ("plot", "dull"), ("cast", "great")][row % 3];
        format!("the {subject} {} {word} .\n", ["is", "was", "is very"][row / 3 % 3])
    };
    bench.write("text.txt", &(0..300).map(row).collect::<String>());
    let texts: [&[&str]; 2] = [&["the film is [MASK] ."], &["[MASK]"]];
    assert_agree(&bench, "hidden", &["text.txt", "--task", "masked-language-modeling"], &texts, &[]);
}

#[test]
fn answers_are_the_spans_with_the_highest_logits() {
    let bench = Bench::new();
    let row = |row: usize| {
        let (subject, word) = [("film", "good"), ("plot", "dull"), ("cast", "great")][row % 3];
        let start = format!("the {subject} {} ", ["is", "was", "is very", "was so"][row / 3 % 4]);
        let context = format!("{start}{word} .{}", [" and so", "", " not fun ,"][row / 12 % 3]);
        let answers = json!({"text": [word], "answer_start": [start.len()]});
        json!({"question": format!("{subject} is"), "context": context, "answers": answers}).to_string()
            + "\n"
    };
    bench.write("questions.jsonl", &(0..108).map(row).collect::<String>());
    let texts: [&[&str]; 3] = [
        &["film is", "the film is so very good ."],
        &["is it fun", "a dull, weak plot and the cast was not great"],
        &["plot", "fun"],
    ];
    assert_agree(&bench, "answers", &["questions.jsonl", "--task", "question-answering"], &texts, &[]);
}

#[test]
fn texts_are_those_that_the_model_writes() {
    let bench = Bench::new();
    let config = json!({
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 40, "d_model": 32,
        "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
        "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "dropout_rate": 0.0,
        "layer_norm_epsilon": 1e-6, "initializer_factor": 1.0, "feed_forward_proj": "relu",
        "is_encoder_decoder": true, "pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0,
        "tie_word_embeddings": true
    });
    bench.write("t5.json", &config.to_string());
    let row = |row: usize| {
        let words = ["film", "plot", "cast", "good", "bad", "fine"];
        let (one, other) = (words[row % 6], words[row / 6 % 6]);
        json!({"source": format!("{one} {other}"), "target": format!("{other} {one}")}).to_string() + "\n"
    };
    bench.write("pairs.jsonl", &(0..144).map(row).collect::<String>());
    let data =
        ["pairs.jsonl", "--task", "text-to-text", "--from-scratch", "t5.json", "--max-target-length", "12"];
    let texts: [&[&str]; 3] = [&["film good"], &["bad plot and a cast"], &["fun"]];
    assert_agree(&bench, "written", &data, &texts, &[]);
}
