//! What the files next to a tokenizer say of it: tokenizer_config.json, special_tokens_map.json, added_tokens.json, and
//! the model's config.json.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::read_object;
use crate::DataError;

const CONFIG: &str = "tokenizer_config.json";
/// The template of chats as transformers 5 saves it: a file of its own, which comes before the one in [`CONFIG`].
const CHAT_TEMPLATE: &str = "chat_template.jinja";

fn with_chat_template(mut config: Map<String, Value>, file: &Path) -> Result<Map<String, Value>, DataError> {
    if file.is_file() {
        let text = std::fs::read_to_string(file).map_err(|error| DataError::io(file, error))?;
        config.insert("chat_template".into(), text.into());
    }
    Ok(config)
}

/// The settings of one folder.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenizerSettings {
    dir: PathBuf,
    /// tokenizer_config.json.
    pub config: Map<String, Value>,
    /// special_tokens_map.json.
    pub special: Map<String, Value>,
    /// added_tokens.json: tokens with their ids.
    pub added: Map<String, Value>,
    /// What config.json says of the tokenizer.
    pub model: Map<String, Value>,
}

impl TokenizerSettings {
    /// Reads what a folder has.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let object = |name: &str| {
            let file = dir.join(name);
            if file.is_file() { read_object(&file) } else { Ok(Map::new()) }
        };
        let mut model = object("config.json")?;
        model.retain(|key, _| ["model_type", "tokenizer_class"].contains(&key.as_str()));
        let settings = Self {
            dir: dir.to_path_buf(),
            config: with_chat_template(object(CONFIG)?, &dir.join(CHAT_TEMPLATE))?,
            special: object("special_tokens_map.json")?,
            added: object("added_tokens.json")?,
            model,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The same model's, with another tokenizer_config.json and nothing next to it.
    pub fn with_config(&self, config: Map<String, Value>) -> Self {
        Self { dir: self.dir.clone(), config, model: self.model.clone(), ..Self::default() }
    }

    /// Refuses what would change ids and is not honoured.
    fn check(&self) -> Result<(), DataError> {
        let is_empty = |value: &Value| match value {
            Value::Array(items) => items.is_empty(),
            value => matches!(value, Value::Null | Value::Bool(false)),
        };
        for (key, reason) in [
            (
                "fast_tokenizer_files",
                "tokenizer.json of another version is not read; keep only tokenizer.json",
            ),
            (
                "fix_mistral_regex",
                "this repair of Mistral's tokenizers is not known; save the repaired tokenizer",
            ),
            ("init_inputs", "arguments without names are not read"),
        ] {
            if self.config.get(key).is_some_and(|value| !is_empty(value)) {
                return Err(self.refused(key, reason));
            }
        }
        Ok(())
    }

    /// The model's type.
    pub fn model_type(&self) -> Option<&str> {
        self.model.get("model_type")?.as_str().filter(|name| !name.is_empty())
    }

    /// The tokenizer class that the files name, without `Fast`.
    pub fn class_name(&self) -> Result<Option<&str>, DataError> {
        let named = |map| Map::get(map, "tokenizer_class").filter(|name| !name.is_null());
        match named(&self.config).or(named(&self.model)) {
            None => Ok(None),
            Some(Value::String(name)) => Ok(Some(name.strip_suffix("Fast").unwrap_or(name))),
            Some(_) => Err(self.refused("tokenizer_class", "a name is needed")),
        }
    }

    /// How many sentinels T5 has.
    pub fn extra_ids(&self) -> Result<u64, DataError> {
        let Some(count) = self.config.get("extra_ids") else { return Ok(100) };
        let count = count.as_u64().filter(|&count| count <= 10_000);
        count.ok_or_else(|| self.refused("extra_ids", "a number up to 10000 is needed"))
    }

    /// The text of a token that tokenizer_config.json or special_tokens_map.json names.
    pub fn token_text(&self, part: &str) -> Option<&str> {
        let value = self.special.get(part).or_else(|| self.config.get(part))?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    }

    /// Whether the folder names code of its own for its tokenizer.
    pub fn has_own_code(&self) -> bool {
        match self.config.get("auto_map") {
            Some(Value::Object(map)) => map.get("AutoTokenizer").is_some_and(|value| !value.is_null()),
            Some(value) => value.is_array(),
            None => false,
        }
    }

    /// A setting that is true or false.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, DataError> {
        match self.config.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.refused(key, "true or false is needed")),
        }
    }

    /// A setting that is true, false or null.
    pub fn perhaps(&self, key: &str) -> Result<Option<bool>, DataError> {
        match self.config.get(key) {
            Some(Value::Null) => Ok(None),
            Some(_) => self.flag(key, false).map(Some),
            None => Ok(None),
        }
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The refusal of a setting in tokenizer_config.json.
    pub fn refused(&self, key: &str, reason: &str) -> DataError {
        self.refused_in(CONFIG, key, self.config.get(key).or(self.model.get(key)), reason)
    }

    /// The refusal of a setting in a file.
    pub fn refused_in(&self, file: &str, key: &str, value: Option<&Value>, reason: &str) -> DataError {
        let value = value.map_or_else(|| "missing".into(), Value::to_string);
        DataError::TokenizerSetting {
            file: self.file(file),
            key: key.into(),
            value: crate::messages::shortened(value),
            reason: reason.into(),
        }
    }
}
