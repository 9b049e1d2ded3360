//! One file a family: what it is, its configuration, the wiring of bricks, the weight map.

pub mod bart;
pub mod bert;
pub mod bloom;
pub mod decoder;
pub mod distilbert;
pub mod encoder_decoder;
pub mod falcon;
pub mod gpt2;
pub mod gpt_neo;
pub mod llama;
pub mod openai_gpt;
pub mod roberta;
pub mod t5;

use std::fmt::Display;

use crate::ModelError;

/// Refuses a switch of config.json that would silently be computed otherwise.
fn refuse(field: &'static str, value: impl Display) -> Result<(), ModelError> {
    Err(ModelError::Unsupported { field, value: value.to_string() })
}

/// Refuses a number of heads that does not divide the hidden state.
fn check_heads(heads_field: &str, heads: usize, hidden_field: &str, hidden: usize) -> Result<(), ModelError> {
    if heads > 0 && hidden.is_multiple_of(heads) {
        return Ok(());
    }
    let reason = format!("{heads_field} = {heads} does not divide {hidden_field} = {hidden}");
    Err(ModelError::Config { reason })
}
