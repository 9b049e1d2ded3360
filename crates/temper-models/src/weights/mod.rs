//! Checkpoints: reading, the map between Hugging Face's names and ours, and writing back.

mod checkpoint;
mod fill;
mod map;
mod write;

pub use checkpoint::{Checkpoint, TensorEntry};
pub use map::{Layout, Row, Target, WeightMap, copy, foreign, ignore, linear, norm};

pub(crate) use fill::{Source, fill};
pub(crate) use write::write_safetensors;
