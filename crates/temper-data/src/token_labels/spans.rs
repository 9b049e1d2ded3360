//! Spans of a raw text to words with BIO tags.

use std::ops::Range;

use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::entries::FileRow;
use super::{TagError, TaggedText};
use crate::{DataError, Value};

/// A labelled part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntitySpan {
    /// First character and the one after the last, in Unicode scalar values.
    characters: Range<usize>,
    pub label: String,
}

/// The words of a text, as ranges of bytes: parts between white space, of which each punctuation mark is a word of
/// its own (BertPreTokenizer of tokenizers 0.23; BasicTokenizer in Devlin et al. 2019).
///
/// # Examples
/// ```
/// let text = "Ada's engine.";
/// let words: Vec<&str> = temper_data::split_words(text).into_iter().map(|range| &text[range]).collect();
/// assert_eq!(words, ["Ada", "'", "s", "engine", "."]);
/// ```
pub fn split_words(text: &str) -> Vec<Range<usize>> {
    let mut parts = PreTokenizedString::from(text);
    // Both of its rules are functions of characters, which cannot fail.
    let split = BertPreTokenizer.pre_tokenize(&mut parts);
    debug_assert!(split.is_ok());
    let parts = parts.get_splits(OffsetReferential::Original, OffsetType::Byte);
    parts.into_iter().map(|(_, (start, end), _)| start..end).filter(|range| !range.is_empty()).collect()
}

/// The spans of a cell, in the order of the text; `None` for a cell without any list.
///
/// Each is an object with `start`, `end` and `label`, or a list of these three.
pub(super) fn read(
    value: &Value,
    place: FileRow<'_>,
    column: &str,
) -> Result<Option<Vec<EntitySpan>>, DataError> {
    let list = match value {
        Value::Null => return Ok(None),
        Value::List(list) => list,
        other => {
            return Err(DataError::from(TagError::NotList {
                file: place.file.to_path_buf(),
                row: place.row,
                column: column.to_string(),
                found: other.kind(),
            }));
        }
    };
    let mut spans = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        spans.push(span(value).map_err(|reason| failed(place, format!("span {}: {reason}", index + 1)))?);
    }
    spans.sort_by_key(|span| (span.characters.start, span.characters.end));
    Ok(Some(spans))
}

fn span(value: &Value) -> Result<EntitySpan, String> {
    let parts = match value {
        Value::List(parts) if parts.len() == 3 => [Some(&parts[0]), Some(&parts[1]), Some(&parts[2])],
        Value::Struct(_) => ["start", "end", "label"].map(|name| value.part(name)),
        other => return Err(format!("{} where an object or a list of three is needed", other.kind())),
    };
    let number = |part: Option<&Value>, name: &str| match part {
        Some(Value::Int(number)) => {
            usize::try_from(*number).map_err(|_| format!("its {name} is {number}, below 0"))
        }
        other => Err(format!("its {name} is {}", other.map_or("missing", Value::kind))),
    };
    let (start, end) = (number(parts[0], "start")?, number(parts[1], "end")?);
    match parts[2] {
        Some(Value::Text(label)) if !label.trim().is_empty() => {
            Ok(EntitySpan { characters: start..end, label: label.clone() })
        }
        Some(Value::Text(_)) => Err("its label is empty".into()),
        other => Err(format!("its label is {}", other.map_or("missing", Value::kind))),
    }
}

fn failed(place: FileRow<'_>, reason: String) -> DataError {
    DataError::from(TagError::Span { file: place.file.to_path_buf(), row: place.row, reason })
}

