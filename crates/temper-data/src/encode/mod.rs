//! Texts to token ids: truncated the way that was asked for, counted, and cached on disk.

mod cache;
mod long;
mod truncate;
mod windows;

pub use truncate::Truncation;
pub use windows::{
    TokenPlace, WhichText, Window, WindowError, WindowInput, WindowSettings, best_windows, encode_windows,
};

use std::path::Path;

use rayon::prelude::*;

use crate::panics::caught;
use crate::{DataError, TextTokenizer};
use long::PartialEncoding;

/// A text, and the second text of a pair.
pub type TextInput<'a> = (&'a str, Option<&'a str>);

/// How texts become ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeSettings {
    /// Tokens of an example at most, special tokens included.
    pub max_length: usize,
    /// What of a longer text is kept.
    pub truncation: Truncation,
}

/// An example as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included; never empty.
    pub ids: Vec<u32>,
    /// Segment of each token: 0, and 1 for the second text of a pair where the model has segments.
    pub type_ids: Vec<u32>,
    /// Tokens of the text that truncation left out.
    pub tokens_lost: u32,
    /// Whether that number is an estimate: of a long text only the tokens that are kept are made.
    pub lost_is_estimate: bool,
}

/// Encoded examples in the order of their texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedSet {
    /// The examples.
    pub items: Vec<Encoded>,
    /// Examples that lost tokens.
    pub truncated_examples: usize,
    /// Tokens lost, over all examples.
    pub tokens_lost: usize,
    /// Whether that number holds estimates.
    pub lost_is_estimate: bool,
    /// Tokens kept, special tokens included, over all examples.
    pub tokens_total: usize,
    /// Whether the set was read from the cache.
    pub from_cache: bool,
}

impl EncodedSet {
    /// Counts what was lost.
    pub fn new(items: Vec<Encoded>, from_cache: bool) -> Self {
        Self {
            truncated_examples: items.iter().filter(|item| item.tokens_lost > 0).count(),
            tokens_lost: items.iter().map(|item| item.tokens_lost as usize).sum(),
            lost_is_estimate: items.iter().any(|item| item.lost_is_estimate),
            tokens_total: items.iter().map(|item| item.ids.len()).sum(),
            items,
            from_cache,
        }
    }

    /// Length of each example in tokens, for planning batches.
    pub fn lengths(&self) -> Vec<u32> {
        self.items.iter().map(|item| item.ids.len() as u32).collect()
    }
}

