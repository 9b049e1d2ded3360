//! How text is generated, with the names, defaults and meaning of transformers' `GenerationConfig`.

use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::files::read_object;
use crate::{ModelConfig, ModelError};

/// New tokens where nothing says how many: transformers' default.
const DEFAULT_NEW_TOKENS: usize = 20;

/// The file next to a model that holds its own defaults.
const FILE: &str = "generation_config.json";

/// Settings that this crate does not have, with the number that means nothing.
const OTHER_NUMBERS: &[(&str, f64)] = &[
    ("typical_p", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
    ("min_p", 0.0),
    ("encoder_repetition_penalty", 1.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("num_beam_groups", 1.0),
    ("diversity_penalty", 0.0),
    ("num_return_sequences", 1.0),
    ("guidance_scale", 1.0),
    ("penalty_alpha", 0.0),
];

/// Settings that this crate does not have, which mean nothing when they are absent, empty or false.
const OTHER_SETTINGS: &[&str] = &[
    "top_h",
    "bad_words_ids",
    "force_words_ids",
    "constraints",
    "sequence_bias",
    "suppress_tokens",
    "begin_suppress_tokens",
    "exponential_decay_length_penalty",
    "stop_strings",
    "max_time",
    "renormalize_logits",
    "watermarking_config",
    "dola_layers",
];

/// How text is generated. Names and meaning are transformers'.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerateSettings {
    /// Most new tokens of a prompt, a stop token included; overrides `max_length`.
    pub max_new_tokens: Option<usize>,
    /// Most tokens, those of the prompt included; of an encoder-decoder model, the decoder's with the one
    /// that starts it. Without both, 20 new tokens, or fewer where positions end.
    pub max_length: Option<usize>,
    /// No stop token comes before this many new tokens; overrides `min_length`.
    pub min_new_tokens: Option<usize>,
    /// No stop token comes before this many tokens, counted as in `max_length`.
    pub min_length: usize,
    /// Whether tokens are drawn; else the best one is taken.
    pub do_sample: bool,
    /// Texts that are continued in parallel in search of the most probable one.
    pub num_beams: usize,
    /// When a search with beams ends.
    pub early_stopping: EarlyStopping,
    /// The score of a text of a beam is the sum of its log probabilities by length to this power.
    pub length_penalty: f64,
    /// Divides the scores before a token is drawn.
    pub temperature: f64,
    /// Only so many of the best tokens are drawn; 0 for all.
    pub top_k: usize,
    /// Only the best tokens that together have this probability are drawn.
    pub top_p: f64,
    /// Above 1, tokens that were there before are less probable; of a decoder-only model, those of the
    /// prompt too.
    pub repetition_penalty: f64,
    /// No run of so many tokens comes twice; 0 for no limit.
    pub no_repeat_ngram_size: usize,
    /// Opens a text.
    pub bos_token_id: Option<u32>,
    /// Each of these ends a text.
    #[serde(deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
    /// The first token of a decoder that has an encoder; `bos_token_id` when absent.
    pub decoder_start_token_id: Option<u32>,
    /// The token that follows the first one.
    pub forced_bos_token_id: Option<u32>,
    /// The last token, where the most tokens are reached.
    #[serde(deserialize_with = "one_or_many")]
    pub forced_eos_token_id: Vec<u32>,
    /// Whether keys and values of tokens that were read are kept; without it all is read again.
    pub use_cache: bool,
    /// Of what is drawn.
    #[serde(skip)]
    pub seed: u64,
    /// Prompts that are continued at once.
    #[serde(skip)]
    pub batch_size: usize,
}

/// When a search with beams ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// As soon as there are as many finished texts as beams.
    Always,
    /// When the best unfinished text, at its length, is no better than the worst finished one.
    #[default]
    WhenUnlikely,
    /// When no unfinished text can become better than the worst finished one.
    Never,
}

impl<'de> Deserialize<'de> for EarlyStopping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::Always),
            Value::Bool(false) => Ok(Self::WhenUnlikely),
            Value::String(word) if word == "never" => Ok(Self::Never),
            other => {
                let reason = format!("early_stopping is true, false or \"never\", not {other}");
                Err(serde::de::Error::custom(reason))
            }
        }
    }
}

/// An id or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Ids::deserialize(deserializer)? {
        Ids::One(id) => vec![id],
        Ids::Many(ids) => ids,
    })
}

impl Default for GenerateSettings {
    fn default() -> Self {
        Self {
            max_new_tokens: None,
            max_length: None,
            min_new_tokens: None,
            min_length: 0,
            do_sample: false,
            num_beams: 1,
            early_stopping: EarlyStopping::default(),
            length_penalty: 1.0,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            decoder_start_token_id: None,
            forced_bos_token_id: None,
            forced_eos_token_id: Vec::new(),
            use_cache: true,
            seed: 0,
            batch_size: 16,
        }
    }
}

