//! Target: the files that tokenizers come with. What loads, encodes, is saved and loads again.

mod common;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{answer, folder, folder_with, write};
use temper_data::{EncodeSettings, Truncation, encode_all, load_tokenizer};
use temper_fuzz::{Failures, Part, Shape, run};

const CUT: EncodeSettings = EncodeSettings { max_length: 128, truncation: Truncation::Head };

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfilm\nun\n##believ\n##able\ncafe\n!\n,\na\nb\n";
const CONFIG: &str = r###"{"do_lower_case": true, "strip_accents": null, "tokenize_chinese_chars": true,
    "tokenizer_class": "BertTokenizer", "model_max_length": 128, "truncation_side": "right",
    "padding_side": "right", "cls_token": "[CLS]", "unk_token": {"__type": "AddedToken", "content": "[UNK]",
    "lstrip": false, "normalized": false, "rstrip": false, "single_word": false},
    "added_tokens_decoder": {"0": {"content": "[PAD]", "lstrip": false, "normalized": false, "rstrip": false,
    "single_word": false, "special": true}}}"###;
const SPECIAL: &str = r#"{"cls_token": "[CLS]", "sep_token": {"content": "[SEP]"}, "unk_token": "[UNK]",
    "additional_special_tokens": ["[MASK]"]}"#;
const BPE_VOCAB: &str = r#"{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "l": 4, "o": 5, "w": 6, "e": 7,
    "r": 8, "Ġ": 9, "n": 10, "lo": 11, "low": 12, "Ġlow": 13, "er": 14, "ne": 15, "<mask>": 16}"#;
const MERGES: &str = "#version: 0.2\nl o\nlo w\nĠ low\ne r\nn e\n";

/// As T5 and LLaMA have theirs: pieces with scores, words that begin with a mark, a template.
const UNIGRAM: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Lowercase"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
    "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
    "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": false, "vocab": [["<pad>", 0.0],
        ["</s>", 0.0], ["<unk>", 0.0], ["▁the", -2.5], ["▁", -3.0], ["film", -4.0], ["▁un", -4.5], ["a", -5.0]]}}"#;

const DEBERTA: &[(&str, &str)] = &[("tokenizer_config.json", r#"{"tokenizer_class": "DebertaV2Tokenizer"}"#)];
const LLAMA: &[(&str, &str)] = &[("tokenizer_config.json", r#"{"tokenizer_class": "LlamaTokenizer"}"#)];

/// What a tokenizer has to bear.
const TEXTS: [(&str, Option<&str>); 6] = [
    ("the unbelievable film, low newer!", None),
    ("", None),
    (" \t\n", None),
    ("Caf\u{e9} \u{4e2d}\u{56fd} \u{1f468}\u{200d}\u{1f469} \0 \u{202e}", None),
    ("[MASK] <s> </s> <mask> [CLS]", Some("the film")),
    ("lowlowlowlowlowlowlowlowlowlowlowlowlowlowlowlow", Some("")),
];

/// Loads, encodes every text in every way, saves, and loads what was saved.
fn use_tokenizer(dir: &Path) -> Result<(), String> {
    let tokenizer = answer(load_tokenizer(dir))?;
    let _ =
        (tokenizer.vocab_size(), tokenizer.special(), tokenizer.token(3), tokenizer.added_token_id("[MASK]"));
    for truncation in [Truncation::Head, Truncation::Tail, Truncation::HeadTail] {
        let settings = EncodeSettings { max_length: 12, truncation };
        let single: Vec<_> = TEXTS.iter().map(|(text, _)| (*text, None)).collect();
        answer(encode_all(&tokenizer, &single, &settings, None))?;
        let _ = encode_all(&tokenizer, &TEXTS, &settings, None);
    }
    let _ = tokenizer.inner().decode(&[0, 1, 2, 3, 4, 5], false);
    let saved = folder(dir, "saved");
    answer(tokenizer.save(&saved, &CUT))?;
    load_tokenizer(&saved).map(drop).map_err(|error| panic!("what was saved does not load: {error}"))
}

/// tokenizer.json as this program writes it for the older files.
fn converted(files: &[(&str, &str)]) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tokenizer-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder");
    for (name, text) in files {
        write(&dir.join(name), text.as_bytes());
    }
    load_tokenizer(&dir).expect("loads").save(&dir, &CUT).expect("saved");
    let json = common::read(&dir.join("tokenizer.json"));
    std::fs::remove_dir_all(&dir).expect("removed");
    json
}

/// SentencePiece's file of a family, from the fixtures of temper-data.
fn pieces(family: &str, file: &str) -> Vec<u8> {
    let fixtures = common::fixtures("temper-data/tests/fixtures/tokenizer_settings");
    let text = common::read(&fixtures.join(format!("{family}.json")));
    let family: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let cases = family["cases"].as_array().expect("cases");
    let bytes = cases.iter().find_map(|case| case["files"][file]["base64"].as_str()).expect("a file");
    STANDARD.decode(bytes).expect("base64")
}

#[test]
fn tokenizer() -> Result<(), Failures> {
    let part = |name: &'static str,
                file: &'static str,
                shape,
                seeds: Vec<Vec<u8>>,
                beside: &'static [(&str, &str)]| {
        let check = move |bytes: &[u8], dir: &Path| {
            let beside: Vec<_> = beside.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
            let place = folder_with(dir, name, &beside);
            write(&place.join(file), bytes);
            use_tokenizer(&place)
        };
        Part { name, shape, seeds, check: Box::new(check) }
    };
    let wordpiece = converted(&[("vocab.txt", VOCAB)]);
    let bpe = converted(&[("vocab.json", BPE_VOCAB), ("merges.txt", MERGES)]);
    let json = vec![wordpiece, bpe, UNIGRAM.into()];
    let bert = &[("vocab.txt", VOCAB)];
    run(
        "tokenizer",
        3000,
        &[
            part("json", "tokenizer.json", Shape::Json, json, &[]),
            part("config", "tokenizer_config.json", Shape::Json, vec![CONFIG.into()], bert),
            part("special", "special_tokens_map.json", Shape::Json, vec![SPECIAL.into()], bert),
            part("vocab", "vocab.txt", Shape::Text, vec![VOCAB.into()], &[]),
            part("bpe", "vocab.json", Shape::Json, vec![BPE_VOCAB.into()], &[("merges.txt", MERGES)]),
            part("pieces", "spm.model", Shape::Bytes, vec![pieces("deberta-v2", "spm.model")], DEBERTA),
            part(
                "byte-pairs",
                "tokenizer.model",
                Shape::Bytes,
                vec![pieces("llama", "tokenizer.model")],
                LLAMA,
            ),
            part("merges", "merges.txt", Shape::Text, vec![MERGES.into()], &[("vocab.json", BPE_VOCAB)]),
        ],
    )
}
