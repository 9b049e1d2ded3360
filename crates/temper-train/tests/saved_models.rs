//! The model folder of a run, of every family: what is in its files agrees, and transformers, where it is available,
//! loads it without a warning and computes the same logits, one text at a time and in padded batches.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Bench, assert_succeeds, stdout};
use serde_json::{Value, json};

/// How texts become ids.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// `[CLS] text [SEP]`, by vocab.txt.
    Bert,
    /// `<s> text </s>`, with padding after the opening token.
    Roberta,
    /// The text alone; no token is named as padding.
    Bare,
    /// `<s> text </s>`; no token is named as padding.
    Closed,
    /// `text </s>`
    T5,
}

const WORDS: &str =
    "the a this film plot cast story is was and very so good great fine fun bad dull poor weak . , not";

/// Families, variants of them, and layouts that their tokenizers may have.
const CASES: [(&str, Layout); 21] = [
    ("bert", Layout::Bert),
    ("distilbert", Layout::Bert),
    ("roberta", Layout::Roberta),
    ("camembert", Layout::Roberta),
    ("xlm-roberta", Layout::Roberta),
    ("gpt2", Layout::Bare),
    ("gpt2", Layout::Closed),
    ("openai-gpt", Layout::Bare),
    ("openai-gpt", Layout::Closed),
    ("gpt-neo", Layout::Bare),
    ("gpt-neo", Layout::Closed),
    ("bloom", Layout::Bare),
    ("bloom", Layout::Closed),
    ("falcon-7b", Layout::Bare),
    ("falcon-rw", Layout::Closed),
    ("falcon-40b", Layout::Closed),
    ("llama", Layout::Bare),
    ("llama2-gqa", Layout::Closed),
    ("t5", Layout::T5),
    ("t5-v1.1", Layout::T5),
    ("bart", Layout::Roberta),
];

/// A folder of the zoo without anything about padding, with what no longer holds of float weights.
fn write_model(dir: &Path, family: &str, layout: Layout) {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
    let source = zoo.join(format!("{family}-sequence-classification"));
    std::fs::create_dir(dir).expect("a folder");
    std::fs::copy(source.join("model.safetensors"), dir.join("model.safetensors")).expect("copied");
    let text = std::fs::read_to_string(source.join("config.json")).expect("a configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    if matches!(layout, Layout::Bare | Layout::Closed) {
        config["pad_token_id"] = Value::Null;
    }
    config["quantization_config"] = json!({"quant_method": "bitsandbytes", "load_in_4bit": true});
    config["torch_dtype"] = json!("float16");
    config["dtype"] = json!("bfloat16");
    config["auto_map"] = json!({"AutoModel": "modeling_own.OwnModel"});
    config["num_labels"] = json!(7);
    std::fs::write(dir.join("config.json"), config.to_string()).expect("written");
    write_tokenizer(dir, layout);
}

fn write_tokenizer(dir: &Path, layout: Layout) {
    if layout == Layout::Bert {
        let words = format!("[PAD] [UNK] [CLS] [SEP] [MASK] {WORDS}").replace(' ', "\n");
        return std::fs::write(dir.join("vocab.txt"), words).expect("written");
    }
    let special: &[&str] = match layout {
        Layout::Roberta => &["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        Layout::T5 => &["<pad>", "<s>", "</s>", "<unk>"],
        _ => &["<filler>", "<s>", "</s>", "<unk>"],
    };
    let tokens = special.iter().copied().chain(WORDS.split(' ')).enumerate();
    let vocabulary: serde_json::Map<_, _> = tokens.map(|(id, token)| (token.to_owned(), json!(id))).collect();
    let added = special.iter().enumerate().filter(|(_, token)| **token != "<filler>").map(|(id, token)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    let definition = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
        "post_processor": template(layout, &vocabulary),
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    });
    std::fs::write(dir.join("tokenizer.json"), definition.to_string()).expect("written");
    let mut config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>",
        "bos_token": "<s>", "eos_token": "</s>", "model_input_names": ["input_ids", "attention_mask"]});
    match layout {
        Layout::Roberta | Layout::T5 => config["pad_token"] = json!("<pad>"),
        _ => config["pad_token"] = Value::Null,
    }
    std::fs::write(dir.join("tokenizer_config.json"), config.to_string()).expect("written");
}

/// What a layout puts around a text, or around two.
fn template(layout: Layout, vocabulary: &serde_json::Map<String, Value>) -> Value {
    let (open, text) = (
        json!({"SpecialToken": {"id": "<s>", "type_id": 0}}),
        |id: &str| json!({"Sequence": {"id": id, "type_id": 0}}),
    );
    let close = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    let around = |texts: Vec<Value>| match layout {
        Layout::T5 => [texts, vec![close.clone()]].concat(),
        _ => [vec![open.clone()], texts, vec![close.clone()]].concat(),
    };
    if layout == Layout::Bare {
        return Value::Null;
    }
    let token = |token: &str| json!({"id": token, "ids": [vocabulary[token]], "tokens": [token]});
    json!({
        "type": "TemplateProcessing", "single": around(vec![text("A")]),
        "pair": around(vec![text("A"), close.clone(), text("B")]),
        "special_tokens": {"<s>": token("<s>"), "</s>": token("</s>")},
    })
}

