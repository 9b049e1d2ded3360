//! Checks of a layout that the tokenizers crate does not make: its templates panic on names they do not define
//! (processors/template.rs, 0.23), and nothing compares their ids with the vocabulary.

use serde_json::Value;
use tokenizers::Tokenizer;

/// Segments that a model can distinguish.
const SEGMENTS: u64 = 2;

/// Refuses a layout with undefined tokens, more segments than two, a second text where there is only one, or ids that the
/// vocabulary does not have; the last not where the layout is about to be replaced.
pub(super) fn check(tokenizer: &Tokenizer, is_replaced: bool) -> Result<(), String> {
    let Some(processor) = tokenizer.get_post_processor() else { return Ok(()) };
    let json = serde_json::to_value(processor).map_err(|error| error.to_string())?;
    check_json(&json, &|id| is_replaced || tokenizer.id_to_token(id).is_some())
}

fn check_json(processor: &Value, is_known: &dyn Fn(u32) -> bool) -> Result<(), String> {
    for part in items(&processor["processors"]) {
        check_json(part, is_known)?;
    }
    for mark in [&processor["sep"], &processor["cls"]] {
        if !mark.is_null() {
            check_id(&mark[1], is_known)?;
        }
    }
    for token in processor["special_tokens"].as_object().into_iter().flat_map(|tokens| tokens.values()) {
        let ids = items(&token["ids"]);
        if ids.is_empty() || ids.len() != items(&token["tokens"]).len() {
            return Err(format!("its layout does not give each token of {} an id", token["id"]));
        }
        ids.iter().try_for_each(|id| check_id(id, is_known))?;
    }
    check_pieces(processor)
}

fn check_pieces(processor: &Value) -> Result<(), String> {
    let (single, pair) = (items(&processor["single"]), items(&processor["pair"]));
    if single.iter().any(|piece| piece["Sequence"]["id"] == "B") {
        return Err("its layout of one text names a second".into());
    }
    for piece in single.iter().chain(pair) {
        if let Some(token) = piece["SpecialToken"]["id"].as_str()
            && processor["special_tokens"].get(token).is_none()
        {
            return Err(format!("its layout names `{token}`, which it does not define"));
        }
        let segment = |kind: &str| piece[kind]["type_id"].as_u64();
        if let Some(segment) = segment("SpecialToken").or(segment("Sequence")).filter(|&id| id >= SEGMENTS) {
            return Err(format!("its layout names segment {segment}; there are {SEGMENTS}, from 0"));
        }
    }
    Ok(())
}

fn check_id(id: &Value, is_known: &dyn Fn(u32) -> bool) -> Result<(), String> {
    match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(id) if is_known(id) => Ok(()),
        _ => Err(format!("its layout adds the id {id}, which is not in its vocabulary")),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
