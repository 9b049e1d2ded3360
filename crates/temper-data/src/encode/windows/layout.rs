//! One window from tokens: the layout's special tokens, segments, and where each token comes from.

use std::ops::Range;

use tokenizers::{Encoding, PostProcessor, PostProcessorWrapper};

use super::tokens::PlacedTokens;
use super::words::Spaces;
use super::{TokenPlace, WhichText, Window, WindowInput};
use crate::TextTokenizer;
use crate::encode::truncate::joined;

/// The layout of an input's windows.
pub(super) struct Layout<'a> {
    tokenizer: &'a TextTokenizer,
    processor: Option<&'a PostProcessorWrapper>,
    /// The tokens of its texts.
    texts: [Option<&'a PlacedTokens>; 2],
}

impl<'a> Layout<'a> {
    pub fn new(
        tokenizer: &'a TextTokenizer,
        input: &WindowInput<'_>,
        spaces: &'a Spaces,
        texts: [Option<&'a PlacedTokens>; 2],
    ) -> Self {
        let processor = match (input, spaces) {
            (WindowInput::Words(_), Spaces::Added(_, layout)) => layout.as_ref(),
            _ => tokenizer.inner().get_post_processor(),
        };
        Self { tokenizer, processor, texts }
    }

    /// The window with these tokens of the text that is spread, of input 0.
    ///
    /// The layout works on each window alone, as on `Encoding::overflowing` in the tokenizers crate: the
    /// first token of a window keeps the space before it where layouts take spaces away from places.
    pub fn window(&self, spread: WhichText, range: Range<usize>) -> tokenizers::Result<Window> {
        let part = |which: WhichText| {
            let tokens = self.texts[which as usize]?;
            let range = if which == spread { range.clone() } else { 0..tokens.len() };
            Some(joined([(&tokens.encoding, range)]))
        };
        let (first, second) = (part(WhichText::First).unwrap_or_default(), part(WhichText::Second));
        let special = self.tokenizer.special_count(second.is_some());
        let length = first.len() + second.as_ref().map_or(0, Encoding::len) + special;
        let encoding = self.process(first, second)?;
        let places = self.places(&encoding);
        let mut window = Window {
            input: 0,
            ids: encoding.get_ids().to_vec(),
            type_ids: encoding.get_type_ids().to_vec(),
            spread: tokens_of(spread, &places),
            places,
            from: range.start,
        };
        if window.spread.len() != range.len() || window.ids.len() != length {
            return Err("its layout does not give each text once and in one piece".into());
        }
        if !self.tokenizer.has_segments() {
            window.type_ids.fill(0);
        }
        if window.ids.is_empty() {
            // As in `encode_all`: a row needs a position to read from.
            window.ids.push(self.tokenizer.filler_id());
            window.type_ids.push(0);
            window.places.push(None);
        }
        Ok(window)
    }

    fn process(&self, first: Encoding, second: Option<Encoding>) -> tokenizers::Result<Encoding> {
        match self.processor {
            Some(processor) => processor.process(first, second, true),
            None => self.tokenizer.inner().post_process(first, second, true),
        }
    }

    fn places(&self, encoding: &Encoding) -> Vec<Option<TokenPlace>> {
        let (texts, words) = (encoding.get_sequence_ids(), encoding.get_word_ids());
        let place = |token: usize| {
            let (text, word) = (texts[token]?, words[token]?);
            let tokens = self.texts.get(text).copied().flatten()?;
            let (start, end) = tokens.bytes(word, encoding.get_offsets()[token]);
            let text = if text == 0 { WhichText::First } else { WhichText::Second };
            Some(TokenPlace { text, word, start, end })
        };
        (0..encoding.len()).map(place).collect()
    }
}

/// From the first to the last token of a text.
fn tokens_of(text: WhichText, places: &[Option<TokenPlace>]) -> Range<usize> {
    let is_of = |place: &Option<TokenPlace>| place.is_some_and(|place| place.text == text);
    let first = places.iter().position(is_of);
    let last = places.iter().rposition(is_of);
    first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
}
