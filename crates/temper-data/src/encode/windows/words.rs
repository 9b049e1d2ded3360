//! The space before words that are given one by one.

use serde_json::Value;
use tokenizers::PostProcessorWrapper;

use super::tokens::PlacedTokens;
use crate::TextTokenizer;
use crate::panics::caught;
use crate::tokenizer::SPACE;

/// Words to try; one decides.
const PROBES: [&str; 3] = ["a", "the", "1"];

/// What makes a word by itself read like one after another word.
pub(super) enum Spaces {
    /// Nothing: the tokenizer puts a space before each text, or spaces do not count.
    Own,
    /// A space before it, as this character, and the layout that knows of such a space, which is of no token's place.
    Added(char, Option<PostProcessorWrapper>),
}

impl Spaces {
    /// Which of these a tokenizer needs: two words in a text must be the tokens of each word by itself.
    pub fn of(tokenizer: &TextTokenizer) -> Result<Self, String> {
        for word in PROBES {
            let whole = ids(|| PlacedTokens::of_text(tokenizer, &format!("{word} {word}"), 0))?;
            let first = ids(|| PlacedTokens::of_text(tokenizer, word, 0))?;
            for space in [None, Some(' '), Some(SPACE)] {
                let alone = ids(|| PlacedTokens::of_words(tokenizer, &[word.to_owned()], space))?;
                if [&first[..], &alone].concat() == whole {
                    return space.map_or(Ok(Self::Own), |space| Self::added(space, tokenizer));
                }
            }
        }
        Err("this tokenizer reads a single word differently than after another word, with and without a space \
             before it; encode texts, not words"
            .into())
    }

    /// What is put before each word.
    pub fn added_character(&self) -> Option<char> {
        match self {
            Self::Own => None,
            Self::Added(space, _) => Some(*space),
        }
    }

    fn added(space: char, tokenizer: &TextTokenizer) -> Result<Self, String> {
        let Some(layout) = tokenizer.inner().get_post_processor() else {
            return Ok(Self::Added(space, None));
        };
        let mut json = serde_json::to_value(layout).map_err(|error| error.to_string())?;
        expect_space(&mut json);
        let layout = serde_json::from_value(json).map_err(|error| error.to_string())?;
        Ok(Self::Added(space, Some(layout)))
    }
}

fn ids(tokens: impl FnOnce() -> tokenizers::Result<PlacedTokens>) -> Result<Vec<u32>, String> {
    let tokens = caught(tokens)?.map_err(|error| error.to_string())?;
    Ok(tokens.encoding.get_ids().to_vec())
}

/// Tells a layout, and those that it consists of, that the space before a text was added.
fn expect_space(layout: &mut Value) {
    if let Some(flag) = layout.get_mut("add_prefix_space") {
        *flag = true.into();
    }
    for part in layout["processors"].as_array_mut().into_iter().flatten() {
        expect_space(part);
    }
}
