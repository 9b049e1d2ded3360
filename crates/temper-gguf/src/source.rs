//! A model as it is to be written: files of a folder in Hugging Face's layout, whose tensors are read one at a time.

use serde_json::{Map, Value as Json};

/// Why a tensor could not be read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// The tensors of a model, under transformers' names.
pub trait Tensors {
    /// The names and shapes.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// The numbers of a tensor, row by row.
    ///
    /// # Errors
    /// Why they cannot be read.
    fn numbers(&self, name: &str) -> Result<Vec<f32>, SourceError>;
}

/// A model in Hugging Face's layout.
#[derive(Clone, Copy)]
pub struct SourceModel<'a> {
    /// What it is called: `general.name`.
    pub name: &'a str,
    /// config.json.
    pub config: &'a Map<String, Json>,
    /// tokenizer.json.
    pub tokenizer: &'a Json,
    /// tokenizer_config.json.
    pub tokenizer_config: &'a Map<String, Json>,
    /// Its weights.
    pub tensors: &'a dyn Tensors,
}
