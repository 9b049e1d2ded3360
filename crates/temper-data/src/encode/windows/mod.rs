//! Long texts in windows that overlap, each token with its word and its place in the text: for labels of words or of
//! spans of characters, and for answers in a long text.

mod context;
mod errors;
mod layout;
mod tokens;
mod words;

pub use context::best_windows;
pub use errors::WindowError;

use std::ops::Range;

use rayon::prelude::*;

use super::Encoded;
use crate::panics::caught;
use crate::{DataError, TextTokenizer};
use layout::Layout;
use tokens::PlacedTokens;
use words::Spaces;

/// Bytes of a text at most: places are 32 bits wide.
const LIMIT: usize = u32::MAX as usize;

/// What is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowInput<'a> {
    /// A text.
    Text(&'a str),
    /// Two texts, as a question and the text that it is about.
    Pair {
        /// The first text.
        first: &'a str,
        /// The second text.
        second: &'a str,
    },
    /// A text that is split into words already: transformers' `is_split_into_words=True`.
    Words(&'a [String]),
}

/// A text of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhichText {
    /// The only text, the words, or the first text of a pair.
    First,
    /// The second text of a pair.
    Second,
}

/// How inputs become windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// Tokens of a window at most, special tokens included.
    pub max_length: usize,
    /// Tokens that a window has in common with the next one; transformers' `stride`.
    pub stride: usize,
    /// The text of a pair that is spread over windows; the other one is whole in each. transformers'
    /// `truncation="only_first"` or `"only_second"`. An input of one text has only that to spread.
    pub spread: WhichText,
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenPlace {
    /// The text.
    pub text: WhichText,
    /// Its word: of [`WindowInput::Words`] the index of the word; of a text the tokenizer's own count of what it splits
    /// the text into, which for BERT includes punctuation marks, and for some families is 0 throughout.
    pub word: u32,
    /// First byte of its text: its place in the text or, of [`WindowInput::Words`], in its word.
    pub start: u32,
    /// The byte after the last one; `start` if the token has no text.
    pub end: u32,
}

impl TokenPlace {
    /// The bytes, to take them out of the text.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A window of an input, as a model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Position of the input, from 0.
    pub input: usize,
    /// Token ids, special tokens included; never empty.
    pub ids: Vec<u32>,
    /// Segment of each token: 0, and 1 for the second text of a pair where the model has segments.
    pub type_ids: Vec<u32>,
    /// Where each token comes from; none of special tokens that the layout adds.
    pub places: Vec<Option<TokenPlace>>,
    /// Which tokens of this window are of the text that is spread over windows.
    pub spread: Range<usize>,
    /// Which token of that text the first of them is, from 0.
    pub from: usize,
}

impl From<&Window> for Encoded {
    fn from(window: &Window) -> Self {
        Self {
            ids: window.ids.clone(),
            type_ids: window.type_ids.clone(),
            tokens_lost: 0,
            lost_is_estimate: false,
        }
    }
}

