//! Tokenizer definitions from the older files: a vocabulary, and merges.
//!
//! Written as the JSON that a tokenizer.json would hold, after transformers 5.23,
//! convert_slow_tokenizer.py (BertConverter, GPT2Converter, RobertaConverter).

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{read_object, read_text};
use crate::DataError;

/// A byte-level BPE needs `</s>` beside `<s>` to be RoBERTa's.
const ROBERTA_MARKS: [&str; 2] = ["<s>", "</s>"];

/// BERT's WordPiece from a vocab.txt, one token a line.
///
/// `do_lower_case` (true unless said otherwise, as BertTokenizer has it), `strip_accents` and
/// `tokenize_chinese_chars` come from tokenizer_config.json.
pub(super) fn wordpiece(vocab: &Path, config: &Map<String, Value>) -> Result<Value, DataError> {
    let text = read_text(vocab)?;
    let ids: Map<String, Value> =
        text.lines().enumerate().map(|(id, token)| (token.trim_end().to_string(), json!(id))).collect();
    let required = |token: &str| {
        ids.get(token)
            .cloned()
            .ok_or_else(|| bad(vocab, format!("no `{token}` in it; it is not a BERT vocabulary")))
    };
    let (cls, sep) = (required("[CLS]")?, required("[SEP]")?);
    required("[UNK]")?;
    let flag = |key: &str| config.get(key).cloned().unwrap_or(json!(true));
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let cls_piece = json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}});
    let sep_piece = |segment| json!({"SpecialToken": {"id": "[SEP]", "type_id": segment}});
    let text_piece = |name, segment| json!({"Sequence": {"id": name, "type_id": segment}});
    let single = vec![cls_piece, text_piece("A", 0), sep_piece(0)];
    let pair = [single.clone(), vec![text_piece("B", 1), sep_piece(1)]].concat();
    Ok(json!({
        "version": "1.0",
        "added_tokens": added_tokens(&special, &ids),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars"),
            "strip_accents": config.get("strip_accents").cloned().unwrap_or_default(),
            "lowercase": flag("do_lower_case"),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": pair,
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [cls], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [sep], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }))
}

/// Byte-level BPE from vocab.json and merges.txt; RoBERTa's layout where `<s>` and `</s>` are in
/// the vocabulary, else GPT-2's.
pub(super) fn byte_level_bpe(
    vocab: &Path,
    merges: &Path,
    config: &Map<String, Value>,
) -> Result<Value, DataError> {
    let ids = read_object(vocab)?;
    let prefix = config.get("add_prefix_space").cloned().unwrap_or(json!(false));
    let marks = ROBERTA_MARKS.map(|mark| ids.get(mark).cloned());
    let post_processor = match &marks {
        [Some(open), Some(close)] => json!({
            "type": "RobertaProcessing",
            "cls": ["<s>", open],
            "sep": ["</s>", close],
            "trim_offsets": true,
            "add_prefix_space": prefix,
        }),
        _ => byte_level(json!(true), false),
    };
    let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"];
    Ok(json!({
        "version": "1.0",
        "added_tokens": added_tokens(&special, &ids),
        "pre_tokenizer": byte_level(prefix, true),
        "post_processor": post_processor,
        "decoder": byte_level(json!(true), true),
        "model": {
            "type": "BPE",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "vocab": ids,
            "merges": read_merges(merges)?,
        },
    }))
}

fn byte_level(add_prefix_space: Value, trim_offsets: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": add_prefix_space,
        "trim_offsets": trim_offsets,
        "use_regex": true,
    })
}

/// One merge a line, two pieces with a space between; a first line `#version` is skipped.
fn read_merges(path: &Path) -> Result<Vec<[String; 2]>, DataError> {
    let text = read_text(path)?;
    let mut merges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || (index == 0 && line.starts_with("#version")) {
            continue;
        }
        let pair = line
            .split_once(' ')
            .ok_or_else(|| bad(path, format!("line {} is not two pieces: `{line}`", index + 1)))?;
        merges.push([pair.0.to_string(), pair.1.to_string()]);
    }
    Ok(merges)
}

/// Those of the tokens that the vocabulary has. A mask swallows the space before it in byte-level
/// vocabularies, as RobertaTokenizer declares it.
fn added_tokens(tokens: &[&str], ids: &Map<String, Value>) -> Vec<Value> {
    tokens
        .iter()
        .filter_map(|token| Some((token, ids.get(*token)?)))
        .map(|(token, id)| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": *token == "<mask>",
                "rstrip": false,
                "normalized": false,
                "special": true,
            })
        })
        .collect()
}

fn bad(file: &Path, reason: String) -> DataError {
    DataError::BadTokenizer { file: file.to_path_buf(), reason }
}
