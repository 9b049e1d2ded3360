//! A tokenizer of the kind `gpt2`: bytes as characters, in pairs.

use serde_json::{Value as Json, json};

use super::Parts;
use super::splitter::splitter;
use super::vocabulary::{Vocabulary, get, merges};
use crate::metadata::{Metadata, Value};

/// The parts of tokenizer.json.
///
/// # Errors
/// What is missing or not known.
pub(super) fn parts(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Result<Parts, String> {
    let splitter = splitter(get(metadata, "pre").and_then(Value::as_text).unwrap_or("gpt-2"))?;
    let bytes = |trim_offsets: bool| json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": trim_offsets, "use_regex": true});
    Ok(Parts {
        pre_tokenizer: splitter.steps,
        decoder: bytes(true),
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": splitter.takes_whole_words, "vocab": vocabulary.without_fillers(),
            "merges": merges(metadata)?,
        }),
        without_layout: bytes(false),
    })
}

/// Whether a decoder of tokenizer.json makes a text of characters that stand for bytes.
pub(super) fn is_decoder(decoder: &Json) -> bool {
    decoder["type"] == "ByteLevel"
}
