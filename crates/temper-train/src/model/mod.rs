//! Models on disk: their files, how their texts become tensors, adapters, padding.

pub(crate) mod adapters;
pub(crate) mod encoding;
pub(crate) mod files;
mod gguf;
mod gguf_writing;
mod local;
pub(crate) mod padding;
pub(crate) mod sentence;

pub use encoding::{CutOptions, ModelEncoding, RecordedEncoding};
pub(crate) use gguf_writing::write_file;
pub use local::LocalModel;
pub(crate) use local::refuse_other_folders;
