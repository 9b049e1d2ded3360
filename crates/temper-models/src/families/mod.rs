//! One file per family: what it is, its configuration, its layers, the weight map.

pub mod albert;
pub mod bart;
pub mod bert;
pub mod bloom;
pub mod deberta;
pub mod decoder;
pub mod distilbert;
pub mod electra;
pub mod encoder;
pub mod encoder_decoder;
pub mod falcon;
pub mod gemma;
pub mod gpt2;
pub mod gpt_neo;
mod heads;
mod layer_types;
pub mod llama;
mod llama_variant;
mod mistral;
pub mod modernbert;
pub mod mpnet;
pub mod openai_gpt;
mod phi3;
mod qwen2;
mod qwen3;
pub mod roberta;
mod sizes;
pub mod t5;

use std::fmt::Display;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::ModelError;
use sizes::{MOST_HEADS, MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes};

/// Refuses a switch of config.json that would silently be computed otherwise.
fn refuse(field: &'static str, value: impl Display) -> Result<(), ModelError> {
    Err(ModelError::Unsupported { field, value: value.to_string() })
}

/// A token's id; `null`, a list and a number below zero, with which old files say that there is none, give none.
fn token_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null | Value::Array(_) => Ok(None),
        Value::Number(id) if id.is_i64() || id.is_u64() => {
            Ok(id.as_u64().and_then(|id| u32::try_from(id).ok()))
        }
        other => Err(serde::de::Error::custom(format!("{other} is not a token id"))),
    }
}

/// Adds the fields that config.json leaves out, each with its value; `null` counts as there.
fn add_defaults(raw: &mut Map<String, Value>, defaults: Value) {
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            raw.entry(key).or_insert(value);
        }
    }
}