/// Encodes inputs in parallel: of each input one window, or as many as hold every token of the text that is spread, in the
/// order of the inputs and from the beginning of a text to its end.
///
/// Ids, type ids, words and places are those of transformers 5.23 for a batch of such inputs with `truncation`,
/// `return_overflowing_tokens=True` and `return_offsets_mapping=True`, with these differences:
///
/// - Places are in bytes, at the boundaries of characters, so that they can slice a text; transformers counts characters.
/// - Windows go from the left also where `truncation_side` is left, for none of them is dropped.
/// - The tokenizers library that transformers uses is meant in version 0.23.3: with 0.23.2 it ends after `max_length`
///   tokens, so that windows are missing.
/// - Where a tokenizer distinguishes a word after a space from one at the beginning of a text (GPT-2, RoBERTa), all
///   words of [`WindowInput::Words`] are read as after a space. transformers does so after
///   `from_pretrained(..., add_prefix_space=True)`, which its example `run_ner.py` passes for such models; without it words
///   are read as if nothing were between them. Classes that take tokenizer.json as it is (Falcon's) do not heed that
///   argument. Gemma's words get the mark that its tokenizer writes for a space; transformers reads them without.
///   A tokenizer that reads a word by itself otherwise with such a space, too, is refused.
/// - An input without tokens has a window with only the layout's special tokens, or of the token that [`encode_all`]
///   puts where there are none.
///
/// A word may have no token, for example one of control characters.
///
/// ```
/// use temper_data::{
///     Encoded, EncodedSet, WhichText, WindowInput, WindowSettings, best_windows, collate, encode_windows, load_tokenizer,
/// };
///
/// # let dir = tempfile::tempdir()?;
/// # let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "who", "ran", "?", "then", "ada", "home", "."];
/// # std::fs::write(dir.path().join("vocab.txt"), vocabulary.join("\n"))?;
/// let tokenizer = load_tokenizer(dir.path())?;
/// let (question, text) = ("Who ran?", "Then Ada ran home.");
/// let settings = WindowSettings { max_length: 9, stride: 1, spread: WhichText::Second };
/// let inputs = [WindowInput::Pair { first: question, second: text }];
/// let windows = encode_windows(&tokenizer, &inputs, &settings)?;
/// assert_eq!(windows.len(), 2);
///
/// // A batch for a model.
/// let set = EncodedSet::new(windows.iter().map(Encoded::from).collect(), false);
/// assert_eq!(collate(&set, &[0, 1]).lengths, [9, 9]);
///
/// // What a model says of a token counts in the window where most of its context is.
/// let mut words = Vec::new();
/// for (window, decides) in windows.iter().zip(best_windows(&windows)) {
///     let places = window.places.iter().zip(decides).filter(|(_, decides)| *decides);
///     words.extend(places.filter_map(|(place, _)| text.get(place.as_ref()?.range())));
/// }
/// assert_eq!(words, ["Then", "Ada", "ran", "home", "."]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`encode_all`]: crate::encode_all
///
/// # Errors
/// [`DataError::MaxLengthTooSmall`]; [`DataError::Window`] for a stride or an input that leaves no room;
/// [`DataError::Encode`] with the input.
pub fn encode_windows(
    tokenizer: &TextTokenizer,
    inputs: &[WindowInput<'_>],
    settings: &WindowSettings,
) -> Result<Vec<Window>, DataError> {
    check(tokenizer, inputs, settings)?;
    let of_words = inputs.iter().position(|input| matches!(input, WindowInput::Words(_)));
    let spaces = match of_words {
        Some(example) => Spaces::of(tokenizer).map_err(|reason| DataError::Encode { example, reason })?,
        None => Spaces::Own,
    };
    let encoder = WindowEncoder { tokenizer, settings, spaces };
    let results: Vec<Result<Vec<Window>, DataError>> =
        inputs.par_iter().enumerate().map(|(place, input)| encoder.windows(place, input)).collect();
    let windows = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(windows.into_iter().flatten().collect())
}

/// Refuses settings that suit no long text.
fn check(
    tokenizer: &TextTokenizer,
    inputs: &[WindowInput<'_>],
    settings: &WindowSettings,
) -> Result<(), DataError> {
    let WindowSettings { max_length, stride, .. } = *settings;
    let counts =
        inputs.iter().map(|input| tokenizer.special_count(matches!(input, WindowInput::Pair { .. })));
    match counts.min() {
        Some(special) if max_length <= special => Err(DataError::MaxLengthTooSmall { max_length, special }),
        Some(special) if max_length - special <= stride => {
            Err(WindowError::Stride { max_length, special, stride }.into())
        }
        _ => Ok(()),
    }
}

/// Bytes of the longest text or word of an input.
fn longest(input: &WindowInput<'_>) -> usize {
    match input {
        WindowInput::Text(text) => text.len(),
        WindowInput::Pair { first, second } => first.len().max(second.len()),
        WindowInput::Words(words) => words.iter().map(String::len).max().unwrap_or(0),
    }
}

struct WindowEncoder<'a> {
    tokenizer: &'a TextTokenizer,
    settings: &'a WindowSettings,
    spaces: Spaces,
}

impl WindowEncoder<'_> {
    fn windows(&self, place: usize, input: &WindowInput<'_>) -> Result<Vec<Window>, DataError> {
        let failed = |reason: String| DataError::Encode { example: place, reason };
        if longest(input) > LIMIT {
            return Err(failed(format!("a text of more than {LIMIT} bytes; split it")));
        }
        // A damaged tokenizer may still panic here.
        let (first, second) =
            caught(|| self.tokens(input)).map_err(failed)?.map_err(|error| failed(error.to_string()))?;
        let spread = if second.is_some() { self.settings.spread } else { WhichText::First };
        let layout = Layout::new(self.tokenizer, input, &self.spaces, [Some(&first), second.as_ref()]);
        let ranges = self.ranges(place, spread, &first, second.as_ref())?;
        let windows = ranges.into_iter().map(|range| {
            let window = caught(|| layout.window(spread, range)).map_err(failed)?;
            window.map(|window| Window { input: place, ..window }).map_err(|error| failed(error.to_string()))
        });
        windows.collect()
    }

    /// The tokens of an input's texts, without special tokens.
    fn tokens(&self, input: &WindowInput<'_>) -> tokenizers::Result<(PlacedTokens, Option<PlacedTokens>)> {
        let of = |text, segment| PlacedTokens::of_text(self.tokenizer, text, segment);
        Ok(match input {
            WindowInput::Text(text) => (of(text, 0)?, None),
            WindowInput::Pair { first, second } => (of(first, 0)?, Some(of(second, 1)?)),
            WindowInput::Words(words) => {
                (PlacedTokens::of_words(self.tokenizer, words, self.spaces.added_character())?, None)
            }
        })
    }

    /// Which tokens of the text that is spread each window has.
    fn ranges(
        &self,
        input: usize,
        spread: WhichText,
        first: &PlacedTokens,
        second: Option<&PlacedTokens>,
    ) -> Result<Vec<Range<usize>>, WindowError> {
        let WindowSettings { max_length, stride, .. } = *self.settings;
        let special = self.tokenizer.special_count(second.is_some());
        let lengths = [first.len(), second.map_or(0, PlacedTokens::len)];
        let [length, other] = if spread == WhichText::First { lengths } else { [lengths[1], lengths[0]] };
        let room = max_length.checked_sub(special + other);
        room.and_then(|room| ranges(length, room, stride)).ok_or(WindowError::NoRoom {
            input,
            max_length,
            special,
            other,
            length,
            stride,
        })
    }
}

