//! Questions as features: contexts in windows, and where in them an answer begins and ends.

use std::ops::Range;
use std::sync::Arc;

use temper_data::{
    DataError, Encoded, EncodedSet, Question, TextTokenizer, WhichText, Window, WindowInput, WindowSettings,
    encode_windows,
};

use super::Encoder;
use crate::examples::{Features, Target};

/// A part of a context, as a window has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContextWindow {
    /// The token that stands for "no answer in here".
    pub(super) null: usize,
    /// Which token of the window is the first of the context.
    pub(super) first: usize,
    /// The bytes of each of the context's tokens in it.
    pub(super) places: Vec<(u32, u32)>,
}

impl ContextWindow {
    fn of(window: &Window, tokenizer: &TextTokenizer) -> Self {
        let place = |token: usize| window.places[token].map_or((0, 0), |place| (place.start, place.end));
        Self {
            null: null_place(&window.ids, tokenizer),
            first: window.spread.start,
            places: window.spread.clone().map(place).collect(),
        }
    }

    /// The tokens of the window where an answer begins and ends: the last that begins at its first byte or before,
    /// and the first that ends with its last byte or after. Both are the one for "no answer" where there is no answer
    /// or the window does not have the whole of it. As `prepare_train_features` of transformers' run_qa.py (5.23), which
    /// however takes a token after the context where an answer begins with the last token of a window.
    fn ends(&self, answer: Option<Range<usize>>) -> [usize; 2] {
        let none = [self.null; 2];
        let (Some(answer), Some(first), Some(last)) = (answer, self.places.first(), self.places.last())
        else {
            return none;
        };
        if answer.start < first.0 as usize || answer.end > last.1 as usize {
            return none;
        }
        let before = self.places.iter().take_while(|place| place.0 as usize <= answer.start).count();
        let behind = self.places.iter().rev().take_while(|place| place.1 as usize >= answer.end).count();
        [self.first + before - 1, self.first + self.places.len() - behind]
    }
}

/// The position of the token that opens a sequence; the first if a tokenizer has none. As run_qa.py (5.23).
fn null_place(ids: &[u32], tokenizer: &TextTokenizer) -> usize {
    let special = tokenizer.special();
    let place = |wanted: Option<u32>| ids.iter().position(|&id| Some(id) == wanted);
    place(special.cls).or_else(|| place(special.bos)).unwrap_or(0)
}

/// A range of bytes as one of characters.
pub(super) fn characters(text: &str, bytes: Range<usize>) -> Range<usize> {
    let start = text[..bytes.start].chars().count();
    start..start + text[bytes].chars().count()
}

/// Encoded questions.
#[derive(Debug)]
pub(super) struct Contexts {
    pub(super) features: Features,
    /// Of each feature.
    pub(super) windows: Vec<ContextWindow>,
}

/// A split's questions, encoded.
#[derive(Debug)]
pub(super) struct SplitQuestions {
    pub(super) rows: Arc<[Question]>,
    /// Of each feature.
    pub(super) windows: Arc<[ContextWindow]>,
    pub(super) features: Features,
}

/// Encodes questions with their contexts, which are spread over windows. Where `are_known`, the first answer of each is
/// the target.
///
/// # Errors
/// [`DataError::Window`] and those of the tokenizer.
pub(super) fn encode(
    questions: &[Question],
    encoder: &Encoder<'_>,
    are_known: bool,
) -> Result<Contexts, DataError> {
    // As run_qa.py does: some questions of SQuAD begin with much white space.
    let inputs: Vec<WindowInput<'_>> = questions
        .iter()
        .map(|row| WindowInput::Pair { first: row.question.trim_start(), second: &row.context })
        .collect();
    let settings =
        WindowSettings { max_length: encoder.max_length, stride: encoder.stride, spread: WhichText::Second };
    let encoded = encode_windows(encoder.tokenizer, &inputs, &settings)?;
    let windows: Vec<ContextWindow> =
        encoded.iter().map(|window| ContextWindow::of(window, encoder.tokenizer)).collect();
    let mut features =
        Features::unlabelled(EncodedSet::new(encoded.iter().map(Encoded::from).collect(), false));
    features.examples = encoded.iter().map(|window| window.input).collect::<Vec<_>>().into();
    if are_known {
        let answers: Vec<Option<Range<usize>>> = questions.iter().map(first_answer).collect();
        let target = |(window, &example): (&ContextWindow, &usize)| {
            let ends = window.ends(answers[example].clone());
            Target::Ids(ends.map(|end| end as i32).to_vec())
        };
        features.targets = windows.iter().zip(&*features.examples).map(target).collect::<Vec<_>>().into();
    }
    Ok(Contexts { features, windows })
}

