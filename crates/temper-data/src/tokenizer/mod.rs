//! Tokenizers from the files that checkpoints come with, with transformers' ids.

mod class;
mod damage;
mod declared;
mod layout;
mod locality;
mod lowercase;
mod recipe;
mod resolve;
mod save;
mod sentence_piece;
mod settings;
mod source;
mod special;
mod text;
mod tokens;

pub use declared::{DeclaredCut, declared_cut};
pub(crate) use locality::{Boundaries, SPACE};
pub use special::SpecialTokens;
pub use text::TextStream;

use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use temper_files::hex;
use tokenizers::{PostProcessor, Tokenizer};

use crate::{ChatTemplate, DataError};
use resolve::ResolvedTokenizer;
use settings::TokenizerSettings;
use source::TokenizerSource;

/// A tokenizer with what a model needs to know of it.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    special: SpecialTokens,
    vocab_size: usize,
    definition: String,
    sha256: String,
    /// Whether the model is given the segments that the layout names.
    has_segments: bool,
    /// Whether decoded text loses its spaces before punctuation.
    cleans_up: bool,
    /// Where texts may be cut before they are tokenized.
    boundaries: Option<Boundaries>,
    /// Its class and tokens, for saving.
    resolved: resolve::TokenizerOrigin,
    settings: TokenizerSettings,
}

/// Loads the tokenizer of a checkpoint folder: `tokenizer.json`, else BERT's `vocab.txt`, else
/// `vocab.json` with `merges.txt`, else SentencePiece's file.
///
/// Its ids are those of transformers 5.23 for the folder as it is: what tokenizer_config.json, special_tokens_map.json,
/// added_tokens.json and config.json say is honoured, or refused by name.
///
/// Padding and truncation that a tokenizer.json carries are switched off: MiniLM's pads and cuts
/// everything to 128 tokens, which would silently falsify lengths.
///
/// # Errors
/// [`DataError::NoTokenizer`], [`DataError::BadTokenizer`], [`DataError::TokenizerSetting`], [`DataError::Io`].
pub fn load_tokenizer(dir: &Path) -> Result<TextTokenizer, DataError> {
    let settings = TokenizerSettings::read(dir)?;
    let source = TokenizerSource::read(dir, &settings)?;
    let ResolvedTokenizer { inner, origin } = resolve::resolve(&source, &settings)?;
    let failed = |reason: String| DataError::damaged(&source.file, reason);
    let definition = resolve::definition(&inner).map_err(failed)?;
    let highest = inner.get_vocab(true).into_values().max();
    Ok(TextTokenizer {
        special: SpecialTokens::find(&inner, &origin.tokens),
        vocab_size: highest.map_or(0, |id| id as usize + 1),
        sha256: hex(&Sha256::digest(&definition)),
        has_segments: resolve::has_segments(&settings, origin.class)?,
        cleans_up: resolve::cleans_up(&settings, &inner)?,
        boundaries: Boundaries::of(&inner),
        definition,
        inner,
        resolved: origin,
        settings,
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

    /// Whether the model is given the segments that the layout names.
    pub(crate) fn has_segments(&self) -> bool {
        self.has_segments
    }

    /// Where texts may be cut before they are tokenized.
    pub(crate) fn boundaries(&self) -> Option<Boundaries> {
        self.boundaries
    }

    /// The id that an empty text gets if the layout has no special tokens.
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
            self.settings.config.insert("pad_token".into(), Value::from(token));
        }
        self
    }

    /// The ids that the layout adds: those of an empty text.
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

    /// What writes a chat as a text; none where the tokenizer has no template.
    ///
    /// # Errors
    /// [`DataError::TokenizerSetting`] for a template that cannot be parsed.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, DataError> {
        ChatTemplate::of(&self.settings.config)
            .map_err(|reason| self.settings.refused("chat_template", &reason))
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
