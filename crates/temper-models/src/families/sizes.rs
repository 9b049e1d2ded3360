//! Sizes and rates of config.json, checked before anything is made of them.
//!
//! The bounds are far above every model there is, and low enough that no product of two sizes overflows and that
//! what is made before the weights are read stays small.

use crate::ModelError;

/// Rows of a table: tokens, positions.
pub(super) const MOST_ROWS: usize = 1 << 28;
/// Width of a hidden state or of a layer's inside.
pub(super) const MOST_WIDTH: usize = 1 << 22;
/// Heads of an attention.
pub(super) const MOST_HEADS: usize = 1 << 16;
/// Layers of a stack.
pub(super) const MOST_LAYERS: usize = 1 << 12;

/// Refuses sizes, each with its field, that are zero or above a bound.
pub(super) fn check_sizes(most: usize, sizes: &[(&str, usize)]) -> Result<(), ModelError> {
    match sizes.iter().find(|(_, size)| !(1..=most).contains(size)) {
        Some((field, size)) => {
            let reason = format!("{field} = {size} is not between 1 and {most}");
            Err(ModelError::Config { reason })
        }
        None => Ok(()),
    }
}

/// Refuses a number of heads that does not divide the hidden state.
pub(super) fn check_heads(
    heads_field: &str,
    heads: usize,
    hidden_field: &str,
    hidden: usize,
) -> Result<(), ModelError> {
    check_sizes(MOST_HEADS, &[(heads_field, heads)])?;
    if hidden.is_multiple_of(heads) {
        return Ok(());
    }
    let reason = format!("{heads_field} = {heads} does not divide {hidden_field} = {hidden}");
    Err(ModelError::Config { reason })
}

/// Refuses rates of dropout that leave nothing, or that are none.
pub(super) fn check_dropout(rates: &[(&str, f64)]) -> Result<(), ModelError> {
    match rates.iter().find(|(_, rate)| !(0.0..1.0).contains(rate)) {
        Some((field, rate)) => {
            let reason = format!("{field} = {rate} is not a dropout rate: it must be at least 0 and below 1");
            Err(ModelError::Config { reason })
        }
        None => Ok(()),
    }
}
