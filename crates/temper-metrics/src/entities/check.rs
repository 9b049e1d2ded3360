//! Whether tags are as a scheme requires.

use super::TagScheme;
use super::scheme::Tag;

/// The first tag of a sequence that a scheme does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// It is no tag of the scheme at all.
    #[error(
        "tag {place}, \"{tag}\", is not a tag of {scheme}, which has O, and {} with a hyphen and a type, such as B-PER",
        listed(*scheme)
    )]
    Unknown {
        /// Its place, from 0 on.
        place: usize,
        /// The tag.
        tag: String,
        /// The scheme.
        scheme: TagScheme,
    },
    /// It cannot follow the previous one.
    #[error("tag {place}, \"{tag}\", cannot {} in {scheme}; correct it or choose another scheme", after(.previous.as_deref()))]
    Transition {
        /// Its place, from 0 on.
        place: usize,
        /// The tag.
        tag: String,
        /// The tag before; none if it is the first.
        previous: Option<String>,
        /// The scheme.
        scheme: TagScheme,
    },
    /// It is the last, and an entity has not ended.
    #[error(
        "tag {place}, \"{tag}\", cannot be the last in {scheme}, which marks where an entity ends; correct it or choose another scheme"
    )]
    Unfinished {
        /// Its place, from 0 on.
        place: usize,
        /// The tag.
        tag: String,
        /// The scheme.
        scheme: TagScheme,
    },
}

impl InvalidTag {
    /// The place of the tag, from 0 on.
    pub fn place(&self) -> usize {
        match self {
            Self::Unknown { place, .. } | Self::Transition { place, .. } | Self::Unfinished { place, .. } => {
                *place
            }
        }
    }
}

fn listed(scheme: TagScheme) -> String {
    let prefixes: Vec<String> = scheme.prefixes().iter().map(char::to_string).collect();
    prefixes.join(", ")
}

fn after(previous: Option<&str>) -> String {
    previous.map_or_else(|| "be the first".to_owned(), |previous| format!("follow \"{previous}\""))
}

/// Checks that a sequence is as the scheme requires. A tag is O, or a prefix alone, or a prefix, a hyphen and a kind
/// that neither begins nor ends with a hyphen.
///
/// # Errors
///
/// The first tag that the scheme does not allow: one that it does not have, one that cannot follow the tag before
/// (under IOB2 an I without a B or I of the same kind before it), or a last one that leaves an entity open.
pub fn check_tags(tags: &[impl AsRef<str>], scheme: TagScheme) -> Result<(), InvalidTag> {
    let mut previous = Tag::OUTSIDE;
    for (place, tag) in tags.iter().enumerate() {
        let tag = tag.as_ref();
        let Some(read) = Tag::read(tag, scheme).filter(|_| is_well_formed(tag)) else {
            return Err(InvalidTag::Unknown { place, tag: tag.to_owned(), scheme });
        };
        if !scheme.allows(previous, read) {
            let previous = place.checked_sub(1).map(|before| tags[before].as_ref().to_owned());
            return Err(InvalidTag::Transition { place, tag: tag.to_owned(), previous, scheme });
        }
        previous = read;
    }
    match tags.last() {
        Some(tag) if !scheme.allows(previous, Tag::OUTSIDE) => {
            let (place, tag) = (tags.len() - 1, tag.as_ref().to_owned());
            Err(InvalidTag::Unfinished { place, tag, scheme })
        }
        _ => Ok(()),
    }
}

/// The schemes that all sequences fit, in the order of [`TagScheme::ALL`]. Where entities are rare it may be several:
/// tags that are all O fit each.
///
/// Unlike `seqeval.scheme.auto_detect`, which looks only at the prefixes, it distinguishes IOB1 from IOB2.
pub fn detect_schemes<S, T>(sequences: impl IntoIterator<Item = S>) -> Vec<TagScheme>
where
    S: AsRef<[T]>,
    T: AsRef<str>,
{
    let mut fitting = TagScheme::ALL.to_vec();
    for sequence in sequences {
        fitting.retain(|&scheme| check_tags(sequence.as_ref(), scheme).is_ok());
    }
    fitting
}

/// Whether a tag with a known prefix has nothing odd after it: seqeval reads "BPER" and "OTHER" as tags, too.
fn is_well_formed(tag: &str) -> bool {
    let mut rest = tag.chars();
    let outside = rest.next() == Some('O');
    let rest = rest.as_str();
    let kind = rest.strip_prefix('-').unwrap_or_default();
    rest.is_empty() || (!outside && !kind.is_empty() && kind.trim_matches('-') == kind)
}

