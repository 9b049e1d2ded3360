//! The tokens of a text with their words and places, before a layout puts special tokens around them.

use tokenizers::{Encoding, Model, OffsetType, PreTokenizer};

use crate::TextTokenizer;

/// The tokens of a text or of words. Places are in characters, as transformers has them, for a layout may take characters
/// away from a token's ends.
pub(super) struct PlacedTokens {
    pub encoding: Encoding,
    /// The characters of the text, or of each word.
    characters: Vec<Characters>,
}

impl PlacedTokens {
    /// The tokens of a text, which are of this segment.
    pub fn of_text(tokenizer: &TextTokenizer, text: &str, segment: u32) -> tokenizers::Result<Self> {
        let characters = Characters::of(text);
        let encoding = encoded(tokenizer, text, (None, segment), None, &characters)?;
        Ok(Self { encoding, characters: vec![characters] })
    }

    /// The tokens of words, read one by one, after a space that is not theirs, as this character, where there is one.
    pub fn of_words(
        tokenizer: &TextTokenizer,
        words: &[String],
        space: Option<char>,
    ) -> tokenizers::Result<Self> {
        let characters: Vec<Characters> = words.iter().map(|word| Characters::of(word)).collect();
        let encodings = words.iter().zip(&characters).zip(0..);
        let encodings = encodings
            .map(|((word, characters), index)| encoded(tokenizer, word, (Some(index), 0), space, characters));
        Ok(Self { encoding: encodings.collect::<tokenizers::Result<Encoding>>()?, characters })
    }

    pub fn len(&self) -> usize {
        self.encoding.len()
    }

    /// The bytes between two characters of the text, or of this word.
    pub fn bytes(&self, word: u32, (start, end): (usize, usize)) -> (u32, u32) {
        // Of a text all words have the same.
        let characters = match self.characters.as_slice() {
            [one] => one,
            words => &words[word as usize],
        };
        (characters.byte(start), characters.byte(end))
    }
}

/// The tokens of a text or a word. As `TokenizerImpl::encode_single_sequence` of the tokenizers crate
/// (tokenizer/mod.rs, 0.23), which is reached only together with the layout; that one changes places and
/// must do so once, in each window.
fn encoded(
    tokenizer: &TextTokenizer,
    text: &str,
    (word, segment): (Option<u32>, u32),
    space: Option<char>,
    characters: &Characters,
) -> tokenizers::Result<Encoding> {
    let inner = tokenizer.inner();
    let mut pieces = inner.get_added_vocabulary().extract_and_normalize(inner.get_normalizer(), text);
    if let Some(space) = space {
        // As ByteLevel does with `add_prefix_space` (pre_tokenizers/byte_level.rs).
        pieces.normalize(|piece| {
            if !piece.get().starts_with(space) {
                piece.prepend(space.encode_utf8(&mut [0; 4]));
            }
            Ok(())
        })?;
    }
    if let Some(split) = inner.get_pre_tokenizer() {
        split.pre_tokenize(&mut pieces)?;
    }
    pieces.tokenize(|piece| inner.get_model().tokenize(piece.get()))?;
    let mut encoding = pieces.into_encoding(word, segment, OffsetType::Byte)?;
    for (start, end) in encoding.get_offsets_mut() {
        (*start, *end) = (characters.at(*start), characters.at(*end));
    }
    Ok(encoding)
}

/// Where the characters of a text begin.
struct Characters {
    /// Bytes of the text.
    bytes: u32,
    /// None where each character is one byte.
    starts: Option<Vec<u32>>,
}

impl Characters {
    fn of(text: &str) -> Self {
        let starts = || text.char_indices().map(|(start, _)| start as u32).collect();
        Self { bytes: text.len() as u32, starts: (!text.is_ascii()).then(starts) }
    }

    /// The character that begins at a byte.
    fn at(&self, byte: usize) -> usize {
        match &self.starts {
            Some(starts) => starts.partition_point(|&start| (start as usize) < byte),
            None => byte,
        }
    }

    /// The byte at which a character begins.
    fn byte(&self, character: usize) -> u32 {
        match &self.starts {
            Some(starts) => starts.get(character).copied().unwrap_or(self.bytes),
            None => self.bytes.min(u32::try_from(character).unwrap_or(u32::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_in_bytes_and_back() {
        for text in ["", "the", "e\u{301}中😀x"] {
            let characters = Characters::of(text);
            for (count, (start, _)) in text.char_indices().enumerate() {
                assert_eq!((characters.at(start), characters.byte(count)), (count, start as u32), "{text}");
            }
            let (count, end) = (text.chars().count(), text.len() as u32);
            assert_eq!((characters.at(text.len()), characters.byte(count)), (count, end), "{text}");
            assert_eq!(characters.byte(count + 9), end, "{text}");
        }
    }
}
