//! A tokenizer of the kind `llama`: pieces of SentencePiece with scores, and bytes for what no piece has.
//!
//! As transformers 5.23 makes it of a file (`integrations/gguf/gguf_tokenizer_mapping.py`, `generate_merges` of
//! `tokenization_utils_base.py`, `LlamaTokenizer`), but for files that say that no space is put before a text:
//! transformers puts one there all the same.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Value as Json, json};

use super::Parts;
use super::vocabulary::{Vocabulary, get, merges};
use crate::metadata::{Metadata, Value};

/// The character for a space.
const SPACE: &str = "▁";

/// The parts of tokenizer.json.
///
/// # Errors
/// What is missing.
pub(super) fn parts(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Parts, String> {
    let begins_with_space = get(metadata, "add_space_prefix").and_then(Value::as_bool).unwrap_or(true);
    let merges = match get(metadata, "merges") {
        Some(_) => merges(metadata)?,
        None => merges_of_scores(vocabulary, &scores(metadata, vocabulary.tokens.len())?),
    };
    let mut decoder = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if begins_with_space {
        decoder.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let scheme = if begins_with_space { "first" } else { "never" };
    Ok(Parts {
        pre_tokenizer: json!({
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false,
        }),
        decoder: json!({"type": "Sequence", "decoders": decoder}),
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.all(), "merges": merges,
        }),
        without_layout: Json::Null,
    })
}

/// A score for each token.
fn scores(metadata: &Metadata, count: usize) -> Result<Vec<f32>, String> {
    let number = |score: &Value| match score {
        Value::Float(score) if !score.is_nan() => Some(*score),
        _ => None,
    };
    let scores = match get(metadata, "scores") {
        Some(Value::List(scores)) => scores.iter().map(number).collect::<Option<Vec<f32>>>(),
        _ => None,
    };
    let scores = scores.ok_or("tokenizer.ggml.scores is not a list of numbers of 32 bits")?;
    match scores.len() == count {
        true => Ok(scores),
        false => Err(format!("tokenizer.ggml.scores has {} scores for {count} tokens", scores.len())),
    }
}

/// Two tokens that are joined, with what their place in the list depends on.
struct Merge<'a> {
    left: &'a str,
    right: &'a str,
    /// Of the token that they make.
    score: f32,
    /// Characters of the two.
    lengths: (usize, usize),
}

/// Every way to cut a token into two others, the best scores first. What is equal stays in the order of the tokens' ids.
fn merges_of_scores<'a>(vocabulary: &Vocabulary<'a>, scores: &[f32]) -> Vec<(&'a str, &'a str)> {
    let ids = vocabulary.ids();
    // Looked at first, so that a token as long as its file takes no time.
    let lengths: HashSet<usize> = vocabulary.tokens.iter().map(|token| token.len()).collect();
    let mut merges = Vec::new();
    for (token, &score) in vocabulary.tokens.iter().copied().zip(scores) {
        let mut ways = Vec::new();
        for (characters, (cut, _)) in token.char_indices().enumerate().skip(1) {
            if !lengths.contains(&cut) || !lengths.contains(&(token.len() - cut)) {
                continue;
            }
            let (left, right) = token.split_at(cut);
            if let (Some(first), Some(second)) = (ids.get(left), ids.get(right)) {
                let lengths = (characters, right.chars().count());
                ways.push(((first, second), Merge { left, right, score, lengths }));
            }
        }
        ways.sort_by_key(|(ids, _)| *ids);
        merges.extend(ways.into_iter().map(|(_, merge)| merge));
    }
    merges.sort_by(|a, b| {
        let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
        by_score.then(b.lengths.cmp(&a.lengths))
    });
    merges.into_iter().map(|merge| (merge.left, merge.right)).collect()
}
