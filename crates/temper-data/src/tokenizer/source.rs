//! Where a folder's vocabulary comes from: tokenizer.json, else vocab.txt, else vocab.json with merges.txt, else
//! SentencePiece's file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::class::{self, Class, Recipe};
use super::settings::TokenizerSettings;
use super::tokens::FileToken;
use super::{damage, read_object, read_text, sentence_piece};
use crate::DataError;

/// A byte-level BPE needs `</s>` next to `<s>` to be RoBERTa's.
const ROBERTA_MARKS: [&str; 2] = ["<s>", "</s>"];

/// What a tokenizer is made of.
pub(super) struct TokenizerSource {
    /// The file.
    pub file: PathBuf,
    /// tokenizer.json, checked; of other files what it would say of the model.
    pub json: Value,
    /// The text of tokenizer.json.
    pub text: Option<String>,
    /// The class.
    pub class: Option<Class>,
    /// Tokens that SentencePiece's file adds.
    pub added: Vec<FileToken>,
}

impl TokenizerSource {
    /// Reads a folder's.
    pub fn read(dir: &Path, settings: &TokenizerSettings) -> Result<Self, DataError> {
        let [definition, words, vocab, merges] =
            ["tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"].map(|name| dir.join(name));
        if definition.is_file() {
            let text = read_text(&definition)?;
            return Self::of_definition(definition, text, settings);
        }
        let class = class::choose(settings, None)?;
        let reads = |of: &[Recipe]| class.is_none_or(|class| of.contains(&class.recipe));
        let byte_pairs = [Recipe::Gpt2, Recipe::GptNeoX, Recipe::OpenAiGpt, Recipe::Qwen2, Recipe::Roberta];
        if words.is_file() && reads(&[Recipe::Bert]) {
            let json = json!({"model": {"type": "WordPiece", "vocab": read_words(&words)?}});
            return Self::of_vocabulary(words, json, class.unwrap_or(class::BERT)).checked();
        }
        if vocab.is_file() && merges.is_file() && reads(&byte_pairs) {
            let ids = read_object(&vocab)?;
            let is_roberta = ROBERTA_MARKS.iter().all(|mark| ids.contains_key(*mark));
            let guess = if is_roberta { class::ROBERTA } else { class::GPT2 };
            let json = json!({"model": {"type": "BPE", "vocab": ids, "merges": read_merges(&merges)?}});
            return Self::of_vocabulary(vocab, json, class.unwrap_or(guess)).checked();
        }
        if let Some(class) = class
            && let Some(pieces) = sentence_piece::file_name(class.recipe).map(|name| dir.join(name))
            && pieces.is_file()
        {
            let (json, added) = sentence_piece::read(&pieces, class.recipe, settings)?;
            return Self { added, ..Self::of_vocabulary(pieces, json, class) }.checked();
        }
        if let Some(class) = class.filter(|_| words.is_file() || vocab.is_file()) {
            let reason =
                format!("{} cannot be built from this folder's files; it needs tokenizer.json", class.name);
            return Err(settings.refused("tokenizer_class", &reason));
        }
        Err(DataError::NoTokenizer { dir: dir.to_path_buf() })
    }

    fn of_vocabulary(file: PathBuf, json: Value, class: Class) -> Self {
        Self { file, json, text: None, class: Some(class), added: Vec::new() }
    }

    /// The source that a tokenizer.json is.
    pub fn of_definition(
        file: PathBuf,
        text: String,
        settings: &TokenizerSettings,
    ) -> Result<Self, DataError> {
        let class = class::choose(settings, Some(&text))?;
        let json = serde_json::from_str(&text).map_err(|error| DataError::damaged(&file, error))?;
        Self { file, json, text: Some(text), class, added: Vec::new() }.checked()
    }

    fn checked(self) -> Result<Self, DataError> {
        damage::check(&self.json).map_err(|reason| DataError::damaged(&self.file, reason))?;
        Ok(self)
    }

    /// The added tokens that tokenizer.json lists.
    pub fn listed(&self) -> &[Value] {
        self.json["added_tokens"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// One token a line; a token's id is its line.
fn read_words(path: &Path) -> Result<Map<String, Value>, DataError> {
    let text = read_text(path)?;
    Ok(text.lines().enumerate().map(|(id, token)| (token.trim_end().to_string(), json!(id))).collect())
}

/// One merge a line, two pieces with a space between; lines `#version` are skipped.
fn read_merges(path: &Path) -> Result<Vec<[String; 2]>, DataError> {
    let text = read_text(path)?;
    let mut merges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with("#version") {
            continue;
        }
        let pieces: Vec<&str> = line.split(' ').collect();
        let [first, second] = pieces.as_slice() else {
            let reason = format!("line {} is not two pieces: `{line}`", index + 1);
            return Err(DataError::damaged(path, reason));
        };
        merges.push([first.to_string(), second.to_string()]);
    }
    Ok(merges)
}
