//! The normal form in which answers are compared.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Runs of what Python's `re` takes for parts of a word: the categories L and N, and the underscore. Rust's `\w` has
/// marks, too, which would keep an article before a vowel sign.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("the pattern is constant and valid"));

/// An answer in small letters, without punctuation (only ASCII), without the articles "a", "an" and "the", and with
/// single spaces between its words: `normalize_answer` of evaluate-v1.1.py and evaluate-v2.0.py.
///
/// Text is handled as Python handles it. Characters that Unicode added or put into another category after version 14
/// may differ from Python 3.11.
pub fn normalize_answer(answer: &str) -> String {
    let lower = answer.to_lowercase();
    let plain: String = lower.chars().filter(|character| !character.is_ascii_punctuation()).collect();
    // What `\b(a|an|the)\b` matches is always a whole run.
    let without_articles = WORD.replace_all(&plain, |found: &Captures<'_>| match &found[0] {
        "a" | "an" | "the" => " ".to_owned(),
        word => word.to_owned(),
    });
    let words: Vec<&str> = without_articles.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// `str.isspace` of Python: Rust's white space and four control characters.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}
