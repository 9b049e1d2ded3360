//! Whether a tokenizer reads a text word by word, so that a part of the text has the same tokens as within the whole.
//!
//! It does where its normalizer changes characters without regard to distant ones, and where its pre-tokenizer splits at
//! white space first: what a piece becomes then depends only on the piece. No added token may contain white
//! space, because it would be found across the splits.

use serde_json::Value;
use tokenizers::{ModelWrapper, NormalizedString, Normalizer, Tokenizer};

use crate::panics::caught;

/// Where a text may be cut: before white space that follows a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boundaries {
    /// Before line breaks as before spaces.
    line_breaks: bool,
    /// Before ideographs, too, which BERT makes words of their own.
    ideographs: bool,
}

/// Normalizers that look at a character and its combining marks, and take nothing away.
const KEEPING: [&str; 5] = ["Lowercase", "NFC", "NFD", "NFKC", "NFKD"];

/// Normalizers that take characters away. White space on both sides of one is then one run, which matters where it is
/// tokenized.
const REMOVING: [&str; 5] = ["BertNormalizer", "Nmt", "Precompiled", "Strip", "StripAccents"];

/// Splits that leave out white space.
const DROPPING: [&str; 3] = ["BertPreTokenizer", "Whitespace", "WhitespaceSplit"];

/// What LLaMA's tokenizers write for a space.
pub(crate) const SPACE: char = '\u{2581}';

/// Splits of other characters, which leave white space as it is.
const BEFORE: [&str; 2] = ["Digits", "Punctuation"];

/// Patterns of `Split` that end a word before a space: those of Qwen2, LLaMA 3 and BLOOM.
const PATTERNS: [&str; 3] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
];

impl Boundaries {
    /// Where texts may be cut for this tokenizer; none where a text must be read as a whole.
    pub fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let added = tokenizer.get_added_tokens_decoder();
        let mut added = added.values().flat_map(|token| token.content.chars());
        if added.any(|character| character.is_whitespace() || is_ideograph(character) || character == SPACE) {
            return None;
        }
        if marks_spaces(tokenizer) {
            return Some(Self { line_breaks: false, ideographs: false });
        }
        let normalizer = match tokenizer.get_normalizer() {
            Some(normalizer) => serde_json::to_value(normalizer).ok()?,
            None => Value::Null,
        };
        let splits = serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?;
        // Later splits see single pieces.
        let split = parts(&splits, "pretokenizers").iter().find(|part| !is_one_of(part, &BEFORE))?;
        let drops = is_one_of(split, &DROPPING);
        let is_local = |part| is_one_of(part, &KEEPING) || drops && is_one_of(part, &REMOVING);
        if !(drops || ends_words(split))
            || !parts(&normalizer, "normalizers").iter().all(is_local)
            || !keeps_spaces(tokenizer)
        {
            return None;
        }
        let is_bert = normalizer["type"] == "BertNormalizer" && splits["type"] == "BertPreTokenizer";
        Some(Self {
            line_breaks: split["type"] != "Metaspace",
            ideographs: is_bert && normalizer["handle_chinese_chars"] == true,
        })
    }

    /// The first place from here on where a text may be cut.
    pub fn after(self, text: &str, from: usize) -> Option<usize> {
        let mut previous = text[..from].chars().next_back();
        for (place, character) in text[from..].char_indices() {
            if self.is_between(previous, character) {
                return Some(from + place);
            }
            previous = Some(character);
        }
        None
    }

    /// The last place before this one where a text may be cut.
    pub fn before(self, text: &str, to: usize) -> Option<usize> {
        let mut characters = text[..to].char_indices().rev().peekable();
        while let Some((place, character)) = characters.next() {
            if self.is_between(characters.peek().map(|previous| previous.1), character) {
                return Some(place);
            }
        }
        None
    }

    fn is_between(self, previous: Option<char>, character: char) -> bool {
        let is_space = character == ' ' || self.line_breaks && character == '\n';
        let follows_word = previous.is_some_and(|previous| !previous.is_whitespace());
        is_space && follows_word || self.ideographs && is_ideograph(character)
    }
}

/// True for LLaMA's kind of tokenizer: pairs of a whole text are merged, but spaces have a mark, which is at the beginning of
/// a token alone, so that nothing is merged across the beginning of a word.
fn marks_spaces(tokenizer: &Tokenizer) -> bool {
    let ModelWrapper::BPE(model) = tokenizer.get_model() else { return false };
    let json = |part: Option<Result<Value, serde_json::Error>>| part.and_then(Result::ok).unwrap_or_default();
    let normalizer = json(tokenizer.get_normalizer().map(serde_json::to_value));
    let splits = json(tokenizer.get_pre_tokenizer().map(serde_json::to_value));
    let replaces = |part: &Value| {
        part["type"] == "Replace" && part["pattern"]["String"] == " " && part["content"] == SPACE.to_string()
    };
    let is_marking = match parts(&normalizer, "normalizers") {
        [] => {
            splits["type"] == "Metaspace"
                && splits["split"] == false
                && splits["replacement"] == SPACE.to_string()
        }
        // Gemma's splits at spaces, of which the mark leaves none.
        [mark] => (splits.is_null() || splits["pattern"]["String"] == " ") && replaces(mark),
        [first, mark] => splits.is_null() && first["type"] == "Prepend" && replaces(mark),
        _ => false,
    };
    let vocab = if is_marking { model.get_vocab() } else { return false };
    let starts = |token: &str| !token.trim_start_matches(SPACE).contains(SPACE);
    vocab.contains_key(SPACE.encode_utf8(&mut [0; 4]) as &str) && vocab.keys().all(|token| starts(token))
}

/// CJK unified ideographs.
fn is_ideograph(character: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&character)
}

/// The parts of a sequence, or the one part that it is; none of nothing.
fn parts<'a>(component: &'a Value, key: &str) -> &'a [Value] {
    match component[key].as_array() {
        Some(parts) => parts,
        None if component.is_null() => &[],
        None => std::slice::from_ref(component),
    }
}

fn is_one_of(part: &Value, types: &[&str]) -> bool {
    part["type"].as_str().is_some_and(|name| types.contains(&name))
}

/// Whether white space is still there after the normalizer; a table of characters may say anything.
fn keeps_spaces(tokenizer: &Tokenizer) -> bool {
    let Some(normalizer) = tokenizer.get_normalizer() else { return true };
    let mut text = NormalizedString::from("a b\nc");
    let normalized = caught(|| normalizer.normalize(&mut text));
    matches!(normalized, Ok(Ok(()))) && text.get().split_whitespace().count() == 3
}

/// Whether a split that keeps white space ends a word before it.
fn ends_words(split: &Value) -> bool {
    match split["type"].as_str() {
        Some("ByteLevel") => split["use_regex"] == true,
        Some("Metaspace") => split["split"] == true,
        Some("Split") => {
            let pattern = split["pattern"]["Regex"].as_str();
            let keeps_all = split["behavior"] == "Isolated" && split["invert"] == false;
            keeps_all && pattern.is_some_and(|pattern| PATTERNS.contains(&pattern))
        }
        _ => false,
    }
}
