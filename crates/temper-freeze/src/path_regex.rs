//! Regular expressions over whole parameter paths.

use regex::Regex;

/// The whole path must match: `layers.1` is not `layers.10`.
pub(crate) fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

/// A pattern as it was given.
pub(crate) fn unanchored(pattern: &str) -> &str {
    pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(pattern)
}
