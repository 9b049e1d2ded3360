//! tokenizer.json and tokenizer_config.json of a file's metadata.

use serde_json::{Map, Value as Json, json};

use crate::metadata::{Metadata, Value};

/// Kinds of tokens in `tokenizer.ggml.token_type`.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

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

/// Makes the files of a tokenizer of the kind `gpt2`: byte pairs of bytes.
///
/// # Errors
/// What is missing, or is of another kind.
pub(crate) fn tokenizer(metadata: &Metadata) -> Result<TokenizerFiles, String> {
    let get = |key: &str| metadata.get(&format!("tokenizer.ggml.{key}"));
    let kind = get("model").and_then(Value::as_text).unwrap_or_default();
    if kind != "gpt2" {
        return Err(format!("its tokenizer is of the kind `{kind}`, and `gpt2` is read"));
    }
    let texts = |key: &str| {
        get(key).and_then(Value::as_texts).ok_or_else(|| format!("tokenizer.ggml.{key} is no list of texts"))
    };
    let (tokens, merges) = (texts("tokens")?, texts("merges")?);
    let kinds: Vec<u64> = match get("token_type") {
        Some(Value::List(kinds)) => kinds.iter().map(|kind| kind.as_u64().unwrap_or(1)).collect(),
        _ => Vec::new(),
    };
    let vocabulary: Map<String, Json> =
        tokens.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id))).collect();
    if vocabulary.len() < tokens.len() {
        return Err("a token occurs twice in tokenizer.ggml.tokens".into());
    }
    let pair = |merge: &&str| merge.split_once(' ').map(|(left, right)| json!([left, right]));
    let merges =
        merges.iter().map(|merge| pair(merge).ok_or_else(|| format!("`{merge}` is no merge of two tokens")));
    let merges = merges.collect::<Result<Vec<Json>, _>>()?;
    let added = tokens.iter().enumerate().filter_map(|(id, token)| {
        let kind = kinds.get(id).copied().filter(|&kind| kind == CONTROL || kind == USER_DEFINED)?;
        Some(json!({
            "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": kind == CONTROL,
        }))
    });
    let splitter = splitter(get("pre").and_then(Value::as_text).unwrap_or("gpt-2"))?;
    let token = |key: &str| {
        let id = get(key).and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
        id.and_then(|id| Some((id, *tokens.get(id)?)))
    };
    let begins = get("add_bos_token").and_then(Value::as_bool).unwrap_or(false);
    let layout = match token("bos_token_id").filter(|_| begins) {
        None => {
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true})
        }
        Some((id, bos)) => begun_by(id, bos),
    };
    let definition = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<Json>>(),
        "normalizer": null,
        "pre_tokenizer": splitter.steps,
        "post_processor": layout,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": splitter.takes_whole_words, "vocab": vocabulary, "merges": merges,
        },
    });
    let mut config = Map::from_iter([
        ("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast")),
        ("clean_up_tokenization_spaces".to_owned(), json!(false)),
    ]);
    let named = [
        ("bos_token", "bos_token_id"),
        ("eos_token", "eos_token_id"),
        ("unk_token", "unknown_token_id"),
        ("pad_token", "padding_token_id"),
    ];
    config.extend(named.into_iter().filter_map(|(name, key)| Some((name.to_owned(), json!(token(key)?.1)))));
    if let Some(template) = metadata.get("tokenizer.chat_template").and_then(Value::as_text) {
        config.insert("chat_template".into(), json!(template));
    }
    Ok(TokenizerFiles { definition, config, count: tokens.len() })
}

/// How a text is split before bytes are paired.
struct Splitter {
    /// `pre_tokenizer`
    steps: Json,
    /// Whether a word that is a token is taken without pairing.
    takes_whole_words: bool,
}

/// The splitter of a name in `tokenizer.ggml.pre`, as the tokenizers of these models have it.
fn splitter(name: &str) -> Result<Splitter, String> {
    /// Of LLaMA 3; that of Qwen 2 has digits one by one.
    const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |pattern: String| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let all = |steps: Vec<Json>| json!({"type": "Sequence", "pretokenizers": steps});
    let (steps, takes_whole_words) = match name {
        "gpt-2" | "gpt2" | "default" => (bytes(true), false),
        "smollm" => (all(vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)]), false),
        "llama-bpe" | "llama3" => (all(vec![split(LLAMA_3.into()), bytes(false)]), true),
        "qwen2" => (all(vec![split(LLAMA_3.replace("{1,3}", "")), bytes(false)]), false),
        other => return Err(format!("its tokenizer splits texts as `{other}` does, which is not known")),
    };
    Ok(Splitter { steps, takes_whole_words })
}

/// A layout that puts a token before each text.
fn begun_by(id: usize, bos: &str) -> Json {
    let special = |kind: u8| json!({"SpecialToken": {"id": bos, "type_id": kind}});
    let text = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    json!({
        "type": "TemplateProcessing",
        "single": [special(0), text("A", 0)],
        "pair": [special(0), text("A", 0), special(1), text("B", 1)],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    })
}
