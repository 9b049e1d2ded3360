//! A check that the tokenizers crate does not make: its templates panic on names they do not
//! define (processors/template.rs, 0.23).

use serde_json::Value;
use tokenizers::PostProcessorWrapper;

/// Refuses a template that names an undefined special token, or a second text where there is
/// only one.
pub(super) fn check(processor: &PostProcessorWrapper) -> Result<(), String> {
    let json = serde_json::to_value(processor).map_err(|error| error.to_string())?;
    check_json(&json)
}

fn check_json(processor: &Value) -> Result<(), String> {
    for part in items(&processor["processors"]) {
        check_json(part)?;
    }
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
    }
    Ok(())
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
