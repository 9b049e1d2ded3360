//! Saving a tokenizer so that transformers' AutoTokenizer loads it.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::NormalizerWrapper;

use super::TextTokenizer;
use crate::{DataError, EncodeSettings};

impl TextTokenizer {
    /// Writes tokenizer.json and tokenizer_config.json.
    ///
    /// What the source's tokenizer_config.json says is kept, but for what decides how a text is cut:
    /// `model_max_length` (tokens, special ones included) and `truncation_side` are those of the
    /// settings, see [`Truncation::side`]. `padding_side` is right: batches here have no padding, and
    /// only padding behind a text leaves every token its position.
    ///
    /// # Errors
    /// [`DataError::Io`] if a file cannot be written; nothing half-written is left.
    pub fn save(&self, dir: &Path, encode: &EncodeSettings) -> Result<(), DataError> {
        let config = Value::Object(self.saved_config(encode));
        temper_files::write(&dir.join("tokenizer.json"), self.definition.as_bytes())?;
        let config = format!("{config:#}\n");
        temper_files::write(&dir.join("tokenizer_config.json"), config.as_bytes())?;
        Ok(())
    }

    fn saved_config(&self, encode: &EncodeSettings) -> Map<String, Value> {
        let mut config = self.config.clone();
        for (key, id) in self.special.named() {
            if let Some(token) = id.and_then(|id| self.token(id)) {
                config.entry(key).or_insert(json!(token));
            }
        }
        if let Some(NormalizerWrapper::BertNormalizer(bert)) = self.inner.get_normalizer() {
            // BertTokenizer overrides the normalizer with its own defaults where these are missing.
            config.insert("do_lower_case".into(), json!(bert.lowercase));
            config.insert("strip_accents".into(), json!(bert.strip_accents));
            config.insert("tokenize_chinese_chars".into(), json!(bert.handle_chinese_chars));
            config.entry("tokenizer_class").or_insert(json!("BertTokenizer"));
        }
        if !config.contains_key("tokenizer_class") {
            config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
            // Its default adds token_type_ids, which GPT-2 would take for words and LLaMA refuses.
            config.insert("model_input_names".into(), json!(["input_ids", "attention_mask"]));
        }
        config.insert("model_max_length".into(), json!(encode.max_length));
        config.insert("truncation_side".into(), json!(encode.truncation.side()));
        config.insert("padding_side".into(), json!("right"));
        config
    }
}