/// A text's words and the names of their tags: those of [`split_words`], cut at the borders of spans, so that each
/// span is whole words.
pub(super) fn tagged(
    text: &str,
    spans: &[EntitySpan],
    place: FileRow<'_>,
) -> Result<(Vec<String>, Vec<String>), DataError> {
    let ranges = byte_ranges(text, spans).map_err(|reason| failed(place, reason))?;
    let mut words = Vec::new();
    let mut tags = Vec::new();
    let mut used = vec![false; spans.len()];
    let mut next = 0;
    for word in cut(split_words(text), &ranges) {
        while ranges.get(next).is_some_and(|range| range.end <= word.start) {
            next += 1;
        }
        let is_inside = ranges.get(next).is_some_and(|range| range.start <= word.start);
        tags.push(match is_inside {
            true if std::mem::replace(&mut used[next], true) => format!("I-{}", spans[next].label),
            true => format!("B-{}", spans[next].label),
            false => "O".to_string(),
        });
        words.push(text[word].to_string());
    }
    match used.iter().position(|used| !used) {
        Some(empty) => Err(failed(place, format!("{} holds no word", named(&spans[empty])))),
        None => Ok((words, tags)),
    }
}

/// The spans in bytes, if they are in the text and do not overlap.
fn byte_ranges(text: &str, spans: &[EntitySpan]) -> Result<Vec<Range<usize>>, String> {
    let mut starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
    starts.push(text.len());
    for (index, span) in spans.iter().enumerate() {
        let Range { start, end } = span.characters;
        if start >= end {
            return Err(format!("{} has no characters", named(span)));
        }
        if end >= starts.len() {
            return Err(format!(
                "{} ends beyond the text, which has {} characters",
                named(span),
                starts.len() - 1
            ));
        }
        if let Some(next) = spans.get(index + 1).filter(|next| next.characters.start < end) {
            return Err(format!("{} and {} overlap", named(span), named(next)));
        }
    }
    Ok(spans.iter().map(|span| starts[span.characters.start]..starts[span.characters.end]).collect())
}

fn named(span: &EntitySpan) -> String {
    format!("the span {} to {} (`{}`)", span.characters.start, span.characters.end, span.label)
}

/// Words cut where a span begins or ends; both are in the order of the text.
fn cut(words: Vec<Range<usize>>, spans: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut borders = spans.iter().flat_map(|span| [span.start, span.end]).peekable();
    let mut parts = Vec::with_capacity(words.len());
    for Range { mut start, end } in words {
        while let Some(border) = borders.next_if(|border| *border < end) {
            if border > start {
                parts.push(start..border);
                start = border;
            }
        }
        parts.push(start..end);
    }
    parts
}

impl TaggedText {
    /// Of each word, its range of bytes in the text; `None` where the source has words alone.
    pub fn ranges(&self) -> Option<Vec<Range<usize>>> {
        let text = self.text.as_deref()?;
        let mut end = 0;
        let range = |word: &String| {
            let start = end + text[end..].find(word.as_str())?;
            end = start + word.len();
            Some(start..end)
        };
        self.words.iter().map(range).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn place() -> FileRow<'static> {
        FileRow { file: Path::new("a.jsonl"), row: 4 }
    }

    fn list(start: i64, end: i64, label: &str) -> Value {
        Value::List(vec![Value::Int(start), Value::Int(end), Value::Text(label.into())])
    }

    fn object(parts: &[(&str, Value)]) -> Value {
        Value::Struct(parts.iter().map(|(name, value)| (name.to_string(), value.clone())).collect())
    }

