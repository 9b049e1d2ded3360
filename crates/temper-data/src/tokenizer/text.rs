//! Text from ids.

use super::TextTokenizer;
use crate::DataError;
use crate::panics::caught;

/// What a decoder writes for bytes that are not a whole character.
const INCOMPLETE: char = '\u{fffd}';

/// Text that grows with its ids.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    context: Vec<u32>,
    ids: Vec<u32>,
    /// Bytes of the text that were given out.
    given: usize,
}

impl TextTokenizer {
    /// Ids as text, without special tokens.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the decoder rejects them.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let failed = |reason: String| DataError::Encode { example: 0, reason };
        let text = caught(|| self.inner.decode(ids, true)).map_err(failed)?;
        let text = text.map_err(|error| failed(error.to_string()))?;
        Ok(if self.cleans_up { cleaned(text) } else { text })
    }

    /// The ids of a text without what the layout adds: for a text that contains its special tokens.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the tokenizer rejects it.
    pub fn ids_without_layout(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let failed = |reason: String| DataError::Encode { example: 0, reason };
        let encoding = caught(|| self.inner.encode_fast(text, false)).map_err(failed)?;
        Ok(encoding.map_err(|error| failed(error.to_string()))?.get_ids().to_vec())
    }

    /// The text of ids after others: a decoder may write an id otherwise at the beginning of a text, for
    /// one without its space.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the decoder rejects them.
    pub fn decode_following(&self, context: &[u32], ids: &[u32]) -> Result<String, DataError> {
        let before = self.decode(context)?;
        let all = self.decode(&[context, ids].concat())?;
        match all.strip_prefix(before.trim_end_matches(INCOMPLETE)) {
            Some(text) => Ok(text.into()),
            None => self.decode(ids),
        }
    }

    /// Text that is to grow after these ids.
    pub fn stream(&self, context: &[u32]) -> TextStream<'_> {
        TextStream { tokenizer: self, context: context.to_vec(), ids: Vec::new(), given: 0 }
    }
}

/// Without the spaces before punctuation, as transformers' `clean_up_tokenization_spaces` takes them away.
fn cleaned(mut text: String) -> String {
    for (from, to) in [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ] {
        text = text.replace(from, to);
    }
    text
}

impl TextStream<'_> {
    /// The text that an id adds. Bytes that are not a whole character yet are held back.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the decoder rejects the ids.
    pub fn push(&mut self, id: u32) -> Result<String, DataError> {
        self.ids.push(id);
        let text = self.tokenizer.decode_following(&self.context, &self.ids)?;
        let mut text = text.trim_end_matches(INCOMPLETE);
        if self.tokenizer.cleans_up {
            // What follows may take the last space away.
            text = &text[..text.rfind(' ').unwrap_or(text.len())];
        }
        Ok(self.give(text))
    }

    /// What was held back.
    ///
    /// # Errors
    /// [`DataError::Encode`] if the decoder rejects the ids.
    pub fn finish(mut self) -> Result<String, DataError> {
        let text = self.tokenizer.decode_following(&self.context, &self.ids)?;
        Ok(self.give(&text))
    }

    fn give(&mut self, text: &str) -> String {
        let new = text.get(self.given..).unwrap_or_default();
        self.given += new.len();
        new.into()
    }
}
