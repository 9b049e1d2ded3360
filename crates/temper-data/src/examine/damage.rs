//! Texts that are empty, were decoded wrongly once, or hold HTML.

use super::asked::Examined;
use super::finding::{Finding, FindingKind};
use super::placed::{ExaminedSplits, all};

/// Finds such texts.
pub(super) fn find<R: Examined>(splits: &ExaminedSplits<'_, R>) -> Vec<Finding> {
    let (mut empty, mut damaged, mut markup) = (Vec::new(), Vec::new(), Vec::new());
    for (split, row) in all(splits) {
        let texts = row.record.texts();
        // One text of a row is enough to name it.
        if let Some((role, _)) = texts.iter().find(|(_, text)| text.trim().is_empty()) {
            empty.push(row.spot(split, Some((*role).to_string())));
        }
        if let Some(reason) = texts.iter().find_map(|(_, text)| damage(text)) {
            damaged.push(row.spot(split, Some(reason)));
        }
        if texts.iter().any(|(_, text)| has_markup(text)) {
            markup.push(row.spot(split, None));
        }
    }
    let found =
        [(FindingKind::EmptyText, empty), (FindingKind::DamagedText, damaged), (FindingKind::Markup, markup)];
    found.into_iter().filter_map(|(kind, rows)| Finding::of_rows(kind, rows)).collect()
}

/// What shows that a text was decoded wrongly.
fn damage(text: &str) -> Option<String> {
    if text.contains('\u{FFFD}') {
        return Some("has U+FFFD where a character could not be decoded".into());
    }
    if let Some(control) =
        text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}'))
    {
        return Some(format!("has the control character U+{:04X}", u32::from(control)));
    }
    let (found, meant) = decoded_twice(text)?;
    Some(format!("has `{found}`, which is `{meant}` in UTF-8 read as windows-1252"))
}

/// The first characters that are the bytes of others in UTF-8, read as windows-1252; and those others.
fn decoded_twice(text: &str) -> Option<(String, String)> {
    // Pure ASCII, which is most text, cannot be.
    if text.is_ascii() {
        return None;
    }
    let runs = text.split(|c: char| c.is_ascii() || byte_of(c).is_none());
    runs.filter(|run| run.chars().nth(1).is_some()).find_map(|run| {
        let bytes: Vec<u8> = run.chars().filter_map(byte_of).collect();
        let meant = String::from_utf8(bytes).ok()?;
        Some((run.to_string(), meant))
    })
}

/// The byte of a character in windows-1252, where bytes that it leaves undefined are C1 controls.
fn byte_of(character: char) -> Option<u8> {
    /// The characters of the bytes 0x80 to 0x9F; U+0000 where there is none.
    const HIGH: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’',
        '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    if let Ok(byte) = u8::try_from(u32::from(character)) {
        return Some(byte);
    }
    let place = HIGH.iter().position(|high| *high == character)?;
    u8::try_from(0x80 + place).ok()
}

/// Whether a text has the HTML that is often left in texts from the web.
fn has_markup(text: &str) -> bool {
    const MARKS: [&str; 11] =
        ["<br", "<p>", "</p>", "<div", "</a>", "</span>", "&amp;", "&quot;", "&lt;", "&nbsp;", "&#39;"];
    (text.contains('<') || text.contains('&')) && MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_decoded_twice_are_named_with_what_was_meant() {
        for (text, found, meant) in
            [("Le cafÃ© est bon", "Ã©", "é"), ("It doesnâ€™t", "â€™", "’"), ("GrÃ¼ÃŸe", "Ã¼ÃŸ", "üß")]
        {
            assert_eq!(decoded_twice(text), Some((found.into(), meant.into())), "{text}");
        }
    }

    #[test]
    fn sound_texts_are_left_alone() {
        for text in [
            "Le café est bon",
            "“It doesn’t” – he said…",
            "Übergrößenträger",
            "naïve façade, ÀÉÎÕÜ",
            "日本語のテキスト",
            "a\tb\nc\r\n",
            "R&D, 3 < 4 > 2",
        ] {
            assert_eq!(damage(text), None, "{text}");
            assert!(!has_markup(text), "{text}");
        }
        assert!(damage("a\u{0}b").unwrap().contains("U+0000"));
        assert!(damage("caf\u{FFFD}").unwrap().contains("U+FFFD"));
        assert!(has_markup("fine.<br /><br />But") && has_markup("Q&amp;A"));
    }
}
