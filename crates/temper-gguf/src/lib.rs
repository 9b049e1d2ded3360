//! Models in GGUF, the file format of llama.cpp: read as folders in Hugging Face's layout (weights in f32, configuration
//! and tokenizer made of the file's metadata), and written of such folders.
//!
//! The format is that of version 3 (ggml/docs/gguf.md, ggml/src/ggml-quants.c and convert_hf_to_gguf.py of llama.cpp
//! b6000). A file is checked as a whole before any of it is used. The crate knows no tensors of Burn and opens no
//! connection.

mod architecture;
mod blocks;
mod check;
mod convert;
mod converted;
mod encode;
mod error;
mod file;
mod gpt2;
mod llama;
mod metadata;
mod names;
mod order;
mod pack;
mod parse;
mod plan;
mod settings;
mod source;
mod tokenizer;
mod types;
mod write;

pub use blocks::BlockType;
pub use convert::convert;
pub use converted::Converted;
pub use error::GgufError;
pub use file::{GgufFile, TensorInfo};
pub use metadata::{Metadata, Value};
pub use pack::Packing;
pub use source::{SourceError, SourceModel, Tensors};
pub use write::write;