/// Ranges of so many tokens at most that cover a text, each with so many of the previous one; none where the next would get
/// no further. As `Encoding::truncate` of the tokenizers crate (tokenizer/encoding.rs, 0.23).
fn ranges(length: usize, room: usize, stride: usize) -> Option<Vec<Range<usize>>> {
    if length <= room {
        return Some(std::iter::once(0..length).collect());
    }
    let step = room.checked_sub(stride).filter(|&step| step > 0)?;
    let count = (length - room).div_ceil(step) + 1;
    let starts = (0..count).map(|window| window * step);
    Some(starts.map(|start| start..(start + room).min(length)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_a_text_and_share_the_stride() {
        assert_eq!(ranges(0, 0, 0), Some(std::iter::once(0..0).collect()));
        assert_eq!(ranges(5, 5, 9), Some(std::iter::once(0..5).collect()));
        assert_eq!(ranges(6, 5, 0), Some(vec![0..5, 5..6]));
        assert_eq!(ranges(6, 5, 2), Some(vec![0..5, 3..6]));
        assert_eq!(ranges(8, 5, 2), Some(vec![0..5, 3..8]));
        assert_eq!(ranges(9, 5, 2), Some(vec![0..5, 3..8, 6..9]));
        assert_eq!(ranges(6, 5, 5), None);
        assert_eq!(ranges(1, 0, 0), None);
    }
}
