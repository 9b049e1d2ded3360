//! The tokens that the files next to a tokenizer name and add.
//!
//! After transformers 5.23, `_from_pretrained` in tokenization_utils_base.py and `TokenizersBackend.__init__` in
//! tokenization_utils_tokenizers.py: which file counts, and which tokens are new.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::settings::TokenizerSettings;
use crate::DataError;

/// The tokens with a part of their own, in transformers' order.
const PARTS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// A token as a file names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FileToken {
    /// Only by its text.
    Text(String),
    /// With how it is matched.
    Full(AddedToken),
}

impl FileToken {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Full(token) => &token.content,
        }
    }
}

/// All tokens of a folder's files.
#[derive(Debug, Clone, Default)]
pub(super) struct FileTokens {
    /// Tokens with a part; none where a file says that there is none.
    parts: Vec<(String, Option<FileToken>)>,
    /// Tokens of other parts than the seven.
    others: Vec<(String, FileToken)>,
    /// Special tokens without a part, where a file has the list.
    extra: Option<Vec<FileToken>>,
    /// Added tokens with the ids that their file gives them.
    added: BTreeMap<u32, AddedToken>,
}

impl FileTokens {
    /// Reads the settings; `listed` are the added tokens of tokenizer.json.
    ///
    /// With `added_tokens_decoder` in tokenizer_config.json only that list counts, else special_tokens_map.json,
    /// added_tokens.json and tokenizer.json do.
    pub fn read(settings: &TokenizerSettings, listed: &[Value]) -> Result<Self, DataError> {
        let mut values = settings.config.clone();
        move_extra(&mut values);
        let mut named = take_others(&mut values, Value::is_string);
        named.extend(take_named_extra(&mut values));
        let mut added = BTreeMap::new();
        if let Some(list) = settings.config.get("added_tokens_decoder") {
            read_decoder(settings, list, &mut added)?;
        } else {
            merge_special(settings, &mut values)?;
            named.extend(take_named_extra(&mut values));
            read_added(settings, &values, &mut added)?;
            for token in listed {
                let id = token.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
                if let (Some(id), Some(token)) = (id, full(token)) {
                    added.insert(id, token);
                }
            }
        }
        // transformers takes these before those that it read as texts.
        let mut others = take_others(&mut values, |value| value.is_string() || is_marked(value));
        others.extend(named);
        let parts = PARTS.iter().filter(|part| values.contains_key(**part));
        let parts =
            parts.map(|part| Ok((part.to_string(), read_part(settings, part, &values[*part], &added)?)));
        let others = others.iter().map(|(key, value)| Ok((key.clone(), read_token(settings, key, value)?)));
        Ok(Self {
            parts: parts.collect::<Result<_, DataError>>()?,
            others: others.collect::<Result<_, DataError>>()?,
            extra: read_extra(settings, &values)?,
            added,
        })
    }

    /// Names a token where no file says anything of its part.
    pub fn or_default(&mut self, part: &str, token: FileToken) {
        if !self.parts.iter().any(|(name, _)| name == part) {
            self.parts.push((part.into(), Some(token)));
            let place = |(name, _): &(String, _)| PARTS.iter().position(|part| part == name);
            self.parts.sort_by_key(place);
        }
    }

    /// Names tokens without a part where no file has such a list.
    pub fn or_extra(&mut self, tokens: Vec<FileToken>) {
        self.extra.get_or_insert(tokens);
    }

    /// The list of special tokens without a part.
    pub fn extra(&self) -> &[FileToken] {
        self.extra.as_deref().unwrap_or_default()
    }

    /// The token of a part.
    pub fn part(&self, part: &str) -> Option<&FileToken> {
        self.parts.iter().find(|(name, _)| name == part)?.1.as_ref()
    }

    /// Replaces a token that is named only by its text.
    pub fn complete(&mut self, part: &str, complete: impl Fn(&str) -> AddedToken) {
        for (name, token) in &mut self.parts {
            if name == part
                && let Some(FileToken::Text(text)) = token
            {
                *token = Some(FileToken::Full(complete(text)));
            }
        }
    }

    /// All tokens with a part.
    pub fn named(&self) -> impl Iterator<Item = (&str, &FileToken)> {
        let parts = self.parts.iter().filter_map(|(name, token)| Some((name.as_str(), token.as_ref()?)));
        parts.chain(self.others.iter().map(|(name, token)| (name.as_str(), token)))
    }

