//! Checkpoints: reading, the map between Hugging Face's names and ours, and writing back.

mod checkpoint;
mod fill;
mod fusion;
mod map;
mod parts;
mod pickle;
mod quantized;
mod write;

pub use checkpoint::{Checkpoint, TensorEntry};
pub use fill::with_parameters;
pub use fusion::Fusion;
pub use map::{
    Layout, Place, Row, Target, WeightMap, conv1d, copy, foreign, fused_conv1d, fused_linear, fused_pair,
    ignore, linear, matrix, norm, one_row,
};
pub use write::{StoredTensor, StoredTensors, parameters_by_path, write_tensors};

pub(crate) use fill::{Source, fill};
pub(crate) use fusion::{join, split};
pub(crate) use parts::{StoredParts, stored_shape};
pub(crate) use quantized::{Outputs, description, scale_name};
pub(crate) use write::stored_tensors;