impl TagScheme {
    /// Whether a tag may follow another.
    fn allows(self, previous: Tag<'_>, tag: Tag<'_>) -> bool {
        let goes_on = previous.is_of_entity() && previous.kind == tag.kind;
        match (self, self.last_and_single()) {
            (_, Some((last, _))) => {
                let open = matches!(previous.prefix, 'B' | 'I');
                let within = tag.prefix == 'I' || tag.prefix == last;
                if open { within && goes_on } else { !within }
            }
            (Self::Iob1, None) => tag.prefix != 'B' || goes_on,
            (_, None) => tag.prefix != 'I' || goes_on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(tags: &str, scheme: TagScheme) -> Option<usize> {
        let tags: Vec<&str> = tags.split(' ').collect();
        check_tags(&tags, scheme).err().map(|error| error.place())
    }

    #[test]
    fn the_first_invalid_tag_is_named() {
        use TagScheme::{Bilou, Iob1, Iob2, Iobes};
        for (tags, scheme, place) in [
            ("O B-PER I-PER B-LOC B-LOC O", Iob2, None),
            ("O I-PER I-LOC", Iob2, Some(1)),
            ("B-PER I-LOC", Iob2, Some(1)),
            ("I-PER", Iob2, Some(0)),
            ("I-PER B-PER I-PER I-LOC O I-LOC", Iob1, None),
            ("B-PER", Iob1, Some(0)),
            ("I-PER B-LOC", Iob1, Some(1)),
            ("O B-LOC", Iob1, Some(1)),
            ("S-PER B-PER I-PER E-PER B-LOC E-LOC O", Iobes, None),
            ("B-PER O", Iobes, Some(1)),
            ("B-PER E-LOC", Iobes, Some(1)),
            ("O E-LOC", Iobes, Some(1)),
            ("S-PER I-PER E-PER", Iobes, Some(1)),
            ("O B-PER I-PER", Iobes, Some(2)),
            ("U-PER B-PER I-PER L-PER", Bilou, None),
            ("U-PER S-PER", Bilou, Some(1)),
            ("B I O B", Iob2, None),
            ("O OTHER", Iob2, Some(1)),
            ("O-PER", Iob2, Some(0)),
            ("BPER", Iob2, Some(0)),
            ("B-", Iob2, Some(0)),
            ("B--PER", Iob2, Some(0)),
            ("B-WORK-OF-ART I-WORK-OF-ART", Iob2, None),
            ("B-Ö I-Ö Ö", Iob2, Some(2)),
        ] {
            assert_eq!(place_of(tags, scheme), place, "{tags} {scheme}");
        }
        assert_eq!(check_tags(&["O", ""], Iob2).unwrap_err().place(), 1);
        assert_eq!(check_tags(&[] as &[&str], Iobes), Ok(()));
    }

    #[test]
    fn messages_say_what_is_wrong() {
        let message = |tags: &[&str], scheme| check_tags(tags, scheme).unwrap_err().to_string();
        let found = message(&["O", "I-PER"], TagScheme::Iob2);
        assert!(found.starts_with("tag 1, \"I-PER\", cannot follow \"O\" in IOB2"), "{found}");
        let found = message(&["I-PER"], TagScheme::Iobes);
        assert!(found.starts_with("tag 0, \"I-PER\", cannot be the first in IOBES"), "{found}");
        let found = message(&["B-PER"], TagScheme::Bilou);
        assert!(found.starts_with("tag 0, \"B-PER\", cannot be the last in BILOU"), "{found}");
        let found = message(&["PER"], TagScheme::Bilou);
        assert!(found.contains("which has O, and B, I, L, U with a hyphen"), "{found}");
    }

    #[test]
    fn schemes_are_detected_from_all_sequences() {
        use TagScheme::{Bilou, Iob1, Iob2, Iobes};
        assert_eq!(detect_schemes([["O", "O"]]), [Iob1, Iob2, Iobes, Bilou]);
        assert_eq!(detect_schemes([["B-PER", "I-PER"], ["O", "O"]]), [Iob2]);
        assert_eq!(detect_schemes([vec!["I-PER"], vec!["O", "I-PER", "B-PER"]]), [Iob1]);
        assert_eq!(detect_schemes([vec!["O"], vec!["O", "S-PER"]]), [Iobes]);
        assert_eq!(detect_schemes([["U-PER", "O"]]), [Bilou]);
        assert_eq!(detect_schemes([["I-PER"], ["B-PER"]]), []);
    }
}