    /// Adds to a tokenizer the tokens that it does not have, or has otherwise.
    ///
    /// # Errors
    /// Those of the library; a token that would get another id than its file gives it.
    pub fn add_to(&self, tokenizer: &mut Tokenizer, settings: &TokenizerSettings) -> Result<(), DataError> {
        let present: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let mut new: Vec<FileToken> = self
            .added
            .values()
            .filter(|token| !present.contains(token))
            .cloned()
            .map(FileToken::Full)
            .collect();
        let mut known: HashSet<&str> = present.iter().map(|token| token.content.as_str()).collect();
        known.extend(self.added.values().map(|token| token.content.as_str()));
        for token in self.named().map(|named| named.1).chain(self.extra()) {
            if !known.contains(token.text()) && !new.contains(token) {
                new.push(token.clone());
            }
        }
        let names: HashSet<&str> = self.named().map(|named| named.1.text()).collect();
        let new = new.into_iter().map(|token| match token {
            FileToken::Text(text) => AddedToken::from(text, true),
            FileToken::Full(token) => {
                let special = token.special || names.contains(token.content.as_str());
                token.special(special)
            }
        });
        let refused = |error: tokenizers::Error| settings.refused("added_tokens_decoder", &error.to_string());
        tokenizer.add_tokens(new.collect::<Vec<_>>()).map_err(refused)?;
        self.check_ids(tokenizer, settings)
    }

    /// Adds all special tokens again, only by their texts.
    pub fn restate_in(
        &self,
        tokenizer: &mut Tokenizer,
        settings: &TokenizerSettings,
    ) -> Result<(), DataError> {
        let all = self.named().map(|named| named.1).chain(self.extra());
        let all: Vec<AddedToken> = all.map(|token| AddedToken::from(token.text(), true)).collect();
        let refused = |error: tokenizers::Error| settings.refused(EXTRA, &error.to_string());
        tokenizer.add_tokens(all).map_err(refused).map(|_| ())
    }

    fn check_ids(&self, tokenizer: &Tokenizer, settings: &TokenizerSettings) -> Result<(), DataError> {
        for (id, token) in &self.added {
            if let Some(given) = tokenizer.token_to_id(&token.content).filter(|given| given != id) {
                let reason = format!(
                    "the vocabulary gives this token the id {given}, its file {id}; a model would read \
                     another token"
                );
                let value = json!(token.content);
                let from_config = settings.config.contains_key("added_tokens_decoder");
                let file = if from_config { "tokenizer_config.json" } else { "added_tokens.json" };
                return Err(settings.refused_in(file, &id.to_string(), Some(&value), &reason));
            }
        }
        Ok(())
    }
}

const EXTRA: &str = "extra_special_tokens";
const OLDER_EXTRA: &str = "additional_special_tokens";

/// A token, which is matched as the list of added tokens says where that has it; none of null.
fn read_part(
    settings: &TokenizerSettings,
    part: &str,
    value: &Value,
    added: &BTreeMap<u32, AddedToken>,
) -> Result<Option<FileToken>, DataError> {
    if value.is_null() {
        return Ok(None);
    }
    let named = read_token(settings, part, value)?;
    let known = added.values().rev().find(|token| token.content == named.text()).cloned();
    Ok(Some(known.map_or(named, FileToken::Full)))
}

fn read_token(settings: &TokenizerSettings, key: &str, value: &Value) -> Result<FileToken, DataError> {
    let reason = "a token is needed: a text, or an object with `__type` and `content`";
    token(value).ok_or_else(|| settings.refused_in("tokenizer_config.json", key, Some(value), reason))
}

/// The extra tokens. A list under the older name counts only where the newer name is missing altogether.
fn read_extra(
    settings: &TokenizerSettings,
    values: &Map<String, Value>,
) -> Result<Option<Vec<FileToken>>, DataError> {
    let key = if values.contains_key(EXTRA) { EXTRA } else { OLDER_EXTRA };
    match values.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            list.iter().map(|value| read_token(settings, key, value)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(settings.refused(key, "a list of tokens is needed")),
    }
}

/// The list under its older name.
fn move_extra(values: &mut Map<String, Value>) {
    let is_empty = values.get(EXTRA).is_none_or(|extra| match extra {
        Value::Array(list) => list.is_empty(),
        Value::Object(tokens) => tokens.is_empty(),
        value => value.is_null(),
    });
    if is_empty && let Some(list) = values.shift_remove(OLDER_EXTRA) {
        values.insert(EXTRA.into(), list);
    }
}

