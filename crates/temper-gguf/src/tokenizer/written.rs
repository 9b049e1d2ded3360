//! What a file says of a tokenizer of byte pairs: the other way round.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::byte_level::is_decoder;
use super::layout::around;
use super::splitter::name_of;
use super::vocabulary::{CONTROL, NAMED, NORMAL, UNUSED, USER_DEFINED, filler};
use super::{BYTE_LEVEL, CHAT_TEMPLATE};
use crate::metadata::{Metadata, Value, of_size};

/// A tokenizer as files of a checkpoint.
#[derive(Clone, Copy)]
pub(crate) struct SourceTokenizer<'a> {
    /// tokenizer.json.
    pub definition: &'a Json,
    /// tokenizer_config.json.
    pub config: &'a Map<String, Json>,
    /// config.json, which may name tokens that the other does not.
    pub model: &'a Map<String, Json>,
}

/// Everything after `tokenizer.`, for an embedding of `rows` rows.
///
/// # Errors
/// What a file cannot say.
pub(crate) fn metadata_of(source: SourceTokenizer<'_>, rows: usize) -> Result<Metadata, String> {
    let SourceTokenizer { definition, config, .. } = source;
    let model = &definition["model"];
    check_kind(definition)?;
    let tokens = tokens(definition)?;
    let pre = name_of(&definition["pre_tokenizer"], model["ignore_merges"] == true)?;
    let mut metadata = Metadata::new();
    let mut put = |key: &str, value: Value| metadata.insert(format!("tokenizer.ggml.{key}"), value);
    put("model", Value::Text(BYTE_LEVEL.into()));
    put("pre", Value::Text(pre.into()));
    let (texts, kinds) = by_id(&tokens, rows)?;
    put("tokens", texts);
    put("token_type", kinds);
    put("merges", merges(&model["merges"])?);
    put("add_space_prefix", Value::Bool(false));
    let around = around(&definition["post_processor"])?;
    for (key, name, ids) in
        [("add_bos_token", "bos_token", &around.before), ("add_eos_token", "eos_token", &around.behind)]
    {
        let named = named(source, name, &tokens).map(|id| id as u64);
        if !ids.is_empty() && (ids.len() > 1 || named != ids.first().copied()) {
            return Err(format!("its tokenizer puts {ids:?} around a text, which is not its {name}"));
        }
        put(key, Value::Bool(!ids.is_empty()));
    }
    for (name, key) in NAMED {
        if let Some(id) = named(source, name, &tokens) {
            put(key, of_size(id));
        }
    }
    if let Some(template) = chat_template(config)? {
        metadata.insert(CHAT_TEMPLATE.into(), Value::Text(template));
    }
    Ok(metadata)
}

/// Refuses tokenizers that are not byte pairs of bytes and nothing else.
fn check_kind(definition: &Json) -> Result<(), String> {
    let model = &definition["model"];
    let is_off = |key: &str| [json!(null), json!(false), json!("")].contains(&model[key]);
    let keys = ["byte_fallback", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"];
    if model["type"] != "BPE" {
        return Err(format!("its tokenizer is {}, and BPE of bytes is written", model["type"]));
    }
    if let Some(key) = keys.into_iter().find(|key| !is_off(key)) {
        return Err(format!("{key} of its tokenizer is {}, which such a file cannot say", model[key]));
    }
    if !is_decoder(&definition["decoder"]) {
        let decoder = &definition["decoder"]["type"];
        return Err(format!("its tokenizer has the decoder {decoder}, and that of bytes is written"));
    }
    match &definition["normalizer"] {
        Json::Null => Ok(()),
        other => Err(format!(
            "its tokenizer changes texts first ({}), which such a file cannot say",
            other["type"]
        )),
    }
}

/// Tokens by id, with their kinds.
type Tokens = BTreeMap<usize, (String, i64)>;

fn tokens(definition: &Json) -> Result<Tokens, String> {
    let id = |id: &Json| id.as_u64().and_then(|id| usize::try_from(id).ok());
    let mut tokens = Tokens::new();
    for (token, number) in definition["model"]["vocab"].as_object().into_iter().flatten() {
        let number = id(number).ok_or_else(|| format!("the token {token} has no id"))?;
        tokens.insert(number, (token.clone(), NORMAL));
    }
    for added in definition["added_tokens"].as_array().into_iter().flatten() {
        let text = added["content"].as_str().unwrap_or_default();
        let number = id(&added["id"]).ok_or_else(|| format!("the token {text} has no id"))?;
        let takes = ["lstrip", "rstrip", "single_word"].into_iter().find(|key| added[key] == true);
        if let Some(key) = takes {
            return Err(format!("{key} of its token {text} is true, which such a file cannot say"));
        }
        let is_special = added["special"] == true || looks_special(text);
        tokens.insert(number, (text.to_owned(), if is_special { CONTROL } else { USER_DEFINED }));
    }
    Ok(tokens)
}

/// As llama.cpp's converter (`does_token_look_special`).
fn looks_special(text: &str) -> bool {
    let between = |start: &str, end: &str| text.starts_with(start) && text.ends_with(end);
    between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">")
        || ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&text)
}

