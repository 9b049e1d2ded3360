//! What a file says of its model, by key.

use std::collections::BTreeMap;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A whole number.
    Signed(i64),
    /// A number of 32 bits: as a decimal it is the shortest one that means it.
    Float(f32),
    /// A number of 64 bits.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Values of one type.
    List(Vec<Value>),
}

/// All values, by key.
pub type Metadata = BTreeMap<String, Value>;

impl Value {
    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number, as a decimal means it: 1e-5 as f32 is 1e-5, not the nearest f64 of that f32.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => number.to_string().parse().ok(),
            Self::Double(number) => Some(*number),
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A list of texts.
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        if let Self::List(values) = self { values.iter().map(Self::as_text).collect() } else { None }
    }
}

/// A size: a whole number above zero.
///
/// # Errors
/// That the key is missing or names no size.
pub(crate) fn size(metadata: &Metadata, key: &str) -> Result<usize, String> {
    let value = metadata.get(key).and_then(Value::as_u64);
    let value = value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
    value.ok_or_else(|| format!("{key} is not a size"))
}

/// A size as a file says it. Sizes of models fit: others are refused where they are read.
pub(crate) fn of_size(size: usize) -> Value {
    Value::Unsigned(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_the_decimal_that_it_was_written_as() {
        assert_eq!(Value::Float(1e-5).as_f64(), Some(1e-5));
        assert_eq!(Value::Float(100_000.0).as_f64(), Some(100_000.0));
    }
}
