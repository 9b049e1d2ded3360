//! Entities as seqeval and conlleval find them by default: also in tags that no scheme allows.

use super::{Entity, NO_KIND};

/// Prefix and kind of a tag, as `seqeval.metrics.sequence_labeling.get_entities` reads them: the kind is what follows
/// the first hyphen after the prefix, or all that follows the prefix.
fn read(tag: &str) -> (char, &str) {
    // seqeval fails on an empty tag; here it is outside.
    let Some(prefix) = tag.chars().next() else { return ('O', NO_KIND) };
    let rest = &tag[prefix.len_utf8()..];
    let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
    (prefix, if kind.is_empty() { NO_KIND } else { kind })
}

/// The entities of a sequence, in order. Any tags have some: an I that follows O begins an entity, as does one of
/// another kind than the tag before. The tags may be of any scheme.
///
/// Equals `get_entities(tags)` of seqeval 1.2.2, its default mode, which follows the script conlleval of CoNLL-2000;
/// but `end` is the token after the last one.
pub fn lenient_entities(tags: &[impl AsRef<str>]) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut start = 0;
    let mut previous = ('O', NO_KIND);
    for place in 0..=tags.len() {
        let tag = tags.get(place).map_or(('O', NO_KIND), |tag| read(tag.as_ref()));
        if ends(previous, tag) {
            entities.push(Entity { kind: previous.1.to_owned(), start, end: place });
        }
        if starts(previous, tag) {
            start = place;
        }
        previous = tag;
    }
    entities
}

/// `end_of_chunk`: whether an entity ends before a tag.
fn ends(previous: (char, &str), tag: (char, &str)) -> bool {
    match (previous.0, tag.0) {
        ('E' | 'S', _) | ('B' | 'I', 'B' | 'S' | 'O') => true,
        ('O' | '.', _) => false,
        _ => previous.1 != tag.1,
    }
}

/// `start_of_chunk`: whether an entity starts with a tag.
fn starts(previous: (char, &str), tag: (char, &str)) -> bool {
    match (previous.0, tag.0) {
        (_, 'B' | 'S') | ('E' | 'S' | 'O', 'E' | 'I') => true,
        (_, 'O' | '.') => false,
        _ => previous.1 != tag.1,
    }
}