/// Texts of mixed length; where transformers can batch them so, some have the closing or the padding token in them.
fn texts(layout: Layout) -> Vec<&'static str> {
    let mut texts = vec![
        "the film is great .",
        "fun",
        "this story was so very dull and so very weak , and the cast is not fine .",
        "the plot was poor and bad .",
        "a quiet triumph",
        "not so good , not so bad",
    ];
    match layout {
        Layout::Bare | Layout::Closed => {
            texts.extend([
                "the film is great . </s>",
                "dull </s> </s> </s>",
                "the </s> cast",
                "</s>",
                "fun <unk>",
            ]);
        }
        Layout::Roberta => texts.extend(["the <pad> film", "dull <pad> <pad>"]),
        Layout::T5 | Layout::Bert => {}
    }
    texts
}

/// Trains for two steps and writes what the run's model says of the texts; gives the model's folder and that file.
fn run(bench: &Bench, name: &str, layout: Layout) -> [PathBuf; 2] {
    let model = format!("./{name}");
    let mut arguments = vec!["finetune", &model, "reviews.csv", "--run-name", name, "--max-steps", "2"];
    arguments.extend(["--max-seq-length", "16", "--learning-rate", "5e-3", "--strategy", "all"]);
    let output = bench.run(&arguments);
    assert_succeeds(&output);
    let run = format!("runs/{name}");
    let mut lines = String::new();
    let mut arguments = vec!["predict", &run, "--json"];
    arguments.extend(texts(layout).iter().flat_map(|text| ["--text", text]));
    let output = bench.run(&arguments);
    assert_succeeds(&output);
    for (text, row) in texts(layout).iter().zip(stdout(&output).lines()) {
        let row: Value = serde_json::from_str(row).expect("JSON");
        lines += &format!("{}\n", json!({"text": text, "logits": row["logits"]}));
    }
    let file = format!("{name}.jsonl");
    bench.write(&file, &lines);
    [bench.path(&format!("{run}/model")), bench.path(&file)]
}

/// What `check_run.py` asks of the files, without transformers.
fn assert_files_agree(bench: &Bench, name: &str, layout: Layout) {
    let config = bench.json(&format!("runs/{name}/model/config.json"));
    let tokenizer = bench.json(&format!("runs/{name}/model/tokenizer.json"));
    let settings = bench.json(&format!("runs/{name}/model/tokenizer_config.json"));
    let pad = settings["pad_token"].as_str().unwrap_or_else(|| panic!("{name}: no padding token"));
    assert_eq!(config["pad_token_id"], tokenizer["model"]["vocab"][pad], "{name}");
    let expected = match layout {
        Layout::Bert => "[PAD]",
        Layout::Roberta | Layout::T5 => "<pad>",
        // Of the tokens that are there for another purpose, one that not every text has.
        Layout::Bare => "</s>",
        Layout::Closed => "<unk>",
    };
    assert_eq!(pad, expected, "{name}");
    for key in ["quantization_config", "auto_map", "num_labels", "_name_or_path"] {
        assert!(config.get(key).is_none(), "{name}: {key}");
    }
    assert_eq!((&config["dtype"], &config["torch_dtype"]), (&json!("float32"), &json!("float32")), "{name}");
    assert_eq!(config["id2label"], json!({"0": "neg", "1": "pos"}), "{name}");
    assert_eq!(config["label2id"], json!({"neg": 0, "pos": 1}), "{name}");
    assert_eq!(config["problem_type"], "single_label_classification", "{name}");
}

/// A Python that has transformers.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = std::env::var_os("TEMPER_REFERENCE_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| root.join("xtask/reference/.venv/bin/python"));
    let status = Command::new(&python).args(["-c", "import torch, transformers"]).output();
    status.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn transformers_computes_what_temper_does_with_the_model_of_a_run() {
    let bench = Bench::new();
    let mut folders = Vec::new();
    for (family, layout) in CASES {
        let name = match layout {
            Layout::Closed => format!("{family}-closed"),
            _ => family.to_owned(),
        };
        write_model(&bench.path(&name), family, layout);
        folders.push(run(&bench, &name, layout));
        assert_files_agree(&bench, &name, layout);
    }
    let Some(python) = python() else {
        eprintln!(
            "skipped: transformers is not at hand (TEMPER_REFERENCE_PYTHON, xtask/reference/.venv); the files agree with each other, the logits were not compared"
        );
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/reference/check_run.py");
    let column = |at: usize| folders.iter().map(move |pair| &pair[at]);
    let mut command = Command::new(python);
    command.arg(script).arg("--model").args(column(0)).arg("--reference").args(column(1));
    command.args(["--max-seq-length", "16", "--tolerance", "1e-5", "--batch-size", "4"]);
    let output = command.env("HF_HUB_OFFLINE", "1").output().expect("started");
    assert_succeeds(&output);
    assert_eq!(stdout(&output).lines().filter(|line| line.contains("batches of 4")).count(), CASES.len());
}
