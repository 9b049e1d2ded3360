//! Saving a tokenizer so that transformers' AutoTokenizer gives the same ids.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::NormalizerWrapper;

use super::settings::TokenizerSettings;
use super::source::TokenizerSource;
use super::tokens::FileToken;
use super::{TextTokenizer, class, resolve, tokens};
use crate::{DataError, EncodeSettings};

impl TextTokenizer {
    /// Writes tokenizer.json and tokenizer_config.json.
    ///
    /// What the source's tokenizer_config.json says is kept, but for what decides how a text is cut:
    /// `model_max_length` (tokens, special ones included) and `truncation_side` are those of the
    /// settings, see [`Truncation::side`](crate::Truncation::side). `padding_side` is right: batches here have no
    /// padding, and only padding after a text leaves every token its position. A tokenizer class that would make
    /// another tokenizer of these files is replaced by the one that takes tokenizer.json as it is.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be written; nothing half-written is left.
    pub fn save(&self, dir: &Path, encode: &EncodeSettings) -> Result<(), DataError> {
        let (definition, config) = self.files(encode);
        temper_files::write(&dir.join("tokenizer.json"), definition.as_bytes())?;
        let config = format!("{:#}\n", Value::Object(config));
        temper_files::write(&dir.join("tokenizer_config.json"), config.as_bytes())?;
        Ok(())
    }

    /// tokenizer.json and tokenizer_config.json, as [`Self::save`] writes them.
    pub fn files(&self, encode: &EncodeSettings) -> (&str, Map<String, Value>) {
        (&self.definition, self.saved_config(encode))
    }

    fn saved_config(&self, encode: &EncodeSettings) -> Map<String, Value> {
        let mut config = self.named_config();
        if let Some(NormalizerWrapper::BertNormalizer(bert)) = self.inner.get_normalizer() {
            // BertTokenizer overrides the normalizer with its own defaults where these are missing.
            config.insert("do_lower_case".into(), json!(bert.lowercase));
            config.insert("strip_accents".into(), json!(bert.strip_accents));
            config.insert("tokenize_chinese_chars".into(), json!(bert.handle_chinese_chars));
            if self.resolved.class.is_none() {
                config.entry("tokenizer_class").or_insert(json!(class::BERT.name));
            }
        }
        if let Some(class) = self.resolved.class {
            config.entry("tokenizer_class").or_insert(json!(class.name));
        }
        if !config.contains_key("tokenizer_class") || !self.is_made_of(&config) {
            config.insert("tokenizer_class".into(), json!(class::AS_IS.name));
            // The class's default once added token_type_ids, which GPT-2 would take for words and LLaMA refuses.
            let segments = self.has_segments && self.inner.get_normalizer().is_some_and(is_bert);
            let segments = segments.then_some("token_type_ids");
            let names: Vec<&str> =
                ["input_ids"].into_iter().chain(segments).chain(["attention_mask"]).collect();
            config.entry("model_input_names").or_insert(json!(names));
        }
        config.insert("model_max_length".into(), json!(encode.max_length));
        config.insert("truncation_side".into(), json!(encode.truncation.side()));
        config.insert("padding_side".into(), json!("right"));
        config
    }

    /// The source's tokenizer_config.json with the tokens that other files name.
    fn named_config(&self) -> Map<String, Value> {
        let mut config = self.settings.config.clone();
        for (part, token) in self.resolved.tokens.named() {
            if config.get(part).and_then(tokens::token).is_none_or(|found| found.text() != token.text()) {
                config.insert(part.into(), json!(token.text()));
            }
        }
        for (part, id) in self.special.named() {
            if let Some(token) = id.and_then(|id| self.token(id)) {
                config.entry(part).or_insert(json!(token));
            }
        }
        if let Some(Value::Array(_)) = self.settings.special.get("additional_special_tokens") {
            let extra: Vec<&str> = self.resolved.tokens.extra().iter().map(FileToken::text).collect();
            config.entry("additional_special_tokens").or_insert(json!(extra));
        }
        config
    }

    /// Whether these settings make this tokenizer of its own definition.
    fn is_made_of(&self, config: &Map<String, Value>) -> bool {
        let settings: TokenizerSettings = self.settings.with_config(config.clone());
        let file = self.settings.file("tokenizer.json");
        let source = TokenizerSource::of_definition(file, self.definition.clone(), &settings);
        let made = source.and_then(|source| resolve::resolve(&source, &settings));
        made.is_ok_and(|made| resolve::definition(&made.inner).is_ok_and(|again| again == self.definition))
    }
}

fn is_bert(normalizer: &NormalizerWrapper) -> bool {
    matches!(normalizer, NormalizerWrapper::BertNormalizer(_))
}