/// The bytes of a question's first answer.
fn first_answer(row: &Question) -> Option<Range<usize>> {
    let answer = row.answers.first()?;
    let start = row.context.char_indices().nth(answer.start).map_or(row.context.len(), |(byte, _)| byte);
    Some(start..start + answer.text.len())
}

#[cfg(test)]
mod tests {
    use temper_data::{Answer, Truncation, load_tokenizer};

    use super::*;

    /// Of `[CLS] q [SEP] ab cd [SEP]` with a context of the tokens `ab`, `c` and `d`.
    fn window(places: &[(u32, u32)]) -> ContextWindow {
        ContextWindow { null: 0, first: 3, places: places.to_vec() }
    }

    #[test]
    fn an_answer_begins_and_ends_with_tokens_that_hold_its_ends() {
        let window = window(&[(0, 2), (3, 4), (4, 5), (6, 9)]);
        assert_eq!(window.ends(Some(3..5)), [4, 5]);
        assert_eq!(window.ends(Some(0..2)), [3, 3], "at the beginning");
        assert_eq!(window.ends(Some(6..9)), [6, 6], "at the end");
        assert_eq!(window.ends(Some(0..9)), [3, 6], "all of it");
        // Ends within tokens, and in the space between two.
        assert_eq!(window.ends(Some(1..8)), [3, 6]);
        assert_eq!(window.ends(Some(2..4)), [3, 4]);
    }

    #[test]
    fn without_the_whole_answer_a_window_says_no_answer() {
        let window = ContextWindow { null: 2, ..window(&[(10, 12), (13, 15)]) };
        assert_eq!(window.ends(Some(10..15)), [3, 4]);
        for answer in [None, Some(9..12), Some(13..16), Some(0..3), Some(20..21)] {
            assert_eq!(window.ends(answer.clone()), [2, 2], "{answer:?}");
        }
        let empty = ContextWindow { places: Vec::new(), ..window };
        assert_eq!(empty.ends(Some(0..1)), [2, 2]);
    }

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(characters("aé中x", 1..6), 1..3);
        assert_eq!(characters("aé中x", 6..7), 3..4);
        assert_eq!(characters("", 0..0), 0..0);
    }

    fn question(context: &str, answer: &str) -> Question {
        let byte = context.find(answer).expect("the context has it");
        let answer = Answer { text: answer.into(), start: context[..byte].chars().count() };
        Question {
            id: "1".into(),
            title: None,
            question: "  who ran".into(),
            context: context.into(),
            answers: vec![answer, Answer { text: "not".into(), start: 0 }],
            is_impossible: false,
            row: 1,
        }
    }

    #[test]
    fn windows_that_share_tokens_each_have_their_target() {
        let dir = tempfile::tempdir().unwrap();
        let words = "[PAD] [UNK] [CLS] [SEP] [MASK] who ran zu łodz ada home then far";
        let vocabulary: Vec<&str> = words.split(' ').collect();
        std::fs::write(dir.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
        let tokenizer = load_tokenizer(dir.path()).unwrap();
        let encoder =
            Encoder { tokenizer: &tokenizer, max_length: 9, truncation: Truncation::Head, stride: 2 };
        // Four tokens a window: two are shared.
        let context = "中 ada łodz ran home then";
        let contexts = encode(&[question(context, "łodz ran")], &encoder, true).unwrap();
        let targets: Vec<&[i32]> = contexts
            .features
            .targets
            .iter()
            .map(|target| match target {
                Target::Ids(ids) => ids.as_slice(),
                _ => &[],
            })
            .collect();
        assert_eq!(targets, [[6, 7], [4, 5]]);
        assert_eq!(*contexts.features.examples, [0, 0]);
        let words = |window: &ContextWindow, ends: &[i32]| {
            let place = |end: i32| window.places[end as usize - window.first];
            context[place(ends[0]).0 as usize..place(ends[1]).1 as usize].to_owned()
        };
        for (window, ends) in contexts.windows.iter().zip(targets) {
            assert_eq!(words(window, ends), "łodz ran");
        }
        // Cut in two by the border of both windows.
        let contexts = encode(&[question(context, "ada łodz ran home then")], &encoder, true).unwrap();
        assert_eq!(*contexts.features.targets, [Target::Ids(vec![0, 0]), Target::Ids(vec![0, 0])]);
        let unknown = encode(&[question(context, "ran")], &encoder, false).unwrap();
        assert_eq!(*unknown.features.targets, [Target::Unknown, Target::Unknown]);
        assert_eq!(*unknown.features.weights, [1.0, 1.0]);
    }
}
