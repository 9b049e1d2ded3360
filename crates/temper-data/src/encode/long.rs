//! Long texts: no more of them is tokenized than is kept.

use std::ops::Range;

use tokenizers::Encoding;

use super::truncate::{self, Truncation};
use crate::TextTokenizer;
use crate::tokenizer::Boundaries;

/// Bytes from which on a text counts as long. Shorter ones are tokenized whole and their lost tokens counted.
pub(super) const LONG: usize = 1 << 16;

/// Bytes of a first window for each token that is wanted.
const BYTES_A_TOKEN: usize = 16;
/// Bytes of a first window at least.
const SMALLEST: usize = 1 << 13;
/// Places to cut between the tokens that are taken and the end of a window. One would do: what a word becomes does not
/// depend on what is after the space after it.
const MARGIN: usize = 8;

/// The tokens of a text, or so many of them as are wanted.
pub(super) struct PartialEncoding {
    pub encoding: Encoding,
    /// Tokens of the whole text: counted, or estimated where not all of it was tokenized.
    pub length: usize,
    /// True if only the wanted tokens were made.
    pub is_part: bool,
}

impl PartialEncoding {
    /// A text that is tokenized whole.
    pub fn whole(encoding: Encoding) -> Self {
        Self { length: encoding.len(), encoding, is_part: false }
    }
}

/// The first, the last or some first and last tokens of a long text, `wanted` in all; none where the text must be
/// tokenized whole.
pub(super) fn part(
    tokenizer: &TextTokenizer,
    text: &str,
    wanted: usize,
    truncation: Truncation,
) -> tokenizers::Result<Option<PartialEncoding>> {
    let Some(text) = CutText::new(tokenizer, text) else { return Ok(None) };
    let head = truncation.head(wanted);
    let Some(first) = text.window(head, End::First)? else { return Ok(None) };
    let Some(last) = text.window(wanted - head, End::Last)? else { return Ok(None) };
    let length = (first.density().max(last.density()) * text.text.len() as f64) as usize;
    let tail = last.encoding.len() - (wanted - head);
    let encoding =
        truncate::joined([(&first.encoding, 0..head), (&last.encoding, tail..last.encoding.len())]);
    Ok(Some(PartialEncoding { encoding, length: length.max(wanted + 1), is_part: true }))
}

/// The tokens of a text that the tokenizers crate makes when asked to keep so many: it stops after the word that
/// reaches them (tokenizer/pre_tokenizer.rs, 0.23), and uses these to find which text of a pair is the longer one.
pub(super) fn reached(
    tokenizer: &TextTokenizer,
    text: &str,
    limit: usize,
    truncation: Truncation,
) -> tokenizers::Result<usize> {
    let end = if truncation == Truncation::Tail { End::Last } else { End::First };
    let long = CutText::new(tokenizer, text).filter(|_| text.len() > LONG);
    let window = match &long {
        Some(text) => text.window(limit, end)?,
        None => None,
    };
    if let Some(TextEnd { encoding, part, certain, .. }) = window {
        let tokens = words_up_to(tokenizer, part, &encoding, limit, end);
        if let Some(tokens) = tokens.filter(|&tokens| tokens <= certain) {
            return Ok(tokens);
        }
    }
    let encoding = tokenizer.inner().encode(text, false)?;
    Ok(words_up_to(tokenizer, text, &encoding, limit, end).unwrap_or(encoding.len()))
}

/// Tokens of whole words, from an end on, until there are so many; a word that is an added token does not end them. None
/// where there are fewer.
fn words_up_to(
    tokenizer: &TextTokenizer,
    text: &str,
    encoding: &Encoding,
    limit: usize,
    end: End,
) -> Option<usize> {
    let (ids, words, offsets) = (encoding.get_ids(), encoding.get_word_ids(), encoding.get_offsets());
    let is_added = |token: usize| {
        let (from, to) = offsets[token];
        let added = tokenizer.inner().get_added_vocabulary().get_added_tokens_decoder().get(&ids[token]);
        added.is_some_and(|added| text.get(from..to).is_some_and(|text| text.trim() == added.content.trim()))
    };
    let count = ids.len();
    let place = |token: usize| if end == End::First { token } else { count - 1 - token };
    (limit.max(1)..=count).find(|&tokens| {
        let last = place(tokens - 1);
        let ends_word = tokens == count || words[last] != words[place(tokens)];
        ends_word && !is_added(last)
    })
}

/// An end of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    First,
    Last,
}

/// A text that may be cut.
struct CutText<'a> {
    tokenizer: &'a TextTokenizer,
    text: &'a str,
    cuts: Boundaries,
}

/// An end of a text with its tokens.
#[derive(Default)]
struct TextEnd<'a> {
    encoding: Encoding,
    part: &'a str,
    /// Tokens at the end that are those of the whole text.
    certain: usize,
    /// Bytes of their text.
    bytes: usize,
}

impl TextEnd<'_> {
    fn density(&self) -> f64 {
        self.certain as f64 / self.bytes.max(1) as f64
    }
}

impl<'a> CutText<'a> {
    fn new(tokenizer: &'a TextTokenizer, text: &'a str) -> Option<Self> {
        Some(Self { tokenizer, text, cuts: tokenizer.boundaries()? })
    }

    /// A window at an end that has so many tokens for certain; none where it would grow beyond half of the text.
    fn window(&self, wanted: usize, end: End) -> tokenizers::Result<Option<TextEnd<'a>>> {
        if wanted == 0 {
            return Ok(Some(TextEnd::default()));
        }
        let mut size = SMALLEST.max(wanted.saturating_mul(BYTES_A_TOKEN));
        while size <= self.text.len() / 2 {
            let Some((part, sure)) = self.cut(size, end) else { return Ok(None) };
            let encoding = self.tokenizer.inner().encode(part, false)?;
            let offsets = encoding.get_offsets();
            let certain = match end {
                End::First => offsets.iter().take_while(|(_, to)| *to <= sure.end).count(),
                End::Last => offsets.iter().rev().take_while(|(from, _)| *from >= sure.start).count(),
            };
            if certain >= wanted {
                return Ok(Some(TextEnd { encoding, part, certain, bytes: sure.len() }));
            }
            size = size.saturating_mul(4);
        }
        Ok(None)
    }

    /// A part of about so many bytes at an end, and the bytes of it whose tokens are those of the whole text.
    fn cut(&self, size: usize, end: End) -> Option<(&'a str, Range<usize>)> {
        let (text, cuts) = (self.text, self.cuts);
        let (part, sure) = match end {
            End::First => {
                let to = cuts.after(text, text.ceil_char_boundary(size))?;
                let sure = (0..MARGIN).try_fold(to, |place, _| cuts.before(text, place))?;
                (&text[..to], 0..sure)
            }
            End::Last => {
                let from = cuts.before(text, text.floor_char_boundary(text.len() - size))?;
                let next = |place, _| cuts.after(text, text.ceil_char_boundary(place + 1));
                let sure = (0..MARGIN).try_fold(from, next)?;
                (&text[from..], sure - from..text.len() - from)
            }
        };
        (part.len() <= text.len() / 2).then_some((part, sure))
    }
}