/// How many new tokens a prompt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No stop token comes before so many.
    pub min_new: usize,
    /// The last one is at this place, counted from 1.
    pub max_new: usize,
}

impl GenerateSettings {
    /// A model's own defaults: of `generation_config.json` next to it, and only without that file of
    /// `config.json`, as transformers takes them. What neither names is this crate's default.
    ///
    /// # Errors
    /// [`ModelError::BrokenFile`] for a file that is not JSON or has values of another kind,
    /// [`ModelError::UnsupportedSetting`].
    pub fn of_model<B>(dir: &Path, config: &ModelConfig<B>) -> Result<Self, ModelError> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Self::parse(config.raw(), &dir.join("config.json"));
        }
        Self::parse(&read_object(&path)?, &path)
    }

    fn parse(raw: &Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        for (setting, nothing) in OTHER_NUMBERS {
            if let Some(value) = raw.get(*setting).filter(|value| !value.is_null())
                && value.as_f64() != Some(*nothing)
            {
                return Err(ModelError::UnsupportedSetting { setting, value: value.to_string() });
            }
        }
        for setting in OTHER_SETTINGS {
            if let Some(value) = raw.get(*setting).filter(|value| !means_nothing(value)) {
                return Err(ModelError::UnsupportedSetting { setting, value: value.to_string() });
            }
        }
        let given = raw.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(key, value)| (key.clone(), value.clone())).collect();
        let given: Map<String, Value> = given;
        // One at a time, so that the message names it.
        for (setting, value) in &given {
            let alone = Map::from_iter([(setting.clone(), value.clone())]);
            Self::deserialize(Value::Object(alone)).map_err(|error| ModelError::BadSetting {
                path: path.to_path_buf(),
                setting: setting.clone(),
                value: value.to_string(),
                reason: reason(setting, &error),
            })?;
        }
        Self::deserialize(Value::Object(given))
            .map_err(|error| ModelError::BrokenFile { path: path.to_path_buf(), reason: error.to_string() })
    }

    /// Refuses values that cannot be, and those that contradict each other.
    ///
    /// # Errors
    /// [`ModelError::Setting`].
    pub fn validate(&self) -> Result<(), ModelError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if self.num_beams == 0 {
            return wrong("num_beams", 0, "a search needs one beam at least");
        }
        if self.batch_size == 0 {
            return wrong("batch_size", 0, "one prompt at least is continued at a time");
        }
        if self.max_new_tokens == Some(0) {
            return wrong("max_new_tokens", 0, "one new token at least must be asked for");
        }
        if let (Some(least), Some(most)) = (self.min_new_tokens, self.max_new_tokens)
            && least > most
        {
            return wrong("min_new_tokens", least, &format!("more than max_new_tokens = {most}"));
        }
        if self.do_sample && !positive(self.temperature) {
            let reason = "drawing needs a temperature above 0; for the best token each time, do not sample";
            return wrong("temperature", self.temperature, reason);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", self.top_p, "a probability above 0 and not above 1");
        }
        if !positive(self.repetition_penalty) {
            return wrong(
                "repetition_penalty",
                self.repetition_penalty,
                "must be above 0; 1 changes nothing",
            );
        }
        if !self.length_penalty.is_finite() {
            return wrong("length_penalty", self.length_penalty, "must be a number");
        }
        Ok(())
    }

    /// How many new tokens follow so many of a decoder's; positions end at `max_positions`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] when `max_length` leaves no room.
    pub fn limits(&self, tokens: usize, max_positions: usize) -> Result<Limits, ModelError> {
        let max_new = match (self.max_new_tokens, self.max_length) {
            (Some(new), _) => new,
            (None, Some(length)) if length <= tokens => {
                let reason = format!("there are {tokens} tokens already; give max_new_tokens instead");
                return wrong("max_length", length, &reason);
            }
            (None, Some(length)) => length - tokens,
            (None, None) => DEFAULT_NEW_TOKENS.min(max_positions.saturating_sub(tokens)).max(1),
        };
        let min_new = self.min_new_tokens.unwrap_or_else(|| self.min_length.saturating_sub(tokens));
        Ok(Limits { min_new, max_new })
    }
}

/// What is wrong with the value of a setting.
fn reason(setting: &str, error: &serde_json::Error) -> String {
    if setting.ends_with("_token_id") {
        return "a token's id is a number from 0 on".into();
    }
    error.to_string()
}

fn means_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

pub(super) fn wrong<T>(setting: &'static str, value: impl ToString, reason: &str) -> Result<T, ModelError> {
    Err(ModelError::Setting { setting, value: value.to_string(), reason: reason.into() })
}
