//! The model of a class, with the vocabulary of a source.

use serde_json::{Value, json};

use crate::DataError;
use crate::tokenizer::class::Recipe;
use crate::tokenizer::settings::TokenizerSettings;
use crate::tokenizer::source::TokenizerSource;
use crate::tokenizer::tokens::{FileToken, FileTokens};

/// What a class makes its model of.
pub(super) struct Vocabulary<'a> {
    pub recipe: Recipe,
    pub source: &'a TokenizerSource,
    pub settings: &'a TokenizerSettings,
    pub tokens: &'a FileTokens,
}

impl Vocabulary<'_> {
    /// A model of this type with these parameters.
    pub fn of(&self, kind: &str, mut parameters: Value) -> Result<Value, DataError> {
        let model = &self.source.json["model"];
        let found = model["type"].as_str().unwrap_or_else(|| untyped(model));
        if found != kind {
            let reason =
                format!("this class has a {kind} vocabulary, {} a {found} one", self.source.file.display());
            return Err(self.settings.refused("tokenizer_class", &reason));
        }
        parameters["type"] = kind.into();
        parameters["vocab"] = model["vocab"].clone();
        if kind == "BPE" {
            parameters["merges"] = model["merges"].clone();
        }
        Ok(parameters)
    }

    /// A byte-level BPE.
    pub fn byte_pairs(&self) -> Result<Value, DataError> {
        let plain = json!({"continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false});
        self.of("BPE", plain)
    }

    /// SentencePiece's unigrams; `unk_id` is the id of the unknown token.
    pub fn unigram(&self, unk_id: usize) -> Result<Value, DataError> {
        self.of("Unigram", json!({"unk_id": unk_id, "byte_fallback": false}))
    }

    /// The token of a part, which must be in the vocabulary.
    pub fn of_vocabulary(&self, part: &str) -> Result<&str, DataError> {
        let Some(token) = self.tokens.part(part).map(FileToken::text) else {
            return Err(self.settings.refused(part, "this tokenizer class needs the token"));
        };
        if self.source.json["model"]["vocab"].get(token).is_none() {
            let reason = format!("no `{token}` in it; it is not a vocabulary of {:?}", self.recipe);
            return Err(DataError::damaged(&self.source.file, reason));
        }
        Ok(token)
    }

    /// The id of the unknown token that SentencePiece's file gives.
    pub fn unk_of_pieces(&self) -> Option<usize> {
        let id = &self.source.json["model"]["unk_id"];
        id.as_u64().filter(|_| self.source.text.is_none()).and_then(|id| usize::try_from(id).ok())
    }

    /// The position of a part's token in a list of tokens, if it is there.
    pub fn place_of(&self, part: &str) -> Option<usize> {
        let token = self.tokens.part(part).map(FileToken::text);
        let vocab = self.source.json["model"]["vocab"].as_array()?;
        vocab.iter().position(|entry| entry[0].as_str() == token)
    }
}

/// The type of a model in a file that does not say it, as older ones do not.
fn untyped(model: &Value) -> &'static str {
    match model {
        model if model["vocab"].is_array() => "Unigram",
        model if model["merges"].is_array() => "BPE",
        _ => "WordPiece",
    }
}
