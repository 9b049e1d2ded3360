//! Entities as seqeval finds them in its strict mode: only those that are tagged as a scheme requires.

use super::check::InvalidTag;
use super::scheme::Tag;
use super::{Entity, TagScheme};

/// The entities of a sequence, in order, that are tagged as the scheme requires; others are skipped.
///
/// Equals `seqeval.scheme.Tokens(tags, scheme).entities` of seqeval 1.2.2, which its `mode="strict"` scores.
///
/// # Errors
///
/// If a tag is none of the scheme's, where seqeval raises an exception.
pub fn strict_entities(tags: &[impl AsRef<str>], scheme: TagScheme) -> Result<Vec<Entity>, InvalidTag> {
    let mut read = Vec::with_capacity(tags.len() + 1);
    for (place, tag) in tags.iter().enumerate() {
        let tag = tag.as_ref();
        let Some(parts) = Tag::read(tag, scheme) else {
            return Err(InvalidTag::Unknown { place, tag: tag.to_owned(), scheme });
        };
        read.push(parts);
    }
    read.push(Tag::OUTSIDE);
    let mut entities = Vec::new();
    let (mut place, mut previous) = (0, Tag::OUTSIDE);
    while place < read.len() {
        if scheme.starts(previous, read[place]) {
            let mut end = place + 1;
            while end < read.len() && scheme.goes_on(read[end - 1], read[end]) {
                end += 1;
            }
            // Nothing continues in the tag O after the last, so that `end` is at most its place.
            if scheme.ends(read[end - 1], read[end]) {
                entities.push(Entity { kind: read[place].kind.to_owned(), start: place, end });
            }
            place = end;
        } else {
            place += 1;
        }
        previous = read[place - 1];
    }
    Ok(entities)
}

/// The patterns of `seqeval/scheme.py`.
impl TagScheme {
    /// `start_patterns`: whether a tag starts an entity.
    fn starts(self, previous: Tag<'_>, tag: Tag<'_>) -> bool {
        let same = previous.kind == tag.kind;
        match self {
            Self::Iob1 => match (previous.prefix, tag.prefix) {
                ('O' | 'B', 'I') => true,
                ('I', 'I') => !same,
                ('I' | 'B', 'B') => same,
                _ => false,
            },
            Self::Iob2 => tag.prefix == 'B',
            Self::Iobes => matches!(tag.prefix, 'B' | 'S'),
            Self::Bilou => matches!(tag.prefix, 'B' | 'U'),
        }
    }

    /// `inside_patterns`: whether a tag continues with the entity of the tag before.
    fn goes_on(self, previous: Tag<'_>, tag: Tag<'_>) -> bool {
        let last = self.last_and_single().map(|(last, _)| last);
        matches!(previous.prefix, 'B' | 'I')
            && (tag.prefix == 'I' || Some(tag.prefix) == last)
            && previous.kind == tag.kind
    }

    /// `end_patterns`: whether an entity may end between two tags.
    fn ends(self, previous: Tag<'_>, tag: Tag<'_>) -> bool {
        let same = previous.kind == tag.kind;
        match (self, previous.prefix, tag.prefix) {
            (Self::Iob1 | Self::Iob2, 'B' | 'I', 'O') => true,
            (Self::Iob1 | Self::Iob2, 'B' | 'I', 'I') => !same,
            (Self::Iob1, 'B', 'B') => same,
            (Self::Iob1, 'I', 'B') | (Self::Iob2, 'B' | 'I', 'B') => true,
            (Self::Iobes, 'E' | 'S', _) | (Self::Bilou, 'L' | 'U', _) => true,
            _ => false,
        }
    }
}
