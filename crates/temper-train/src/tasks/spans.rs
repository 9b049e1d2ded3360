//! Questions as features: contexts in windows, and where in them an answer begins and ends.

use std::ops::Range;

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
    /// and the first that ends with its last byte or behind. Both are the one for "no answer" where there is no answer
    /// or the window does not have the whole of it. As `prepare_train_features` of transformers' run_qa.py (5.23), which
    /// however takes a token behind the context where an answer begins with the last token of a window.
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

/// Where the token stands that opens a sequence; the first where a tokenizer has none. As run_qa.py (5.23).
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
