//! The padding token that a classifier and its tokenizer agree on, settled before anything trains: transformers'
//! decoders classify at the last token that is not padding, and cannot be given a batch without one.

use temper_data::TextTokenizer;
use temper_models::{Model, ModelConfig, Rows};

use crate::TrainError;

/// The configuration with the padding token that batches of this tokenizer have; for families whose classifiers
/// do not look for it, as it is.
///
/// # Errors
/// [`TrainError::Model`] when the family refuses the token.
pub(crate) fn settled(config: ModelConfig, tokenizer: &TextTokenizer) -> Result<ModelConfig, TrainError> {
    if !config.reads_by_padding() {
        return Ok(config);
    }
    match padding(&config, tokenizer) {
        Some(id) => Ok(config.with_padding(id)?),
        None => Ok(config),
    }
}

/// The tokenizer as it is saved next to a model: it pads as the model expects.
pub(crate) fn named(tokenizer: TextTokenizer, config: &ModelConfig) -> TextTokenizer {
    match config.padding() {
        Some(id) if config.reads_by_padding() => tokenizer.with_padding(id),
        _ => tokenizer,
    }
}

/// The tokenizer's own padding; else the model's, where the tokenizer has that token; else a token that is there for
/// another purpose, so that no id changes: one that not every text has, if there is one.
fn padding(config: &ModelConfig, tokenizer: &TextTokenizer) -> Option<u32> {
    let special = tokenizer.special();
    let known = |id: &u32| tokenizer.token(*id).is_some() && (*id as usize) < config.bounds().vocab_size;
    let own = special.pad.or(config.padding()).filter(known);
    if own.is_some() {
        return own;
    }
    let others = [special.eos, special.unk, special.bos, special.sep, special.cls];
    let others: Vec<u32> = others.into_iter().flatten().filter(known).collect();
    let in_every_text = tokenizer.layout_ids();
    let rare = others.iter().find(|id| !in_every_text.contains(id));
    rare.or(others.first()).copied()
}

/// Refuses a tokenizer that does not end texts with the token that the model's classifier reads.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check_end(model: &Model, tokenizer: &TextTokenizer) -> Result<(), TrainError> {
    let Some(Rows::LastOf(end)) = model.head.as_ref().map(temper_models::Head::rows) else { return Ok(()) };
    if tokenizer.layout_ids().contains(&end) {
        return Ok(());
    }
    let token = tokenizer.token(end).unwrap_or_default();
    Err(TrainError::Usage(format!(
        "the model's classifier reads the token {end} ({token:?}, eos_token_id of config.json), but its tokenizer does not put it at the end of a text; give the tokenizer.json of the model, whose template adds it"
    )))
}