/// Encodes texts in parallel, the same on every machine.
///
/// With a `cache` folder, sets are kept there under a hash of the tokenizer, the settings and all
/// texts. A damaged cache file is encoded again with a warning; a cache that cannot be written is
/// only warned about.
///
/// # Errors
/// [`DataError::MaxLengthTooSmall`]; [`DataError::Encode`] with the example.
pub fn encode_all(
    tokenizer: &TextTokenizer,
    texts: &[TextInput<'_>],
    settings: &EncodeSettings,
    cache: Option<&Path>,
) -> Result<EncodedSet, DataError> {
    let pairs = texts.iter().any(|(_, pair)| pair.is_some());
    let special = tokenizer.special_count(pairs);
    if settings.max_length <= special {
        return Err(DataError::MaxLengthTooSmall { max_length: settings.max_length, special });
    }
    let cache = cache.map(|folder| cache::CacheFile::new(folder, tokenizer, texts, settings));
    if let Some(items) = cache.as_ref().and_then(|file| file.read(texts.len())) {
        tracing::info!(examples = items.len(), "encoded texts read from the cache");
        return Ok(EncodedSet::new(items, true));
    }
    // Each text is encoded on one thread: the library's own parallelism, which works on batches,
    // never starts, so TOKENIZERS_PARALLELISM has nothing to say here.
    let results: Vec<Result<Encoded, DataError>> = texts
        .par_iter()
        .enumerate()
        .map(|(example, text)| encode_one(tokenizer, text, settings, example))
        .collect();
    let items = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = cache {
        file.write(&items);
    }
    Ok(EncodedSet::new(items, false))
}

fn encode_one(
    tokenizer: &TextTokenizer,
    text: &TextInput<'_>,
    settings: &EncodeSettings,
    example: usize,
) -> Result<Encoded, DataError> {
    let failed = |reason: String| DataError::Encode { example, reason };
    // A damaged tokenizer may still panic here.
    let encoded = caught(|| encode_text(tokenizer, text, settings)).map_err(failed)?;
    encoded.map_err(|error| failed(error.to_string()))
}

fn encode_text(
    tokenizer: &TextTokenizer,
    text: &TextInput<'_>,
    settings: &EncodeSettings,
) -> tokenizers::Result<Encoded> {
    let room = settings.max_length - tokenizer.special_count(text.1.is_some());
    let (first, second) = parts(tokenizer, text, room, settings.truncation)?;
    let second_length = second.as_ref().map_or(0, |part| part.length);
    let (of_first, of_second) = compared(tokenizer, text, (&first, second.as_ref()), settings)?;
    let (keep_first, keep_second) = truncate::shares(of_first, of_second, room);
    let lost = first.length + second_length - keep_first - keep_second;
    let lost_is_estimate = first.is_part || second.as_ref().is_some_and(|part| part.is_part);
    let first = truncate::cut(first.encoding, keep_first, settings.truncation);
    let second = second.map(|part| truncate::cut(part.encoding, keep_second, settings.truncation));

    let encoding = tokenizer.inner().post_process(first, second, true)?;
    let mut ids = encoding.get_ids().to_vec();
    let mut type_ids = encoding.get_type_ids().to_vec();
    if !tokenizer.has_segments() {
        type_ids.fill(0);
    }
    if ids.is_empty() {
        // An empty text without special tokens (GPT-2): a row needs a position to read from.
        ids.push(tokenizer.filler_id());
        type_ids.push(0);
    }
    Ok(Encoded { ids, type_ids, tokens_lost: u32::try_from(lost).unwrap_or(u32::MAX), lost_is_estimate })
}

/// The tokens of a text and of its pair: all, or those of a long text that may be kept in this room.
fn parts(
    tokenizer: &TextTokenizer,
    (text, pair): &TextInput<'_>,
    room: usize,
    truncation: Truncation,
) -> tokenizers::Result<(PartialEncoding, Option<PartialEncoding>)> {
    let whole = |text: &str| tokenizer.inner().encode_fast(text, false).map(PartialEncoding::whole);
    let is_long = |text: &str| text.len() > long::LONG;
    let part = |text: &str, wanted: usize| match is_long(text) {
        true => long::part(tokenizer, text, wanted, truncation)?.map_or_else(|| whole(text), Ok),
        false => whole(text),
    };
    let Some(pair) = pair else { return Ok((part(text, room)?, None)) };
    let (first, second) = match (is_long(text), is_long(pair)) {
        // Which of the two has more tokens decides who keeps the odd one.
        (true, true) if truncation == Truncation::HeadTail && room % 2 == 1 => (whole(text)?, whole(pair)?),
        (true, false) => {
            let second = whole(pair)?;
            (part(text, room.max(second.length + 1))?, second)
        }
        (false, true) => {
            let first = whole(text)?;
            let wanted = room.max(first.length + 1);
            (first, part(pair, wanted)?)
        }
        _ => (part(text, room)?, part(pair, room)?),
    };
    Ok((first, Some(second)))
}

/// The lengths that decide what each text of a pair keeps: those of the texts, and if each of the two is
/// longer than an example, those that the tokenizers crate compares.
fn compared(
    tokenizer: &TextTokenizer,
    (text, pair): &TextInput<'_>,
    (first, second): (&PartialEncoding, Option<&PartialEncoding>),
    settings: &EncodeSettings,
) -> tokenizers::Result<(usize, usize)> {
    let EncodeSettings { max_length, truncation } = *settings;
    let is_longer = |part: &PartialEncoding| part.is_part || part.length >= max_length;
    match (pair, second) {
        (Some(pair), Some(second))
            if is_longer(first) && is_longer(second) && truncation != Truncation::HeadTail =>
        {
            let reached = |text| long::reached(tokenizer, text, max_length, truncation);
            Ok((reached(text)?, reached(pair)?))
        }
        (_, second) => Ok((first.length, second.map_or(0, |part| part.length))),
    }
}
