//! What a label cell says.

use super::{LabelError, LabelPlace};
use crate::{DataError, Value};

/// Hugging Face's mark for a label that is kept secret.
const SECRET: &str = "-1";

/// A label cell, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LabelCell {
    Unlabelled,
    Truth(bool),
    /// A number, in its shortest form.
    Number(String),
    /// A string of a file that has numbers, too.
    Name(String),
    /// A cell of a file that has nothing but text.
    Written(String),
}

/// Reads a cell.
pub(super) fn read(value: &Value, place: &LabelPlace<'_>) -> Result<LabelCell, DataError> {
    let bad = |found| {
        DataError::from(LabelError::BadLabel {
            file: place.file.to_path_buf(),
            row: place.row,
            column: place.column.to_string(),
            found,
        })
    };
    let is_secret = |number: &str| number == SECRET;
    Ok(match value {
        Value::Null => LabelCell::Unlabelled,
        Value::Bool(truth) => LabelCell::Truth(*truth),
        Value::Int(number) if is_secret(&number.to_string()) => LabelCell::Unlabelled,
        Value::Int(number) => LabelCell::Number(number.to_string()),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            return read(&Value::Int(*number as i64), place);
        }
        Value::Text(text)
            if text.trim().is_empty() || number_of(text).is_some_and(|number| is_secret(&number)) =>
        {
            LabelCell::Unlabelled
        }
        Value::Text(text) if place.typed => LabelCell::Name(text.clone()),
        Value::Text(text) => LabelCell::Written(text.clone()),
        other => return Err(bad(other.kind())),
    })
}

/// The shortest form of a number as programs write it: no sign but a minus, no leading zeros, no
/// exponent. `1.0` is `1`; other fractions stay as they are.
pub(super) fn number_of(text: &str) -> Option<String> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(digits) || !is_digits(fraction) || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    let is_whole = fraction.bytes().all(|byte| byte == b'0');
    match (digits, is_whole) {
        ("0", true) => Some("0".into()),
        (_, true) => Some(whole.into()),
        (_, false) => Some(text.into()),
    }
}
