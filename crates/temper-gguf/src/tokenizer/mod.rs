//! tokenizer.json and tokenizer_config.json of a file's metadata, and the other way round.

mod byte_level;
mod layout;
mod sentencepiece;
mod splitter;
mod vocabulary;
mod written;

pub(crate) use written::{SourceTokenizer, metadata_of};

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value};
use layout::layout;
use vocabulary::{NAMED, Vocabulary, get};

/// The kinds of tokenizers in `tokenizer.ggml.model`.
const BYTE_LEVEL: &str = "gpt2";
const SENTENCEPIECE: &str = "llama";

/// A tokenizer as files of a checkpoint.
#[derive(Debug, PartialEq)]
pub(crate) struct TokenizerFiles {
    /// tokenizer.json.
    pub definition: Json,
    /// tokenizer_config.json.
    pub config: Map<String, Json>,
    /// Its tokens.
    pub count: usize,
}

/// The parts of tokenizer.json in which kinds of tokenizers differ.
struct Parts {
    pre_tokenizer: Json,
    decoder: Json,
    model: Json,
    /// `post_processor` where no token is put before a text or after.
    without_layout: Json,
}

/// Makes the files of a tokenizer.
///
/// # Errors
/// What is missing, or is of another kind.
pub(crate) fn tokenizer(metadata: &Metadata) -> Result<TokenizerFiles, String> {
    let kind = get(metadata, "model").and_then(Value::as_text).unwrap_or_default();
    let vocabulary = || Vocabulary::read(metadata);
    let (vocabulary, parts, begins) = match kind {
        BYTE_LEVEL => {
            let vocabulary = vocabulary()?;
            let parts = byte_level::parts(metadata, &vocabulary)?;
            (vocabulary, parts, false)
        }
        SENTENCEPIECE => {
            let vocabulary = vocabulary()?;
            let parts = sentencepiece::parts(metadata, &vocabulary)?;
            // llama.cpp puts the token there where a file of this kind says nothing.
            (vocabulary, parts, true)
        }
        other => {
            return Err(format!(
                "its tokenizer is of the kind `{other}`, and `{BYTE_LEVEL}` and `{SENTENCEPIECE}` are read"
            ));
        }
    };
    let put = |key: &str, token: &str, default: bool| {
        let puts = get(metadata, key).and_then(Value::as_bool).unwrap_or(default);
        vocabulary.named(token).filter(|_| puts)
    };
    let (before, behind) =
        (put("add_bos_token", "bos_token_id", begins), put("add_eos_token", "eos_token_id", false));
    let is_bare = before.is_none() && behind.is_none();
    let definition = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(),
        "normalizer": null,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": if is_bare { parts.without_layout } else { layout(before, behind) },
        "decoder": parts.decoder,
        "model": parts.model,
    });
    Ok(TokenizerFiles { definition, config: config(metadata, &vocabulary), count: vocabulary.tokens.len() })
}

/// tokenizer_config.json.
fn config(metadata: &Metadata, vocabulary: &Vocabulary<'_>) -> Map<String, Json> {
    let mut config = Map::from_iter([
        ("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast")),
        ("clean_up_tokenization_spaces".to_owned(), json!(false)),
    ]);
    let named = NAMED.iter().filter_map(|(name, key)| {
        let (_, token) = vocabulary.named(key)?;
        Some((name.to_string(), json!(token)))
    });
    config.extend(named);
    if let Some(template) = metadata.get(CHAT_TEMPLATE).and_then(Value::as_text) {
        config.insert("chat_template".into(), json!(template));
    }
    config
}

/// Where a file has the template that makes a text of a chat.
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";
