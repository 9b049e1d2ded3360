//! Models in GGUF, the file format of llama.cpp, as folders in Hugging Face's layout: weights in f32, configuration and
//! tokenizer made of the file's metadata.
//!
//! The format is that of version 3 (ggml/docs/gguf.md, ggml/src/ggml-quants.c of llama.cpp b6000). A file is checked as
//! a whole before any of it is used. It knows no tensors of Burn and opens no connection.

mod blocks;
mod convert;
mod error;
mod file;
mod llama;
mod metadata;
mod parse;
mod tokenizer;

pub use blocks::BlockType;
pub use convert::{Converted, convert};
pub use error::GgufError;
pub use file::{GgufFile, TensorInfo};
pub use metadata::{Metadata, Value};
