//! A tokenizer from its source and settings, as transformers makes it.

use serde_json::Value;
use tokenizers::{Model, ModelWrapper, PostProcessorWrapper, Tokenizer};

use super::class::{self, Class, Recipe};
use super::settings::TokenizerSettings;
use super::source::TokenizerSource;
use super::tokens::{FileToken, FileTokens};
use super::{layout, recipe};
use crate::DataError;
use crate::panics::caught;

/// A tokenizer and where it comes from.
pub(super) struct ResolvedTokenizer {
    pub inner: Tokenizer,
    pub origin: TokenizerOrigin,
}

/// What decided a tokenizer.
#[derive(Debug, Clone)]
pub(super) struct TokenizerOrigin {
    /// Its class, where the files say one.
    pub class: Option<Class>,
    /// Its tokens.
    pub tokens: FileTokens,
}

/// Makes the tokenizer.
///
/// # Errors
/// [`DataError::BadTokenizer`], [`DataError::TokenizerSetting`].
pub(super) fn resolve(
    source: &TokenizerSource,
    settings: &TokenizerSettings,
) -> Result<ResolvedTokenizer, DataError> {
    let recipe = source.class.unwrap_or(class::AS_IS).recipe;
    let mut tokens = FileTokens::read(settings, source.listed())?;
    if !source.added.is_empty() {
        tokens.or_extra(source.added.clone());
    }
    recipe::complete(recipe, settings, &mut tokens)?;
    // The padding that a tokenizer.json carries names the token, unless the class or a file does.
    if let Some(pad) = source.json["padding"]["pad_token"].as_str()
        && recipe != Recipe::Gpt2
    {
        tokens.or_default("pad_token", FileToken::Text(pad.into()));
    }
    let definition = match (&source.text, recipe) {
        (Some(text), Recipe::AsIs) => text.clone(),
        _ => recipe::definition(recipe, source, settings, &tokens)?.to_string(),
    };
    let damaged = |reason: String| DataError::damaged(&source.file, reason);
    let made = caught(|| Tokenizer::from_bytes(&definition)).map_err(damaged)?;
    let mut inner = made.map_err(|error| damaged(error.to_string()))?;
    inner.with_truncation(None).map_err(|error| damaged(error.to_string()))?;
    inner.with_padding(None);
    caught(|| add_tokens(recipe, &tokens, &mut inner, settings)).map_err(damaged)??;
    check_listed(source, settings, &inner).map_err(damaged)?;
    check_distinct(&inner).map_err(damaged)?;
    let layout = recipe::layout(recipe, source, settings, &tokens, &inner)?;
    layout::check(&inner, layout.is_some()).map_err(damaged)?;
    if let Some(layout) = layout {
        let layout: PostProcessorWrapper =
            serde_json::from_value(layout).map_err(|error| damaged(error.to_string()))?;
        inner.with_post_processor(Some(layout));
        layout::check(&inner, false).map_err(damaged)?;
    }
    inner.set_encode_special_tokens(settings.flag("split_special_tokens", false)?);
    Ok(ResolvedTokenizer { inner, origin: TokenizerOrigin { class: source.class, tokens } })
}

fn add_tokens(
    recipe: Recipe,
    tokens: &FileTokens,
    tokenizer: &mut Tokenizer,
    settings: &TokenizerSettings,
) -> Result<(), DataError> {
    tokens.add_to(tokenizer, settings)?;
    if recipe == Recipe::Qwen2 { tokens.restate_in(tokenizer, settings) } else { Ok(()) }
}

/// Compares the ids that tokenizer.json lists for added tokens with those that they have. Where tokenizer_config.json
/// has the list, this one does not count.
fn check_listed(
    source: &TokenizerSource,
    settings: &TokenizerSettings,
    tokenizer: &Tokenizer,
) -> Result<(), String> {
    if settings.config.contains_key("added_tokens_decoder") {
        return Ok(());
    }
    for token in source.listed() {
        let content = token["content"].as_str().unwrap_or_default();
        if let Some(id) = tokenizer.token_to_id(content).filter(|&id| token["id"] != id) {
            return Err(format!(
                "it lists the added token `{content}` with the id {}, which is {id}",
                token["id"]
            ));
        }
    }
    Ok(())
}

/// Refuses an added token with the id of another token. The library counts added tokens from the number of tokens on,
/// which is an id of the vocabulary where that leaves ids out, as a vocab.txt with a repeated line does.
fn check_distinct(tokenizer: &Tokenizer) -> Result<(), String> {
    for (added, &id) in tokenizer.get_added_vocabulary().get_vocab() {
        if let Some(other) = tokenizer.get_model().id_to_token(id).filter(|other| other != added) {
            return Err(format!(
                "the added token `{added}` gets the id {id}, which the vocabulary gives to `{other}`: the vocabulary \
                 leaves out ids, or has a token twice"
            ));
        }
    }
    Ok(())
}

/// The tokenizer.json of a tokenizer.
pub(super) fn definition(tokenizer: &Tokenizer) -> Result<String, String> {
    caught(|| tokenizer.to_string(true))?.map_err(|error| error.to_string())
}

/// Whether the model is given segments: as `model_input_names` says, else as its class does.
pub(super) fn has_segments(settings: &TokenizerSettings, class: Option<Class>) -> Result<bool, DataError> {
    match settings.config.get("model_input_names") {
        None | Some(Value::Null) => Ok(class.is_none_or(|class| class.segments)),
        Some(Value::Array(names)) => Ok(names.iter().any(|name| name == "token_type_ids")),
        Some(_) => Err(settings.refused("model_input_names", "a list of names is needed")),
    }
}

/// Whether decoded text loses its spaces before punctuation. Of BPE it would corrupt the text, and another setting must
/// ask for it.
pub(super) fn cleans_up(settings: &TokenizerSettings, tokenizer: &Tokenizer) -> Result<bool, DataError> {
    let key = "clean_up_tokenization_spaces";
    let is_bpe = matches!(tokenizer.get_model(), ModelWrapper::BPE(_));
    let forced = settings.flag(&format!("{key}_for_bpe_even_though_it_will_corrupt_output"), false)?;
    Ok(settings.perhaps(key)?.unwrap_or(false) && (!is_bpe || forced))
}
