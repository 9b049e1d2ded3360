//! Tags of one scheme as tags of another.

use super::check::{InvalidTag, check_tags};
use super::strict::strict_entities;
use super::{Entity, NO_KIND, TagScheme};

/// The same entities, tagged in another scheme.
///
/// # Errors
///
/// If the tags are not as the first scheme requires ([`check_tags`]).
pub fn convert(tags: &[impl AsRef<str>], from: TagScheme, to: TagScheme) -> Result<Vec<String>, InvalidTag> {
    check_tags(tags, from)?;
    Ok(write_tags(&strict_entities(tags, from)?, tags.len(), to))
}

/// The tags of so many tokens with these entities, which are in order and do not overlap. What is beyond the last
/// token is left out.
pub fn write_tags(entities: &[Entity], tokens: usize, scheme: TagScheme) -> Vec<String> {
    let mut tags = vec!["O".to_owned(); tokens];
    let mut previous: Option<&Entity> = None;
    for entity in entities {
        let adjoins =
            previous.is_some_and(|previous| previous.end == entity.start && previous.kind == entity.kind);
        let end = entity.end.min(tokens);
        for (place, tag) in tags.iter_mut().enumerate().take(end).skip(entity.start) {
            let prefix = prefix(scheme, place == entity.start, place + 1 == end, adjoins);
            *tag = match entity.kind.as_str() {
                NO_KIND => prefix.to_string(),
                kind => format!("{prefix}-{kind}"),
            };
        }
        previous = Some(entity);
    }
    tags
}

/// The letter of the first, an inner or the last token of an entity, which perhaps adjoins another of its kind.
fn prefix(scheme: TagScheme, first: bool, last: bool, adjoins: bool) -> char {
    match (scheme, scheme.last_and_single()) {
        (_, Some((_, single))) if first && last => single,
        (_, Some((end, _))) if last => end,
        (TagScheme::Iob1, None) if first && !adjoins => 'I',
        _ if first => 'B',
        _ => 'I',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTITIES: [&str; 4] = [
        "I-PER I-PER B-PER I-LOC O I-LOC I-LOC I-LOC",
        "B-PER I-PER B-PER B-LOC O B-LOC I-LOC I-LOC",
        "B-PER E-PER S-PER S-LOC O B-LOC I-LOC E-LOC",
        "B-PER L-PER U-PER U-LOC O B-LOC I-LOC L-LOC",
    ];

    #[test]
    fn every_scheme_becomes_every_other() {
        for (from, tags) in TagScheme::ALL.into_iter().zip(ENTITIES) {
            let tags: Vec<&str> = tags.split(' ').collect();
            for (to, expected) in TagScheme::ALL.into_iter().zip(ENTITIES) {
                assert_eq!(convert(&tags, from, to).unwrap().join(" "), expected, "{from} {to}");
            }
        }
    }

    #[test]
    fn tags_without_a_kind_stay_without_one() {
        assert_eq!(
            convert(&["B", "I", "O", "B"], TagScheme::Iob2, TagScheme::Iobes).unwrap(),
            ["B", "E", "O", "S"]
        );
    }

    #[test]
    fn invalid_tags_are_not_converted() {
        assert!(convert(&["O", "I-PER"], TagScheme::Iob2, TagScheme::Iobes).is_err());
    }

    #[test]
    fn entities_beyond_the_last_token_are_cut() {
        let entity = Entity { kind: "PER".to_owned(), start: 1, end: 4 };
        assert_eq!(write_tags(&[entity], 3, TagScheme::Iobes), ["O", "B-PER", "E-PER"]);
    }
}
