//! Texts to token ids: truncated the way that was asked for, counted, and cached on disk.

mod cache;
mod truncate;

pub use truncate::Truncation;

use std::path::Path;

use rayon::prelude::*;
use tokenizers::Encoding;

use crate::{DataError, TextTokenizer};

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
/// texts. A damaged cache file is encoded anew with a warning; a cache that cannot be written is
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
    (text, pair): &TextInput<'_>,
    settings: &EncodeSettings,
    example: usize,
) -> Result<Encoded, DataError> {
    let failed = |error: tokenizers::Error| DataError::Encode { example, reason: error.to_string() };
    let inner = tokenizer.inner();
    let plain = |text: &str| inner.encode_fast(text, false).map_err(failed);
    let first = plain(text)?;
    let second = pair.map(plain).transpose()?;

    let room = settings.max_length - tokenizer.special_count(pair.is_some());
    let second_length = second.as_ref().map_or(0, Encoding::len);
    let (keep_first, keep_second) = truncate::shares(first.len(), second_length, room);
    let lost = first.len() + second_length - keep_first - keep_second;
    let first = truncate::cut(first, keep_first, settings.truncation);
    let second = second.map(|text| truncate::cut(text, keep_second, settings.truncation));

    let encoding = inner.post_process(first, second, true).map_err(failed)?;
    let mut ids = encoding.get_ids().to_vec();
    let mut type_ids = encoding.get_type_ids().to_vec();
    if ids.is_empty() {
        // An empty text without special tokens (GPT-2): a row needs a position to read from.
        ids.push(tokenizer.filler_id());
        type_ids.push(0);
    }
    Ok(Encoded { ids, type_ids, tokens_lost: lost as u32 })
}
