//! The tokens of a file.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value};

/// Kinds of tokens in `tokenizer.ggml.token_type` (`llama_token_type` of llama.h).
pub(crate) const NORMAL: i64 = 1;
pub(crate) const CONTROL: i64 = 3;
pub(crate) const USER_DEFINED: i64 = 4;
pub(crate) const UNUSED: i64 = 5;

/// Special tokens: their names in tokenizer_config.json, and in a file after `tokenizer.ggml.`.
pub(crate) const NAMED: [(&str, &str); 4] = [
    ("bos_token", "bos_token_id"),
    ("eos_token", "eos_token_id"),
    ("unk_token", "unknown_token_id"),
    ("pad_token", "padding_token_id"),
];

/// What is at an id that no token has: llama.cpp's converter fills up the rows of the embedding.
pub(crate) fn filler(id: usize) -> String {
    format!("[PAD{id}]")
}

/// A file's tokens.
pub(super) struct Vocabulary<'a> {
    metadata: &'a Metadata,
    /// By id.
    pub tokens: Vec<&'a str>,
    kinds: Vec<i64>,
}

impl<'a> Vocabulary<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// That there are none, or one twice.
    pub fn read(metadata: &'a Metadata) -> Result<Self, String> {
        let tokens = texts(metadata, "tokens")?;
        let kinds = match get(metadata, "token_type") {
            Some(Value::List(kinds)) => {
                let number = |kind: &Value| kind.as_u64().and_then(|kind| i64::try_from(kind).ok());
                kinds.iter().map(|kind| number(kind).unwrap_or(NORMAL)).collect()
            }
            _ => Vec::new(),
        };
        let vocabulary = Self { metadata, tokens, kinds };
        match vocabulary.ids().len() < vocabulary.tokens.len() {
            true => Err("a token occurs twice in tokenizer.ggml.tokens".into()),
            false => Ok(vocabulary),
        }
    }

    /// The tokens with their ids.
    pub fn ids(&self) -> HashMap<&'a str, usize> {
        self.tokens.iter().enumerate().map(|(id, &token)| (token, id)).collect()
    }

    fn kind(&self, id: usize) -> i64 {
        self.kinds.get(id).copied().unwrap_or(NORMAL)
    }

    /// `vocab` of tokenizer.json, without what only fills up rows.
    pub fn without_fillers(&self) -> Map<String, Json> {
        let is_filler = |id: usize, token: &str| self.kind(id) == UNUSED && token == filler(id);
        let tokens = self.tokens.iter().enumerate().filter(|&(id, token)| !is_filler(id, token));
        tokens.map(|(id, token)| (token.to_string(), json!(id))).collect()
    }

    /// `vocab` of tokenizer.json.
    pub fn all(&self) -> Map<String, Json> {
        self.tokens.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id))).collect()
    }

    /// `added_tokens` of tokenizer.json: tokens that are found whole in a text, before it is split.
    pub fn added(&self) -> Vec<Json> {
        let named: Vec<usize> =
            NAMED.iter().filter_map(|(_, key)| self.named(key)).map(|(id, _)| id).collect();
        let added = self.tokens.iter().enumerate().filter_map(|(id, token)| {
            let special = self.kind(id) == CONTROL || named.contains(&id);
            (special || self.kind(id) == USER_DEFINED).then(|| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special,
                })
            })
        });
        added.collect()
    }

    /// The token that a key after `tokenizer.ggml.` names, with its id.
    pub fn named(&self, key: &str) -> Option<(usize, &'a str)> {
        let id = get(self.metadata, key).and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok())?;
        Some((id, *self.tokens.get(id)?))
    }
}

/// A value after `tokenizer.ggml.`.
pub(super) fn get<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a Value> {
    metadata.get(&format!("tokenizer.ggml.{key}"))
}

/// A list of texts after `tokenizer.ggml.`.
pub(super) fn texts<'a>(metadata: &'a Metadata, key: &str) -> Result<Vec<&'a str>, String> {
    let texts = get(metadata, key).and_then(Value::as_texts);
    texts.ok_or_else(|| format!("tokenizer.ggml.{key} is not a list of texts"))
}

/// The pairs of tokens that are joined, as the file lists them: the two texts with a space between.
pub(super) fn merges<'a>(metadata: &'a Metadata) -> Result<Vec<(&'a str, &'a str)>, String> {
    let pair = |merge: &'a str| {
        merge.split_once(' ').ok_or_else(|| format!("`{merge}` is not a merge of two tokens"))
    };
    texts(metadata, "merges")?.into_iter().map(pair).collect()
}
