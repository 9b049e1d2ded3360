//! Documents to sequences of tokens, each with the tokens that are to be predicted.

use rayon::prelude::*;

use super::Document;
use crate::panics::caught;
use crate::{DataError, TextTokenizer};

/// How documents become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanguageSettings {
    /// Tokens of a sequence at most, special tokens included.
    pub max_length: usize,
}

/// Tokens that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageSequence {
    /// The document that it is a part of.
    pub document: usize,
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether each token is to be predicted from those before it; never the first.
    pub is_predicted: Vec<bool>,
    /// Bytes of the text of the predicted tokens.
    pub bytes: usize,
    /// Tokens that were left out, of a completion that is too long.
    pub tokens_lost: usize,
}

/// A token with the end of its text in bytes.
struct TokenWithEnd {
    id: u32,
    end: usize,
    /// True if the token is only read and not learned: of a prompt, or of the layout before the text.
    is_given: bool,
}

/// Encodes documents in parallel, the same on every machine.
///
/// A text has its tokenizer's layout, with the token that ends a sequence after it. A document is cut into
/// sequences of at most `max_length` tokens. Each begins with the last token of the previous one, so that every token but
/// the first of the document is predicted once. A text of which a part is learned is one sequence: a token with a byte of
/// that part is predicted, as is the end that is put after. What is too long is cut at its end.
///
/// # Errors
/// [`DataError::MaxLengthTooSmall`]; [`DataError::Encode`] with the document.
pub fn encode_documents(
    tokenizer: &TextTokenizer,
    documents: &[Document],
    settings: &LanguageSettings,
) -> Result<Vec<LanguageSequence>, DataError> {
    let special = tokenizer.special_count(false);
    // One token before and one to predict.
    if settings.max_length < special.max(1) + 1 {
        return Err(DataError::MaxLengthTooSmall {
            max_length: settings.max_length,
            special: special.max(1),
        });
    }
    let encoded: Vec<Result<Vec<LanguageSequence>, DataError>> = documents
        .par_iter()
        .enumerate()
        .map(|(index, document)| {
            let tokens = tokens(tokenizer, document, index)?;
            Ok(match document.learned {
                Some(_) => one_sequence(tokens, index, settings.max_length).into_iter().collect(),
                None => chunks(&tokens, index, settings.max_length),
            })
        })
        .collect();
    let encoded = encoded.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(encoded.into_iter().flatten().collect())
}

/// The tokens of a document as the tokenizer lays it out, with the end of a sequence after it.
fn tokens(
    tokenizer: &TextTokenizer,
    document: &Document,
    index: usize,
) -> Result<Vec<TokenWithEnd>, DataError> {
    let text = &document.text;
    let failed = |reason: String| DataError::Encode { example: index, reason };
    let encoding = caught(|| tokenizer.inner().encode(text.as_str(), true)).map_err(failed)?;
    let encoding = encoding.map_err(|error| failed(error.to_string()))?;
    // The text of a token, with the white space before it, begins where that of the previous one ends.
    let is_learned = |place: std::ops::Range<usize>| match &document.learned {
        None => true,
        Some(learned) => learned.iter().any(|part| part.start < place.end && place.start < part.end),
    };
    let is_special = encoding.get_special_tokens_mask();
    let last_of_text = is_special.iter().rposition(|&special| special == 0);
    let mut end = 0;
    let mut tokens: Vec<TokenWithEnd> = Vec::with_capacity(encoding.len() + 1);
    for (place, (&id, &(_, token_end))) in encoding.get_ids().iter().zip(encoding.get_offsets()).enumerate() {
        let is_before = last_of_text.is_some_and(|last| is_special[place] == 1 && place < last);
        let begin = end;
        end = end.max(token_end);
        let is_of_text = is_special[place] == 0 || begin < end;
        tokens.push(TokenWithEnd { id, end, is_given: is_before || (is_of_text && !is_learned(begin..end)) });
    }
    if let Some(eos) = tokenizer.special().eos.filter(|_| !document.has_end)
        && tokens.last().is_none_or(|last| last.id != eos)
    {
        tokens.push(TokenWithEnd { id: eos, end: text.len(), is_given: false });
    }
    Ok(tokens)
}

