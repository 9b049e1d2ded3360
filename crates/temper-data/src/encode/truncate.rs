//! Which tokens of a long text are kept.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tokenizers::Encoding;

/// What of a text that is too long is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// The first tokens, as Hugging Face does.
    #[default]
    Head,
    /// The last tokens.
    Tail,
    /// A quarter from the beginning and the rest from the end: of 510 tokens 128 and 382, the
    /// best of three on IMDB in arXiv 1905.05583, section 5.3.1.
    HeadTail,
}

impl Truncation {
    /// How many of the tokens that are kept come from the beginning.
    pub(super) fn head(self, keep: usize) -> usize {
        match self {
            Self::Head => keep,
            Self::Tail => 0,
            Self::HeadTail => keep.div_ceil(4),
        }
    }
}

/// How many tokens the first and the second text keep in `room` tokens: the longer one gives
/// first, and of two that are both too long each keeps half. As `LongestFirst` of the tokenizers
/// crate (utils/truncation.rs, 0.23).
pub(super) fn shares(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let half = room / 2;
    if first <= half {
        (first, room - first)
    } else if second <= half {
        (room - second, second)
    } else if first > second {
        (room - half, half)
    } else {
        (half, room - half)
    }
}

/// Keeps `keep` tokens of a text.
pub(super) fn cut(text: Encoding, keep: usize, truncation: Truncation) -> Encoding {
    let length = text.len();
    if length <= keep {
        return text;
    }
    let head = truncation.head(keep);
    joined([(&text, 0..head), (&text, length - (keep - head)..length)])
}

/// A text of ranges of tokens.
pub(super) fn joined(parts: [(&Encoding, Range<usize>); 2]) -> Encoding {
    fn of<T: Clone>(
        parts: &[(&Encoding, Range<usize>); 2],
        all: impl for<'a> Fn(&'a Encoding) -> &'a [T],
    ) -> Vec<T> {
        let [(first, head), (second, tail)] = parts;
        [&all(first)[head.clone()], &all(second)[tail.clone()]].concat()
    }
    Encoding::new(
        of(&parts, Encoding::get_ids),
        of(&parts, Encoding::get_type_ids),
        of(&parts, Encoding::get_tokens),
        of(&parts, Encoding::get_word_ids),
        of(&parts, Encoding::get_offsets),
        of(&parts, Encoding::get_special_tokens_mask),
        of(&parts, Encoding::get_attention_mask),
        Vec::new(),
        Default::default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_text_gives_first() {
        assert_eq!(shares(3, 4, 10), (3, 4));
        assert_eq!(shares(3, 20, 10), (3, 7));
        assert_eq!(shares(20, 3, 10), (7, 3));
        assert_eq!(shares(20, 30, 11), (5, 6));
        assert_eq!(shares(30, 20, 11), (6, 5));
        assert_eq!(shares(30, 0, 11), (11, 0));
        assert_eq!(shares(1, 1, 1), (0, 1));
    }
}
