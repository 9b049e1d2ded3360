//! Where an answer is in its context: offsets that are right, those that can be corrected, and all others.

use super::cells::WrittenAnswer;

/// Characters of a text that a message quotes.
const QUOTED: usize = 80;

/// An answer that its context does not have at its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    /// What the context has at the offset, as long as the answer.
    pub found: String,
    /// In how many places the context has the answer, and the first of them, in characters.
    pub places: usize,
    pub first: usize,
    /// True if the answer is at the offset when it counts bytes of UTF-8.
    pub is_bytes: bool,
    /// True if the answer is at the offset when it counts units of UTF-16.
    pub is_utf16: bool,
}

/// The offset of an answer, in characters, if its context has it there.
pub(super) fn find(context: &str, answer: &WrittenAnswer) -> Result<usize, Miss> {
    let start = usize::try_from(answer.start).ok();
    let byte = start.and_then(|start| byte_of_character(context, start));
    let stands = |byte: Option<usize>| {
        byte.and_then(|byte| context.get(byte..)).is_some_and(|rest| rest.starts_with(&answer.text))
    };
    match start {
        Some(start) if stands(byte) => Ok(start),
        _ => {
            let (places, first) = occurrences(context, &answer.text);
            Err(Miss {
                found: byte.map_or_else(String::new, |byte| {
                    let length = answer.text.chars().count();
                    quoted(&context[byte..].chars().take(length).collect::<String>())
                }),
                places,
                first,
                is_bytes: stands(start),
                is_utf16: stands(start.and_then(|start| byte_of_unit(context, start))),
            })
        }
    }
}

/// The start of a text for a message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// What these offsets count instead of characters, if all of them agree.
pub(super) fn common_unit<'a>(mut misses: impl Iterator<Item = &'a Miss> + Clone) -> Option<&'static str> {
    let mut others = misses.clone();
    match (misses.all(|miss| miss.is_bytes), others.all(|miss| miss.is_utf16)) {
        (true, _) => Some("bytes of UTF-8"),
        (false, true) => Some("code units of UTF-16"),
        (false, false) => None,
    }
}

fn byte_of_character(text: &str, character: usize) -> Option<usize> {
    if text.is_ascii() {
        return (character < text.len()).then_some(character);
    }
    text.char_indices().nth(character).map(|(byte, _)| byte)
}

fn byte_of_unit(text: &str, unit: usize) -> Option<usize> {
    let mut units = 0;
    for (byte, character) in text.char_indices() {
        if units >= unit {
            return (units == unit).then_some(byte);
        }
        units += character.len_utf16();
    }
    None
}

/// In how many places a text has a part, which may overlap, and the first of them in characters.
fn occurrences(text: &str, part: &str) -> (usize, usize) {
    let Some(step) = part.chars().next().map(char::len_utf8) else {
        return (0, 0);
    };
    let (mut places, mut first, mut from) = (0, 0, 0);
    while let Some(found) = text[from..].find(part) {
        if places == 0 {
            first = text[..from + found].chars().count();
        }
        places += 1;
        from += found + step;
    }
    (places, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, start: i64) -> WrittenAnswer {
        WrittenAnswer { text: text.into(), start }
    }

    #[test]
    fn offsets_count_characters() {
        let context = "caf\u{e9} \u{1f600} in Paris";
        assert_eq!(find(context, &answer("Paris", 10)), Ok(10));
        assert_eq!(find("in Paris", &answer("Paris", 3)), Ok(3));
        let utf16 = find(context, &answer("Paris", 11)).unwrap_err();
        assert_eq!((utf16.places, utf16.first, utf16.is_bytes, utf16.is_utf16), (1, 10, false, true));
        assert_eq!(utf16.found, "aris");
        let bytes = find(context, &answer("Paris", 14)).unwrap_err();
        assert_eq!((bytes.is_bytes, bytes.is_utf16), (true, false));
        assert_eq!(common_unit([&utf16].into_iter()), Some("code units of UTF-16"));
        assert_eq!(common_unit([&bytes].into_iter()), Some("bytes of UTF-8"));
        assert_eq!(common_unit([&bytes, &utf16].into_iter()), None);
    }

    #[test]
    fn what_stands_elsewhere_is_counted() {
        let miss = |context, text, start| find(context, &answer(text, start)).unwrap_err();
        for (text, places, first) in [("b", 1, 1), ("a", 3, 0), ("aa", 1, 2), ("x", 0, 0), ("abaac", 0, 0)] {
            let miss = miss("abaa", text, 9);
            assert_eq!((miss.places, miss.first, miss.found.as_str()), (places, first, ""), "{text}");
        }
        assert_eq!(miss("baaa", "aa", 0).places, 2, "they may overlap");
        assert_eq!(miss("abc", "b", -1).first, 1);
        assert_eq!(miss("abc", "b", i64::MIN).first, 1);
        assert_eq!(miss("\u{e9}\u{e9}b", "b", 1).found, "\u{e9}");
        let long = "x".repeat(100);
        assert_eq!(miss(&long, &"xy".repeat(50), 0).found.len(), QUOTED + 3);
    }

    #[test]
    fn an_offset_within_a_character_is_no_place() {
        let miss = find("\u{1f600}\u{1f600}ab", &answer("a", 3)).unwrap_err();
        assert!(!miss.is_bytes && !miss.is_utf16, "{miss:?}");
    }
}