/// A sequence of tokens; nothing where none of them is predicted.
fn sequence(tokens: &[TokenWithEnd], document: usize, tokens_lost: usize) -> Option<LanguageSequence> {
    let is_predicted: Vec<bool> =
        tokens.iter().enumerate().map(|(place, token)| place > 0 && !token.is_given).collect();
    if !is_predicted.contains(&true) {
        return None;
    }
    // The text of a token begins where that of the previous one ends.
    let lengths = tokens.windows(2).map(|pair| pair[1].end - pair[0].end);
    let bytes = lengths
        .zip(&is_predicted[1..])
        .filter(|(_, is_predicted)| **is_predicted)
        .map(|(length, _)| length)
        .sum();
    let ids = tokens.iter().map(|token| token.id).collect();
    Some(LanguageSequence { document, ids, is_predicted, bytes, tokens_lost })
}

fn one_sequence(
    mut tokens: Vec<TokenWithEnd>,
    document: usize,
    max_length: usize,
) -> Option<LanguageSequence> {
    let lost = tokens.len().saturating_sub(max_length);
    tokens.truncate(max_length);
    sequence(&tokens, document, lost)
}

/// Sequences that share a token with the previous one.
fn chunks(tokens: &[TokenWithEnd], document: usize, max_length: usize) -> Vec<LanguageSequence> {
    let starts = (0..tokens.len().saturating_sub(1)).step_by(max_length - 1);
    let chunk = |start: usize| sequence(&tokens[start..(start + max_length).min(tokens.len())], document, 0);
    starts.filter_map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(count: usize, given: usize) -> Vec<TokenWithEnd> {
        (0..count)
            .map(|place| TokenWithEnd { id: place as u32, end: 3 * (place + 1), is_given: place < given })
            .collect()
    }

    #[test]
    fn every_token_but_the_first_is_predicted_once() {
        for (count, max_length) in [(1, 4), (2, 4), (4, 4), (5, 4), (7, 4), (8, 4), (30, 7), (9, 2)] {
            let tokens = tokens(count, 0);
            let chunks = chunks(&tokens, 0, max_length);
            let predicted: Vec<u32> = chunks
                .iter()
                .flat_map(|chunk| chunk.ids.iter().zip(&chunk.is_predicted))
                .filter_map(|(&id, &is_predicted)| is_predicted.then_some(id))
                .collect();
            assert_eq!(predicted, (1..count as u32).collect::<Vec<_>>(), "{count} in {max_length}");
            assert!(chunks.iter().all(|chunk| (2..=max_length).contains(&chunk.ids.len())));
            assert_eq!(chunks.iter().map(|chunk| chunk.bytes).sum::<usize>(), 3 * (count - 1));
        }
    }

    #[test]
    fn only_what_is_learned_is_predicted_and_what_is_too_long_is_counted() {
        let whole = one_sequence(tokens(6, 4), 2, 10).unwrap();
        assert_eq!((whole.document, whole.tokens_lost, whole.bytes), (2, 0, 6));
        assert_eq!(whole.is_predicted, [false, false, false, false, true, true]);
        let cut = one_sequence(tokens(6, 4), 2, 5).unwrap();
        assert_eq!((cut.tokens_lost, cut.is_predicted.len(), cut.bytes), (1, 5, 3));
        assert_eq!(one_sequence(tokens(6, 4), 2, 4), None);
        let mut twice = tokens(6, 2);
        twice[4].is_given = true;
        // Tokens 2, 3 and 5, of three bytes each.
        assert_eq!(one_sequence(twice, 2, 10).unwrap().bytes, 9);
    }
}
