//! The most probable tokens for the masked tokens of texts.

use serde_json::{Map, Value, json};
use temper_data::TextTokenizer;

use super::{Decoded, Output, Predictions};
use crate::terminal::field;

/// Tokens that are proposed for each masked one.
pub(super) const BEST: usize = 5;

/// Proposals for the masked tokens of texts.
pub(super) struct FilledTexts {
    tokenizer: TextTokenizer,
    /// Whether an output begins with the probability that the second text follows the first.
    has_next_sentence: bool,
    texts: Vec<FilledText>,
}

#[derive(Clone, Default)]
struct FilledText {
    /// That the second text follows the first.
    follows: Option<f32>,
    /// By masked token: ids with their probabilities, the best first.
    best: Vec<Vec<(u32, f32)>>,
}

impl FilledTexts {
    /// None yet, of so many texts.
    pub(super) fn new(tokenizer: TextTokenizer, texts: usize, has_next_sentence: bool) -> Self {
        Self { tokenizer, has_next_sentence, texts: vec![FilledText::default(); texts] }
    }

    fn token(&self, id: u32) -> String {
        self.tokenizer.token(id).unwrap_or_default()
    }
}

impl Predictions for FilledTexts {
    fn add(&mut self, feature: usize, output: Output) {
        let mut rows = output.logits.chunks_exact(2);
        let follows = if self.has_next_sentence { rows.next().map(|row| row[0]) } else { None };
        let tokens: Vec<(u32, f32)> = rows.map(|row| (row[0] as u32, row[1])).collect();
        self.texts[feature] = FilledText { follows, best: tokens.chunks(BEST).map(<[_]>::to_vec).collect() };
    }

    fn decode(&self, example: usize) -> Decoded {
        let FilledText { follows, best } = &self.texts[example];
        let named = |&(id, probability): &(u32, f32)| json!({"token": self.token(id), "id": id, "probability": probability});
        let filled: Vec<Vec<Value>> = best.iter().map(|best| best.iter().map(named).collect()).collect();
        let first = |best: &Vec<(u32, f32)>| {
            let (id, probability) = best.first().copied().unwrap_or_default();
            format!("{}\t{probability:.4}", field(&self.token(id)))
        };
        let follows_line = follows.map(|follows| format!("follows\t{follows:.4}"));
        let lines: Vec<String> = follows_line.into_iter().chain(best.iter().map(first)).collect();
        let mut fields = Map::from_iter([("filled".to_owned(), json!(filled))]);
        fields.extend(follows.map(|follows| ("follows".to_owned(), json!(follows))));
        Decoded { line: lines.join("\t"), fields }
    }
}
