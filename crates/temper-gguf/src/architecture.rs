//! The architectures that are read and written.

use serde_json::{Map, Value as Json};

use crate::gpt2::{self, Gpt2};
use crate::llama::{self, Llama};
use crate::metadata::{Metadata, Value};
use crate::names::{Place, Sizes, places};

/// The names of the architectures: they are llama.cpp's and transformers' alike.
const LLAMA: &str = "llama";
const GPT2: &str = "gpt2";

/// What a file or config.json says of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Architecture {
    Llama(Llama),
    Gpt2(Gpt2),
}

impl Architecture {
    /// Refuses a file of another architecture.
    ///
    /// # Errors
    /// Its name.
    pub fn check_name(metadata: &Metadata) -> Result<(), String> {
        match name_in(metadata) {
            LLAMA | GPT2 => Ok(()),
            other => Err(format!("its architecture is `{other}`, and `{LLAMA}` and `{GPT2}` are read")),
        }
    }

    /// Reads a file's metadata: `vocab` is the number of its tokens.
    ///
    /// # Errors
    /// What is missing or cannot be honoured.
    pub fn of_metadata(metadata: &Metadata, vocab: usize, is_tied: bool) -> Result<Self, String> {
        Self::check_name(metadata)?;
        match name_in(metadata) {
            GPT2 => Gpt2::of_metadata(metadata, vocab, is_tied).map(Self::Gpt2),
            _ => Llama::of_metadata(metadata, vocab, is_tied).map(Self::Llama),
        }
    }

    /// Reads config.json.
    ///
    /// # Errors
    /// What is missing, or what a file cannot say.
    pub fn of_config(config: &Map<String, Json>) -> Result<Self, String> {
        match config.get("model_type").and_then(Json::as_str).unwrap_or_default() {
            LLAMA => Llama::of_config(config).map(Self::Llama),
            GPT2 => Gpt2::of_config(config).map(Self::Gpt2),
            other => Err(format!("it is of the family `{other}`, and `{LLAMA}` and `{GPT2}` are written")),
        }
    }

    /// llama.cpp's name.
    fn name(&self) -> &'static str {
        match self {
            Self::Llama(_) => LLAMA,
            Self::Gpt2(_) => GPT2,
        }
    }

    /// Its sizes.
    pub fn sizes(&self) -> &Sizes {
        match self {
            Self::Llama(llama) => &llama.sizes,
            Self::Gpt2(gpt2) => &gpt2.sizes,
        }
    }

    /// Its tensors, in a file's order.
    ///
    /// # Errors
    /// That there are more layers than the `count` tensors that there are.
    pub fn places(&self, count: usize) -> Result<Vec<Place>, String> {
        let layers = self.sizes().layers;
        if layers > count {
            return Err(format!("{count} tensors belong to none of the {layers} layers"));
        }
        let table = match self {
            Self::Llama(_) => &llama::TABLE,
            Self::Gpt2(_) => &gpt2::TABLE,
        };
        Ok(places(table, self.sizes()))
    }

    /// config.json, but for the ids of tokens.
    pub fn config(&self) -> Map<String, Json> {
        let config = match self {
            Self::Llama(llama) => llama.config(),
            Self::Gpt2(gpt2) => gpt2.config(),
        };
        if let Json::Object(config) = config { config } else { Map::new() }
    }

    /// What a file says of it.
    pub fn metadata(&self) -> Metadata {
        let values = match self {
            Self::Llama(llama) => llama.metadata(),
            Self::Gpt2(gpt2) => gpt2.metadata(),
        };
        let name = self.name();
        let named = values.into_iter().map(|(key, value)| (format!("{name}.{key}"), value));
        let architecture = ("general.architecture".to_owned(), Value::Text(name.into()));
        named.chain([architecture]).collect()
    }
}

fn name_in(metadata: &Metadata) -> &str {
    metadata.get("general.architecture").and_then(Value::as_text).unwrap_or_default()
}
