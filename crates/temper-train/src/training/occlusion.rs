//! Which words of a text matter for its predicted label: each is left out in turn (Li et al. 2016, "Understanding
//! Neural Networks through Representation Erasure").

use temper_data::{EncodeSettings, EncodedSet, UnlabelledText, encode_all};

use super::evaluation::predict;
use super::learner::TaskModel;
use super::loader::EvaluationLoader;
use crate::TrainError;
use crate::tasks::Encoder;

/// Pieces of an example at most; in a long text several words are left out together.
const MOST_PIECES: usize = 40;

/// A part of a text: some words with the white space behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The part as it is in the text.
    pub text: String,
    /// By how much the probability of the predicted label falls without it; none where that was not computed.
    pub effect: Option<f64>,
}

/// What leaving words out costs.
#[derive(Clone, Copy, Debug)]
pub struct OcclusionLimits {
    /// Tokens computed for all examples together: those that come first are explained.
    pub tokens: usize,
    /// Tokens of a batch.
    pub tokens_per_batch: usize,
}

/// The texts of each example in pieces, with the effect of each piece where the model gives an example one label of
/// several and the limit allows it.
///
/// # Errors
/// [`TrainError::Data`] for a text that cannot be encoded.
pub fn occlusion(
    model: &TaskModel,
    examples: &[UnlabelledText],
    encoder: &Encoder<'_>,
    limits: OcclusionLimits,
) -> Result<Vec<Vec<Vec<Piece>>>, TrainError> {
    let mut left = limits.tokens;
    let explain = |example: &UnlabelledText| {
        let mut pieces = in_pieces(example);
        let variants = variants(example, &pieces);
        let inputs: Vec<_> = variants.iter().map(UnlabelledText::input).collect();
        let settings = EncodeSettings { max_length: encoder.max_length, truncation: encoder.truncation };
        let encoded = encode_all(encoder.tokenizer, &inputs, &settings, None)?;
        let enough = encoded.tokens_total <= left;
        if enough && variants.len() > 2 {
            left -= encoded.tokens_total;
            let effects = effects(model, &variants, encoded, (encoder, limits.tokens_per_batch))?;
            for (piece, effect) in pieces.iter_mut().flatten().zip(effects.into_iter().flatten()) {
                piece.effect = effect.is_finite().then_some(effect);
            }
        }
        Ok(pieces)
    };
    examples.iter().map(explain).collect()
}

/// The texts of an example, in [`MOST_PIECES`] pieces of whole words at most.
fn in_pieces(example: &UnlabelledText) -> Vec<Vec<Piece>> {
    let texts = || std::iter::once(&example.text).chain(&example.pair);
    let words: usize = texts().map(|text| text.split_whitespace().count()).sum();
    let size = words.div_ceil(MOST_PIECES).max(1);
    texts().map(|text| pieces(text, size)).collect()
}

/// A text in pieces of so many words; together they are the text.
fn pieces(text: &str, size: usize) -> Vec<Piece> {
    let mut words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    // A piece of only white space belongs to the word before it.
    let mut pieces: Vec<Piece> = Vec::new();
    let mut count = 0;
    for word in words.drain(..) {
        let is_word = !word.trim().is_empty();
        match pieces.last_mut() {
            Some(last) if !is_word || count < size => last.text += word,
            _ => {
                pieces.push(Piece { text: word.into(), effect: None });
                count = 0;
            }
        }
        count += usize::from(is_word);
    }
    pieces
}

/// The example as it is, then without each of its pieces.
fn variants(example: &UnlabelledText, pieces: &[Vec<Piece>]) -> Vec<UnlabelledText> {
    let mut variants = vec![example.clone()];
    for (number, text) in pieces.iter().enumerate() {
        for left_out in 0..text.len() {
            let kept = text.iter().enumerate().filter(|(place, _)| *place != left_out);
            let kept: String = kept.map(|(_, piece)| piece.text.as_str()).collect();
            let mut variant = example.clone();
            match number {
                0 => variant.text = kept,
                _ => variant.pair = Some(kept),
            }
            variants.push(variant);
        }
    }
    variants
}

/// How much less probable the predicted label of the first variant is in each of the others; nothing where examples
/// have no single label.
fn effects(
    model: &TaskModel,
    variants: &[UnlabelledText],
    encoded: EncodedSet,
    (encoder, tokens_per_batch): (&Encoder<'_>, usize),
) -> Result<Option<Vec<f64>>, TrainError> {
    let (features, mut predictions) = model.task.begin(variants, encoded, encoder)?;
    let outputs = predict(model, &EvaluationLoader::new(features, tokens_per_batch));
    outputs.into_iter().enumerate().for_each(|(feature, output)| predictions.add(feature, output));
    let Some(whole) = predictions.probabilities(0) else { return Ok(None) };
    let best = whole.iter().enumerate().rev().max_by(|left, right| left.1.total_cmp(right.1));
    let label = best.map_or(0, |(label, _)| label);
    let without = |variant| predictions.probabilities(variant).map_or(f64::NAN, |found| found[label]);
    Ok(Some((1..variants.len()).map(|variant| whole[label] - without(variant)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, size: usize) -> Vec<String> {
        pieces(text, size).into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn pieces_are_whole_words_and_together_the_text() {
        assert_eq!(words("a  bc\td", 1), ["a  ", "bc\t", "d"]);
        assert_eq!(words(" a b c", 2), [" a b ", "c"]);
        assert_eq!(words("", 1), [""; 0]);
        let long = "wort ".repeat(1000);
        let example = UnlabelledText {
            text: long.clone(),
            pair: Some("x y".into()),
            row: 1,
            ..UnlabelledText::default()
        };
        let found = in_pieces(&example);
        assert!(found.iter().flatten().count() <= MOST_PIECES + 2, "{}", found[0].len());
        assert_eq!(found[0].iter().map(|piece| piece.text.as_str()).collect::<String>(), long);
    }

    #[test]
    fn each_variant_lacks_one_piece() {
        let example = UnlabelledText {
            text: "a b".into(),
            pair: Some("c d".into()),
            row: 1,
            ..UnlabelledText::default()
        };
        let found = variants(&example, &in_pieces(&example));
        let found: Vec<(&str, &str)> =
            found.iter().map(|text| (text.text.as_str(), text.pair.as_deref().unwrap())).collect();
        assert_eq!(found, [("a b", "c d"), ("b", "c d"), ("a ", "c d"), ("a b", "d"), ("a b", "c ")]);
    }
}
