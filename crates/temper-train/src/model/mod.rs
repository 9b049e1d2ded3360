//! Models on disk: their files, how their texts become tensors, adapters, padding.

pub(crate) mod adapters;
pub(crate) mod encoding;
pub(crate) mod files;
mod gguf;
mod local;
pub(crate) mod padding;
pub(crate) mod sentence;

pub use encoding::{CutOptions, ModelEncoding, RecordedEncoding};
pub use local::LocalModel;
