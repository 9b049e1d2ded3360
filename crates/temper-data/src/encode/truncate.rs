//! Which tokens of a long text are kept.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

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
    /// transformers' `truncation_side`, the side that is cut. It has none for [`Self::HeadTail`]: the
    /// nearest is `left`, which keeps the tail, three quarters of the same tokens.
    pub fn side(self) -> &'static str {
        match self {
            Self::Head => "right",
            Self::Tail | Self::HeadTail => "left",
        }
    }

    /// How many of the tokens that are kept come from the beginning.
    pub(super) fn head(self, keep: usize) -> usize {
        match self {
            Self::Head => keep,
            Self::Tail => 0,
            Self::HeadTail => keep.div_ceil(4),
        }
    }
}

impl fmt::Display for Truncation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Head => "head",
            Self::Tail => "tail",
            Self::HeadTail => "head-tail",
        })
    }
}

impl FromStr for Truncation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Head, Self::Tail, Self::HeadTail];
        let found = all.into_iter().find(|truncation| truncation.to_string() == name);
        found.ok_or_else(|| format!("{name} is not one of head, tail, head-tail"))
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
pub(super) fn joined<const N: usize>(parts: [(&Encoding, Range<usize>); N]) -> Encoding {
    fn of<T: Clone>(
        parts: &[(&Encoding, Range<usize>)],
        all: impl for<'a> Fn(&'a Encoding) -> &'a [T],
    ) -> Vec<T> {
        parts.iter().flat_map(|(text, range)| &all(text)[range.clone()]).cloned().collect()
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
    fn names_are_read_as_they_are_written() {
        for truncation in [Truncation::Head, Truncation::Tail, Truncation::HeadTail] {
            assert_eq!(truncation.to_string().parse(), Ok(truncation));
            assert_eq!(serde_json::json!(truncation), truncation.to_string());
        }
        assert!("middle".parse::<Truncation>().unwrap_err().contains("head-tail"));
    }

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
