//! Tag schemes, and what a tag of one is.

use std::fmt;

use serde::Serialize;

use super::NO_KIND;

/// How tags say where an entity begins and ends. All have O for tokens outside of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagScheme {
    /// I in entities; B only where an entity follows another of the same kind at once (Ramshaw and Marcus 1995).
    /// CoNLL-2003 was published in it.
    Iob1,
    /// B at the beginning of every entity, then I (Ratnaparkhi 1998). Usually called BIO.
    Iob2,
    /// B, I and E for the first, inner and last token; S for an entity of one token.
    Iobes,
    /// As [`TagScheme::Iobes`] with L for E and U for S (Ratinov and Roth 2009).
    Bilou,
}

impl TagScheme {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Iob1, Self::Iob2, Self::Iobes, Self::Bilou];

    /// The letters that tags of entities begin with.
    pub fn prefixes(self) -> &'static [char] {
        match self {
            Self::Iob1 | Self::Iob2 => &['B', 'I'],
            Self::Iobes => &['B', 'I', 'E', 'S'],
            Self::Bilou => &['B', 'I', 'L', 'U'],
        }
    }

    /// The letters of an entity's last token and of a single one, where the scheme marks them.
    pub(super) fn last_and_single(self) -> Option<(char, char)> {
        match self {
            Self::Iob1 | Self::Iob2 => None,
            Self::Iobes => Some(('E', 'S')),
            Self::Bilou => Some(('L', 'U')),
        }
    }
}

impl fmt::Display for TagScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Iob1 => "IOB1",
            Self::Iob2 => "IOB2",
            Self::Iobes => "IOBES",
            Self::Bilou => "BILOU",
        })
    }
}

/// A tag, read as `seqeval.scheme.Token` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// One of O, B, I, E, S, L, U.
    pub prefix: char,
    /// What follows, without hyphens before and after it.
    pub kind: &'a str,
}

impl<'a> Tag<'a> {
    /// What is before the first token and after the last.
    pub const OUTSIDE: Self = Self { prefix: 'O', kind: NO_KIND };

    /// Reads a tag; none if the scheme has no such prefix.
    pub fn read(tag: &'a str, scheme: TagScheme) -> Option<Self> {
        let prefix = tag.chars().next()?;
        let known = prefix == 'O' || scheme.prefixes().contains(&prefix);
        let kind = tag[prefix.len_utf8()..].trim_matches('-');
        known.then_some(Self { prefix, kind: if kind.is_empty() { NO_KIND } else { kind } })
    }

    /// Whether the tag is of an entity.
    pub fn is_of_entity(self) -> bool {
        self.prefix != 'O'
    }
}
