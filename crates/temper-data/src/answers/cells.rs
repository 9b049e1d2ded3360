//! The answers of a row, in the forms that files have.

use crate::Value;

/// What an answer's offset is called.
const START: [&str; 2] = ["answer_start", "start"];

/// An answer as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenAnswer {
    pub text: String,
    pub start: i64,
}

/// The answers of a cell; `start` is the cell of an offset next to it.
///
/// They are an object with the lists `text` and `answer_start`, as on the Hub; an object with one of each; a list of such
/// objects, as in SQuAD's own files; or text, with its offset in a column of its own.
pub(super) fn answers(value: &Value, start: Option<&Value>) -> Result<Vec<WrittenAnswer>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Struct(_) => object(value),
        Value::List(items) => {
            let mut answers = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    Value::Struct(_) => answers.extend(object(item)?),
                    other => return Err(format!("{} in the list of answers", other.kind())),
                }
            }
            Ok(answers)
        }
        text @ Value::Text(_) => pairs(Some(text), start),
        other => Err(format!("{} in place of answers", other.kind())),
    }
}

/// The answers of an object.
fn object(value: &Value) -> Result<Vec<WrittenAnswer>, String> {
    pairs(value.part("text"), START.iter().find_map(|name| value.part(name)))
}

/// Texts with their offsets: two lists, or one of each.
fn pairs(texts: Option<&Value>, starts: Option<&Value>) -> Result<Vec<WrittenAnswer>, String> {
    match (texts, starts) {
        (Some(Value::List(texts)), Some(Value::List(starts))) if texts.len() == starts.len() => {
            texts.iter().zip(starts).map(|(text, start)| pair(text, start)).collect()
        }
        (Some(Value::List(texts)), Some(Value::List(starts))) => {
            Err(format!("{} answers, but {} offsets", texts.len(), starts.len()))
        }
        (Some(Value::Null), Some(Value::Null)) => Ok(Vec::new()),
        (Some(text @ Value::Text(_)), Some(start)) => pair(text, start).map(|answer| vec![answer]),
        (Some(Value::Text(_) | Value::List(_)), None) => Err("an answer without `answer_start`".into()),
        (Some(text), _) => Err(format!("{} in place of the text of an answer", text.kind())),
        (None, _) => Err("an answer without `text`".into()),
    }
}

fn pair(text: &Value, start: &Value) -> Result<WrittenAnswer, String> {
    match (text, start) {
        (Value::Text(text), _) if text.is_empty() => Err("an answer without characters".into()),
        (Value::Text(text), Value::Int(start)) => Ok(WrittenAnswer { text: text.clone(), start: *start }),
        (Value::Text(text), other) => Err(format!("the offset of the answer `{text}` is {}", other.kind())),
        (other, _) => Err(format!("{} in place of the text of an answer", other.kind())),
    }
}

/// Whether a cell says that a context does not answer; `None` where it says nothing.
pub(super) fn is_impossible(value: Option<&Value>) -> Result<Option<bool>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(truth)) => Ok(Some(*truth)),
        Some(Value::Int(number @ (0 | 1))) => Ok(Some(*number == 1)),
        Some(other) => Err(format!("`is_impossible` holds {}, not true or false", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn object(parts: &[(&str, Value)]) -> Value {
        Value::Struct(parts.iter().map(|(name, value)| (name.to_string(), value.clone())).collect())
    }

    fn list(items: &[Value]) -> Value {
        Value::List(items.to_vec())
    }

    #[test]
    fn answers_have_four_forms() {
        let one = vec![WrittenAnswer { text: "Denver".into(), start: 3 }];
        let single = object(&[("answer_start", Value::Int(3)), ("text", text("Denver"))]);
        let lists = object(&[("text", list(&[text("Denver")])), ("answer_start", list(&[Value::Int(3)]))]);
        let short = object(&[("text", text("Denver")), ("start", Value::Int(3))]);
        for cell in [lists, single.clone(), list(std::slice::from_ref(&single)), list(&[short])] {
            assert_eq!(answers(&cell, None), Ok(one.clone()), "{cell:?}");
        }
        assert_eq!(answers(&text("Denver"), Some(&Value::Int(3))), Ok(one));
        assert_eq!(answers(&list(&[single.clone(), single]), None).unwrap().len(), 2);
        let none = object(&[("text", list(&[])), ("answer_start", list(&[]))]);
        for cell in [Value::Null, list(&[]), none] {
            assert_eq!(answers(&cell, None), Ok(vec![]), "{cell:?}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let starts = ("answer_start", list(&[Value::Int(3)]));
        for (cell, part) in [
            (Value::Int(3), "a whole number in place of answers"),
            (text("Denver"), "without `answer_start`"),
            (list(&[text("Denver")]), "text in the list of answers"),
            (object(std::slice::from_ref(&starts)), "without `text`"),
            (object(&[("text", list(&[text("Denver")]))]), "without `answer_start`"),
            (object(&[("text", list(&[])), starts.clone()]), "0 answers, but 1 offsets"),
            (object(&[("text", list(&[text("")])), starts.clone()]), "without characters"),
            (object(&[("text", list(&[Value::Null])), starts.clone()]), "nothing in place of the text"),
            (object(&[("text", Value::Null), starts]), "nothing in place of the text"),
            (
                object(&[("text", text("a")), ("answer_start", Value::Float(0.5))]),
                "the offset of the answer `a` is a number",
            ),
        ] {
            let reason = answers(&cell, None).unwrap_err();
            assert!(reason.contains(part), "{part} not in: {reason}");
        }
    }

    #[test]
    fn impossible_is_true_or_false_or_not_said() {
        assert_eq!(is_impossible(None), Ok(None));
        assert_eq!(is_impossible(Some(&Value::Null)), Ok(None));
        assert_eq!(is_impossible(Some(&Value::Bool(true))), Ok(Some(true)));
        assert_eq!(is_impossible(Some(&Value::Int(0))), Ok(Some(false)));
        assert!(is_impossible(Some(&Value::Int(2))).is_err());
        assert!(is_impossible(Some(&text("yes"))).is_err());
    }
}