/// Takes out keys like `image_token`.
fn take_others(values: &mut Map<String, Value>, is_token: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
    let is_other =
        |key: &str, value: &Value| key.ends_with("_token") && !PARTS.contains(&key) && is_token(value);
    let found = values.iter().filter(|(key, value)| is_other(key, value));
    let found: Vec<(String, Value)> = found.map(|(key, value)| (key.clone(), value.clone())).collect();
    values.retain(|key, value| !is_other(key, value));
    found
}

/// Takes out the extra tokens where they are named ones.
fn take_named_extra(values: &mut Map<String, Value>) -> Vec<(String, Value)> {
    match values.get(EXTRA) {
        Some(Value::Object(tokens)) => {
            let tokens = tokens.clone().into_iter().collect();
            values.shift_remove(EXTRA);
            tokens
        }
        _ => Vec::new(),
    }
}

/// special_tokens_map.json comes after tokenizer_config.json.
fn merge_special(settings: &TokenizerSettings, values: &mut Map<String, Value>) -> Result<(), DataError> {
    for (key, value) in &settings.special {
        let value = match value {
            Value::Object(_) if key != EXTRA => marked(value),
            Value::Array(list) if key == EXTRA => {
                let mut all = values.get(EXTRA).and_then(Value::as_array).cloned().unwrap_or_default();
                for token in list.iter().map(marked) {
                    if !all.contains(&token) {
                        all.push(token);
                    }
                }
                Value::Array(all)
            }
            value => value.clone(),
        };
        let is_token = value.is_null() || token(&value).is_some() || value.is_array() || key == EXTRA;
        if PARTS.contains(&key.as_str()) && !is_token {
            let reason = "a token is needed: a text, or an object with `content`";
            return Err(settings.refused_in("special_tokens_map.json", key, Some(&value), reason));
        }
        values.insert(key.clone(), value);
    }
    Ok(())
}

/// `added_tokens_decoder`: ids with their tokens.
fn read_decoder(
    settings: &TokenizerSettings,
    list: &Value,
    added: &mut BTreeMap<u32, AddedToken>,
) -> Result<(), DataError> {
    let key = "added_tokens_decoder";
    let Value::Object(list) = list else {
        return Err(settings.refused(key, "an object is needed: ids with their tokens"));
    };
    for (id, value) in list {
        let (Ok(number), Some(token)) = (id.parse(), full(value)) else {
            let value = json!({ id: value });
            let reason = "a token's id and how it is matched are needed";
            return Err(settings.refused_in("tokenizer_config.json", key, Some(&value), reason));
        };
        added.insert(number, token);
    }
    Ok(())
}

/// added_tokens.json: texts with their ids.
fn read_added(
    settings: &TokenizerSettings,
    values: &Map<String, Value>,
    added: &mut BTreeMap<u32, AddedToken>,
) -> Result<(), DataError> {
    let mut special: HashSet<&str> = PARTS.iter().filter_map(|part| values.get(*part)?.as_str()).collect();
    special.extend(PARTS.iter().filter_map(|part| settings.special.get(*part)?.get("content")?.as_str()));
    let extra = values.get(EXTRA).and_then(Value::as_array);
    special.extend(extra.into_iter().flatten().filter_map(Value::as_str));
    for (text, id) in &settings.added {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            return Err(settings.refused_in("added_tokens.json", text, Some(id), "an id is needed"));
        };
        added.insert(id, AddedToken::from(text.as_str(), special.contains(text.as_str())));
    }
    Ok(())
}

/// An object as transformers marks one that is a token.
fn marked(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.insert("special".into(), true.into());
        fields.insert("__type".into(), "AddedToken".into());
    }
    value
}

fn is_marked(value: &Value) -> bool {
    value.get("__type").is_some_and(|kind| kind == "AddedToken")
}

/// A text, or an object that is marked as a token.
pub(super) fn token(value: &Value) -> Option<FileToken> {
    match value {
        Value::String(text) => Some(FileToken::Text(text.clone())),
        value if is_marked(value) => full(value).map(FileToken::Full),
        _ => None,
    }
}

/// A token with how it is matched.
fn full(value: &Value) -> Option<AddedToken> {
    let flag = |key: &str| value.get(key).map_or(Some(None), |flag| flag.as_bool().map(Some));
    let special = flag("special")?.unwrap_or(false);
    let token = AddedToken::from(value.get("content")?.as_str()?, special);
    let normalized = flag("normalized")?.unwrap_or(token.normalized);
    Some(
        token
            .single_word(flag("single_word")?.unwrap_or(false))
            .lstrip(flag("lstrip")?.unwrap_or(false))
            .rstrip(flag("rstrip")?.unwrap_or(false))
            .normalized(normalized),
    )
}
