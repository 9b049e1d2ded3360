//! Checks of a tokenizer.json that the tokenizers crate does not make (0.23): it panics on merges that the vocabulary
//! does not have, loses one of two tokens with the same id, reserves room up to the highest id, and overflows the stack
//! with a long token of a Unigram model.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Ids from here on are damage: fifteen times the largest vocabulary of a published model.
const ID_LIMIT: u64 = 1 << 24;

/// Bytes of a Unigram token at most: the library frees a trie with one level for each byte by recursion
/// (models/unigram/trie.rs). sentencepiece makes tokens of at most 16 characters unless told otherwise.
const UNIGRAM_TOKEN_LIMIT: usize = 1024;

/// Refuses a definition that no tokenizer can have.
pub(super) fn check(definition: &Value) -> Result<(), String> {
    let model = &definition["model"];
    if let Some(vocab) = model["vocab"].as_object() {
        check_ids(vocab)?;
        if let Some(merges) = model["merges"].as_array() {
            let prefix = model["continuing_subword_prefix"].as_str().map_or(0, str::len);
            merges
                .iter()
                .enumerate()
                .try_for_each(|(place, merge)| check_merge(vocab, merge, prefix, place))?;
        }
    }
    if let Some(vocab) = model["vocab"].as_array() {
        check_lengths(vocab)?;
    }
    // Ids of added tokens are compared with the vocabulary's once both are known.
    for token in definition["added_tokens"].as_array().into_iter().flatten() {
        if token["id"].as_u64().is_some_and(|id| id >= ID_LIMIT) {
            return Err(format!("the added token {} has the id {}", token["content"], token["id"]));
        }
    }
    match model["dropout"].as_f64() {
        Some(dropout) if dropout != 0.0 => Err(format!(
            "its model leaves out merges at random (`dropout` is {dropout}); set `dropout` to null"
        )),
        _ => Ok(()),
    }
}

fn check_ids(vocab: &Map<String, Value>) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(vocab.len());
    for (token, id) in vocab {
        let Some(number) = id.as_u64().filter(|&number| number < ID_LIMIT) else {
            return Err(format!("its vocabulary gives `{token}` the id {id}"));
        };
        if !seen.insert(number) {
            return Err(format!("its vocabulary gives the id {number} twice, the second time to `{token}`"));
        }
    }
    Ok(())
}

/// A Unigram model lists its tokens with their scores.
fn check_lengths(vocab: &[Value]) -> Result<(), String> {
    let lengths = vocab.iter().map(|entry| entry[0].as_str().map_or(0, str::len));
    match lengths.enumerate().find(|&(_, length)| length > UNIGRAM_TOKEN_LIMIT) {
        Some((id, length)) => {
            Err(format!("its token {id} has {length} bytes; the limit is {UNIGRAM_TOKEN_LIMIT}"))
        }
        None => Ok(()),
    }
}

/// A merge joins two tokens to a third; a prefix of the second is left out.
fn check_merge(vocab: &Map<String, Value>, merge: &Value, prefix: usize, place: usize) -> Result<(), String> {
    let pieces: Vec<&str> = match merge {
        // The library skips such lines of the older form.
        Value::String(line) if line.starts_with("#version") => return Ok(()),
        Value::String(line) => line.split(' ').collect(),
        Value::Array(pieces) => pieces.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let [first, second] = pieces.as_slice() else {
        return Err(format!("its merge {} is not two tokens: {merge}", place + 1));
    };
    let joined = second.get(prefix..).map(|rest| [first, rest].concat());
    let is_known = |token: &str| vocab.contains_key(token);
    if is_known(first) && is_known(second) && joined.is_some_and(|joined| is_known(&joined)) {
        return Ok(());
    }
    Err(format!("its merge {} has tokens that are not in its vocabulary: {merge}", place + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_tokenizer_can_have_is_refused() {
        let good = json!({
            "added_tokens": [{"id": 3, "content": "<s>"}],
            "model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "dropout": null},
        });
        assert_eq!(check(&good), Ok(()));
        for (place, value, part) in [
            ("/added_tokens/0/id", json!(4_294_967_295_u32), "4294967295"),
            ("/model/vocab/b", json!(4_000_000_000_u32), "`b` the id 4000000000"),
            ("/model/vocab/b", json!(-1), "the id -1"),
            ("/model/vocab/b", json!(0), "the id 0 twice"),
            ("/model/merges/0", json!("a c"), "merge 1"),
            ("/model/merges/0", json!(["b", "a"]), "not in its vocabulary"),
            ("/model/merges/0", json!("ab"), "not two tokens"),
            ("/model/dropout", json!(0.1), "random"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value;
            let reason = check(&bad).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_unigram_token_is_of_a_limited_length() {
        let of_length = |length: usize| json!({"model": {"type": "Unigram", "vocab": [["a", 0.0], ["b".repeat(length), -1.0]]}});
        assert_eq!(check(&of_length(UNIGRAM_TOKEN_LIMIT)), Ok(()));
        let reason = check(&of_length(UNIGRAM_TOKEN_LIMIT + 1)).unwrap_err();
        assert!(reason.contains("token 1 has 1025 bytes"), "{reason}");
    }

    #[test]
    fn a_prefix_longer_than_a_token_is_refused() {
        let vocab = json!({"a": 0, "\u{e9}": 1, "a\u{e9}": 2});
        for (prefix, is_good) in [("", true), ("#", false), ("####", false)] {
            let model =
                json!({"vocab": vocab, "merges": [["a", "\u{e9}"]], "continuing_subword_prefix": prefix});
            assert_eq!(check(&json!({"model": model})).is_ok(), is_good, "{prefix}");
        }
    }
}