/// The lists of texts and kinds, with a row for each of the embedding.
fn by_id(tokens: &Tokens, rows: usize) -> Result<(Value, Value), String> {
    if let Some((highest, _)) = tokens.last_key_value().filter(|(id, _)| **id >= rows) {
        return Err(format!("its tokenizer has ids up to {highest}, and the embedding has {rows} rows"));
    }
    let (mut texts, mut kinds) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for id in 0..rows {
        let (text, kind) = tokens.get(&id).cloned().unwrap_or_else(|| (filler(id), UNUSED));
        if !seen.insert(text.clone()) {
            return Err(format!("its tokenizer has the token {text} twice"));
        }
        texts.push(Value::Text(text));
        kinds.push(Value::Signed(kind));
    }
    Ok((Value::List(texts), Value::List(kinds)))
}

/// The pairs that are joined; tokenizer.json has them as lists of two, or as one text in old versions.
fn merges(merges: &Json) -> Result<Value, String> {
    let text = |merge: &Json| match merge {
        Json::String(text) => Some(text.clone()),
        pair => Some(format!("{} {}", pair[0].as_str()?, pair[1].as_str()?)),
    };
    let is_pair = |text: &String| text.split(' ').count() == 2;
    let texts = merges.as_array().into_iter().flatten().map(|merge| {
        let text = text(merge).filter(is_pair).map(Value::Text);
        text.ok_or_else(|| format!("{merge} is not a merge that such a file can express"))
    });
    texts.collect::<Result<Vec<Value>, String>>().map(Value::List)
}

/// The id of a special token: as tokenizer_config.json names it, else config.json.
fn named(source: SourceTokenizer<'_>, name: &str, tokens: &Tokens) -> Option<usize> {
    let value = source.config.get(name);
    let text = value.and_then(|value| value.as_str().or_else(|| value["content"].as_str()));
    let by_text =
        text.and_then(|text| tokens.iter().find(|(_, (token, _))| token == text).map(|(id, _)| *id));
    by_text.or_else(|| {
        let id = source.model.get(&format!("{name}_id"))?;
        let id = id.as_u64().or_else(|| id[0].as_u64()).and_then(|id| usize::try_from(id).ok());
        id.filter(|id| tokens.contains_key(id))
    })
}

/// The template of chats; of several named ones, the default.
fn chat_template(config: &Map<String, Json>) -> Result<Option<String>, String> {
    match config.get("chat_template") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(template)) => Ok(Some(template.clone())),
        Some(list) => {
            let default = list.as_array().into_iter().flatten().find(|entry| entry["name"] == "default");
            let template = default.and_then(|entry| entry["template"].as_str());
            let template =
                template.ok_or("chat_template of its tokenizer is not text, and has none named `default`")?;
            Ok(Some(template.to_owned()))
        }
    }
}