    /// Words with their tags, as `word/tag`.
    fn tags(text: &str, spans: Vec<Value>) -> Result<String, String> {
        let spans = read(&Value::List(spans), place(), "spans").map_err(|error| error.to_string())?;
        let (words, tags) = tagged(text, &spans.unwrap(), place()).map_err(|error| error.to_string())?;
        let parts: Vec<String> = words.iter().zip(&tags).map(|(word, tag)| format!("{word}/{tag}")).collect();
        let row = TaggedText { words, tags: Vec::new(), text: Some(text.into()), row: 4 };
        let found: Vec<&str> = row.ranges().unwrap().into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, row.words, "where the words stand");
        Ok(parts.join(" "))
    }

    #[test]
    fn spans_become_words_with_bio_tags() {
        let ada = object(&[
            ("label", Value::Text("PER".into())),
            ("start", Value::Int(6)),
            ("end", Value::Int(18)),
            ("token_start", Value::Int(1)),
        ]);
        assert_eq!(
            tags("Hello Ada Lovelace, of (London).", vec![list(24, 30, "LOC"), ada]).unwrap(),
            "Hello/O Ada/B-PER Lovelace/I-PER ,/O of/O (/O London/B-LOC )/O ./O"
        );
        assert_eq!(tags("a b", vec![]).unwrap(), "a/O b/O");
        assert_eq!(tags(" \n", vec![]).unwrap(), "");
    }

    #[test]
    fn offsets_are_characters_and_not_bytes_or_utf_16_units() {
        let text = "caf\u{e9} \u{1f600} in \u{6771}\u{4eac} ok";
        assert_eq!(
            tags(text, vec![list(5, 6, "E"), list(10, 12, "LOC")]).unwrap(),
            "caf\u{e9}/O \u{1f600}/B-E in/O \u{6771}\u{4eac}/B-LOC ok/O"
        );
    }

    #[test]
    fn words_are_cut_where_a_span_begins_or_ends() {
        assert_eq!(
            tags("preParispost Rome", vec![list(3, 8, "LOC"), list(8, 12, "X"), list(12, 15, "Y")]).unwrap(),
            "pre/O Paris/B-LOC post/B-X Ro/B-Y me/O"
        );
        // White space at its borders is no part of a word.
        assert_eq!(tags("in Paris .", vec![list(2, 9, "LOC")]).unwrap(), "in/O Paris/B-LOC ./O");
        assert_eq!(
            tags("U.S. Navy", vec![list(0, 9, "ORG")]).unwrap(),
            "U/B-ORG ./I-ORG S/I-ORG ./I-ORG Navy/I-ORG"
        );
    }

    #[test]
    fn spans_that_cannot_be_are_refused_with_their_row() {
        let label = || Value::Text("X".into());
        for (spans, part) in [
            (vec![list(0, 6, "X")], "ends beyond the text, which has 5 characters"),
            (vec![list(0, i64::MAX, "X")], "ends beyond the text"),
            (vec![list(2, 2, "X")], "the span 2 to 2 (`X`) has no characters"),
            (vec![list(3, 1, "X")], "has no characters"),
            (vec![list(-1, 1, "X")], "its start is -1, below 0"),
            (vec![list(0, 3, "X"), list(2, 4, "Y")], "0 to 3 (`X`) and the span 2 to 4 (`Y`) overlap"),
            (vec![list(0, 3, "X"), list(0, 3, "X")], "overlap"),
            (vec![list(2, 3, "X")], "holds no word"),
            (vec![list(0, 1, " ")], "its label is empty"),
            (vec![object(&[("start", Value::Int(0)), ("end", Value::Int(1))])], "its label is missing"),
            (vec![Value::List(vec![Value::Int(0), Value::Float(1.5), label()])], "its end is a number"),
            (vec![list(0, 1, "X"), Value::List(vec![Value::Int(0)])], "span 2: a list where an object"),
            (
                vec![Value::List(vec![Value::Int(0), Value::Int(1), Value::Int(2)])],
                "its label is a whole number",
            ),
        ] {
            let message = tags("ab cd", spans).unwrap_err();
            assert!(message.contains("a.jsonl, row 4: "), "{message}");
            assert!(message.contains(part), "{part} not in: {message}");
        }
    }

    #[test]
    fn nothing_is_no_list_of_spans_and_text_is_an_error() {
        assert_eq!(read(&Value::Null, place(), "spans").unwrap(), None);
        assert_eq!(read(&Value::List(vec![]), place(), "spans").unwrap(), Some(vec![]));
        let error = read(&Value::Text("[]".into()), place(), "spans").unwrap_err();
        assert!(error.to_string().contains("row 4: column `spans` holds text where a list"), "{error}");
    }
}
