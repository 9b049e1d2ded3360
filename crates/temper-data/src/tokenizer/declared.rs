//! How a checkpoint's own files say that texts are cut, as transformers reads them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{read_object, read_text};
use crate::{DataError, Truncation};

/// transformers takes a `model_max_length` above this for no limit (`LARGE_INTEGER` of
/// tokenization_utils_base.py, 5.23); it writes 1e30 where there is none.
const NO_LIMIT: f64 = 1e20;

/// What a checkpoint says of texts that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeclaredCut {
    /// `model_max_length`: tokens of a text at most, special tokens included; `None` for no limit.
    pub max_length: Option<usize>,
    /// What is kept, where a file says so: tokenizer_config.json's `truncation_side`, else the
    /// direction of the truncation in tokenizer.json.
    pub truncation: Option<Truncation>,
}

/// The part of tokenizer.json that is read here.
#[derive(Deserialize)]
struct TruncationSection {
    truncation: Option<Direction>,
}

#[derive(Deserialize)]
struct Direction {
    direction: Option<String>,
}

/// Reads what the tokenizer's files in a folder say of texts that are too long; nothing where there
/// are none.
///
/// As transformers 5.23 (tokenization_utils_tokenizers.py): a tokenizer.json counts for the side that
/// is cut, and not for the length.
///
/// # Errors
/// [`DataError::BadTokenizer`] for values that transformers refuses, [`DataError::Io`].
pub fn declared_cut(dir: &Path) -> Result<DeclaredCut, DataError> {
    let path = dir.join("tokenizer_config.json");
    let config = if path.is_file() { read_object(&path)? } else { Default::default() };
    let bad = |path: &Path, reason: String| DataError::BadTokenizer { file: path.into(), reason };
    let max_length = config.get("model_max_length").or_else(|| config.get("max_len"));
    let max_length = max_length.map_or(Ok(None), limit).map_err(|reason| bad(&path, reason))?;
    let truncation = match config.get("truncation_side") {
        Some(side) => Some(kept(side.as_str().unwrap_or_default()).ok_or_else(|| {
            bad(&path, format!("truncation_side is {side}; it must be \"right\" or \"left\""))
        })?),
        None => in_definition(&dir.join("tokenizer.json"))?,
    };
    Ok(DeclaredCut { max_length, truncation })
}

fn limit(value: &Value) -> Result<Option<usize>, String> {
    match value.as_f64() {
        _ if value.is_null() => Ok(None),
        Some(length) if length > NO_LIMIT => Ok(None),
        Some(length) if length >= 1.0 && length.fract() == 0.0 => Ok(Some(length as usize)),
        _ => Err(format!("model_max_length is {value}; it must be a whole number above 0")),
    }
}

/// What is kept of a text that is cut on a side.
fn kept(side: &str) -> Option<Truncation> {
    match side.to_ascii_lowercase().as_str() {
        "right" => Some(Truncation::Head),
        "left" => Some(Truncation::Tail),
        _ => None,
    }
}

fn in_definition(path: &Path) -> Result<Option<Truncation>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bad = |reason: String| DataError::BadTokenizer { file: path.to_path_buf(), reason };
    let section: TruncationSection =
        serde_json::from_str(&read_text(path)?).map_err(|error| bad(error.to_string()))?;
    let Some(direction) = section.truncation.and_then(|truncation| truncation.direction) else {
        return Ok(None);
    };
    let unknown = || bad(format!("its truncation has the direction {direction:?}; it must be Right or Left"));
    kept(&direction).map(Some).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<DeclaredCut, DataError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        declared_cut(dir.path())
    }

    #[test]
    fn length_and_side_are_transformers() {
        let config = |text: &str| read(&[("tokenizer_config.json", text)]).unwrap();
        let cut = |max_length, truncation| DeclaredCut { max_length, truncation };
        assert_eq!(read(&[]).unwrap(), DeclaredCut::default());
        assert_eq!(config(r#"{"model_max_length": 512}"#), cut(Some(512), None));
        assert_eq!(config(r#"{"model_max_length": 1000000000000000019884624838656}"#), cut(None, None));
        assert_eq!(config(r#"{"model_max_length": null}"#), cut(None, None));
        assert_eq!(
            config(r#"{"max_len": 64, "truncation_side": "left"}"#),
            cut(Some(64), Some(Truncation::Tail))
        );
        assert_eq!(config(r#"{"truncation_side": "right"}"#), cut(None, Some(Truncation::Head)));
    }

    #[test]
    fn a_tokenizer_json_counts_for_the_side_alone_and_after_the_config() {
        let definition = r#"{"truncation": {"direction": "Left", "max_length": 7, "strategy": "LongestFirst", "stride": 0}, "model": {}}"#;
        let alone = read(&[("tokenizer.json", definition)]).unwrap();
        assert_eq!(alone, DeclaredCut { max_length: None, truncation: Some(Truncation::Tail) });
        let both = read(&[
            ("tokenizer.json", definition),
            ("tokenizer_config.json", r#"{"truncation_side": "right"}"#),
        ]);
        assert_eq!(both.unwrap().truncation, Some(Truncation::Head));
        // MiniLM's has no direction: it is older than the field.
        let old = r#"{"truncation": {"max_length": 128, "strategy": "LongestFirst", "stride": 0}}"#;
        assert_eq!(read(&[("tokenizer.json", old)]).unwrap(), DeclaredCut::default());
    }

    #[test]
    fn what_transformers_refuses_is_refused() {
        for (config, word) in [
            (r#"{"truncation_side": "middle"}"#, "truncation_side"),
            (r#"{"truncation_side": 1}"#, "truncation_side"),
            (r#"{"model_max_length": "long"}"#, "model_max_length"),
            (r#"{"model_max_length": 0}"#, "model_max_length"),
        ] {
            let error = read(&[("tokenizer_config.json", config)]).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("tokenizer_config.json"), "{error}");
        }
    }
}
