//! Tokenizers from the files that checkpoints come with.

mod declared;
mod definition;
mod layout;
mod lowercase;
mod save;
mod special;
mod text;

pub use declared::{DeclaredCut, declared_cut};
pub use special::SpecialTokens;
pub use text::TextStream;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use temper_files::hex;
use tokenizers::{PostProcessor, Tokenizer};

use crate::DataError;

/// A tokenizer with what a model needs to know of it.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    special: SpecialTokens,
    vocab_size: usize,
    definition: String,
    sha256: String,
    config: Map<String, Value>,
}

/// Loads the tokenizer of a checkpoint folder: `tokenizer.json`, else BERT's `vocab.txt`, else
/// `vocab.json` with `merges.txt`.
///
/// Padding and truncation that a tokenizer.json carries are switched off: MiniLM's pads and cuts
/// everything to 128 tokens, which would falsify lengths without a word.
///
/// # Errors
/// [`DataError::NoTokenizer`], [`DataError::BadTokenizer`], [`DataError::Io`].
pub fn load_tokenizer(dir: &Path) -> Result<TextTokenizer, DataError> {
    let file = |name: &str| dir.join(name);
    let config_file = file("tokenizer_config.json");
    let config = if config_file.is_file() { read_object(&config_file)? } else { Map::new() };
    if file("tokenizer.json").is_file() {
        let path = file("tokenizer.json");
        let text = read_text(&path)?;
        return build(&text, path, config);
    }
    if file("vocab.txt").is_file() {
        let path = file("vocab.txt");
        let definition = definition::wordpiece(&path, &config)?;
        return build(&definition.to_string(), path, config);
    }
    if file("vocab.json").is_file() && file("merges.txt").is_file() {
        let path = file("vocab.json");
        let definition = definition::byte_level_bpe(&path, &file("merges.txt"), &config)?;
        return build(&definition.to_string(), path, config);
    }
    Err(DataError::NoTokenizer { dir: dir.to_path_buf() })
}

fn build(definition: &str, file: PathBuf, config: Map<String, Value>) -> Result<TextTokenizer, DataError> {
    let failed =
        |error: tokenizers::Error| DataError::BadTokenizer { file: file.clone(), reason: error.to_string() };
    let mut inner = Tokenizer::from_bytes(definition).map_err(failed)?;
    inner.with_truncation(None).map_err(failed)?;
    inner.with_padding(None);
    if let Some(processor) = inner.get_post_processor() {
        layout::check(processor).map_err(|reason| failed(reason.into()))?;
    }
    let definition = inner.to_string(true).map_err(failed)?;
    let highest = inner.get_vocab(true).into_values().max();
    let dir = file.parent().unwrap_or(Path::new("."));
    Ok(TextTokenizer {
        special: SpecialTokens::find(&inner, &config, dir),
        vocab_size: highest.map_or(0, |id| id as usize + 1),
        sha256: hex(&Sha256::digest(&definition)),
        definition,
        inner,
        config,
    })
}

impl TextTokenizer {
    /// Rows that an embedding needs for every id: the highest id, added tokens included, plus 1.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// SHA-256 of the definition (the tokenizer.json that [`save`](Self::save) writes), 64
    /// hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The id that stands for an empty text where the layout has no special tokens.
    pub(crate) fn filler_id(&self) -> u32 {
        let special = &self.special;
        special.eos.or(special.sep).or(special.unk).unwrap_or(0)
    }

    /// The same with a token of the vocabulary as padding, on the right of a text, where classifiers of decoders
    /// are right in every family. Ids of texts stay as they are.
    #[must_use]
    pub fn with_padding(mut self, id: u32) -> Self {
        if let Some(token) = self.token(id) {
            self.special.pad = Some(id);
            self.config.insert("pad_token".into(), Value::from(token));
            if self.config.contains_key("padding_side") {
                self.config.insert("padding_side".into(), Value::from("right"));
            }
        }
        self
    }

    /// The ids that the layout alone gives: those of an empty text.
    pub fn layout_ids(&self) -> Vec<u32> {
        self.inner.encode_fast("", true).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// Special tokens that the layout adds to a text, or to a pair of texts.
    pub fn special_count(&self, pair: bool) -> usize {
        self.inner.get_post_processor().map_or(0, |layout| layout.added_tokens(pair))
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a special token or another added one.
    pub fn added_token_id(&self, token: &str) -> Option<u32> {
        let id = self.inner.token_to_id(token)?;
        self.inner.get_added_tokens_decoder().contains_key(&id).then_some(id)
    }

    /// The tokenizer itself, for offsets and words.
    pub fn inner(&self) -> &Tokenizer {
        &self.inner
    }
}

fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    String::from_utf8(bytes)
        .map_err(|_| DataError::BadTokenizer { file: path.to_path_buf(), reason: "not UTF-8 text".into() })
}

fn read_object(path: &Path) -> Result<Map<String, Value>, DataError> {
    serde_json::from_str(&read_text(path)?).map_err(|error| DataError::BadTokenizer {
        file: path.to_path_buf(),
        reason: format!("not a JSON object ({error})"),
    })
}
