//! The parts of a tokenizer.json that several classes have.

use serde_json::{Value, json};

use crate::tokenizer::source::TokenizerSource;

/// The character for a space in SentencePiece's vocabularies.
pub(super) const SPACE: &str = "\u{2581}";

/// A token with its id.
pub(super) type TokenMark = (String, u32);

/// A text between its marks, and a second one, which other marks may open, in a segment of its own or not.
pub(super) fn template(
    open: &[TokenMark],
    close: &[TokenMark],
    second_open: &[TokenMark],
    segment: u32,
) -> Value {
    let marks = |marks: &[TokenMark], type_id: u32| -> Vec<Value> {
        marks.iter().map(|(text, _)| json!({"SpecialToken": {"id": text, "type_id": type_id}})).collect()
    };
    let text = |name: &str, type_id: u32| vec![json!({"Sequence": {"id": name, "type_id": type_id}})];
    let single = [marks(open, 0), text("A", 0), marks(close, 0)].concat();
    let second = [marks(second_open, segment), text("B", segment), marks(close, segment)].concat();
    let special: serde_json::Map<String, Value> = [open, close, second_open]
        .concat()
        .into_iter()
        .map(|(text, id)| (text.clone(), json!({"id": text, "ids": [id], "tokens": [text]})))
        .collect();
    let pair = [single.clone(), second].concat();
    json!({
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": special,
    })
}

pub(super) fn bert_normalizer(ideographs: bool, strip_accents: Option<bool>, lowercase: bool) -> Value {
    json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": ideographs,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    })
}

pub(super) fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}

pub(super) fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split})
}

pub(super) fn words_and_spaces(scheme: &str) -> Value {
    json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace(scheme, true)]})
}

/// SentencePiece's table of characters, from the file's normalizer.
pub(super) fn charsmap(source: &TokenizerSource) -> Value {
    let normalizer = &source.json["normalizer"];
    let parts = match normalizer["normalizers"].as_array() {
        Some(parts) if normalizer["type"] == "Sequence" => parts.as_slice(),
        _ => std::slice::from_ref(normalizer),
    };
    parts.iter().find(|part| part["type"] == "Precompiled").cloned().unwrap_or_default()
}

/// Each occurrence of a text as another.
pub(super) fn replaced(text: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": text}, "content": content})
}

pub(super) fn word_piece_decoder() -> Value {
    json!({"type": "WordPiece", "prefix": "##", "cleanup": true})
}
