//! The layers that families are built from.
//!
//! Each follows Hugging Face's placement of dropout and norms, which Burn's own transformer
//! modules do not. The operations themselves are temper-kernels'.

mod alibi;
mod attention;
mod block;
mod cache;
mod decoder_layer;
mod dropout;
mod embedding;
mod encoded;
mod feed_forward;
mod linear;
mod linear_walk;
mod low_rank;
mod norm;
mod parallel_block;
mod relative;
mod rope_config;
mod rope_scaling;
mod rotary;
mod rows;
mod stack;

pub use alibi::alibi_slopes;
pub use attention::{Attention, AttentionConfig};
pub use block::{Block, BlockConfig, NormPlace};
pub use cache::{Cache, LayerCache};
pub use decoder_layer::{DecoderLayer, DecoderLayerConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use encoded::Encoded;
pub use feed_forward::{FeedForward, FeedForwardConfig};
pub use linear::Linear;
pub use linear_walk::{HasLinears, LinearWalk};
pub use low_rank::{LowRank, LowRankConfig};
pub use norm::{Norm, NormConfig};
pub use parallel_block::{ParallelBlock, ParallelBlockConfig};
pub(crate) use relative::needed_rows;
pub use relative::{log_buckets, relative_buckets};
pub use rope_config::RopeConfig;
pub use rope_scaling::RopeParameters;
pub use rotary::{LongFrequencies, Rotary, Rotation};
pub use rows::{LayerRows, StackRows};
pub use stack::{Layer, StackPass, detach_if_frozen, is_frozen, run_frozen_without_autodiff, run_layers};

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor};

/// A parameter that is allocated only if nothing is loaded into it.
pub(crate) fn parameter<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::uninitialized(
        ParamId::new(),
        move |device, require_grad| Tensor::zeros(shape, device).set_require_grad(require_grad),
        device.clone(),
        true,
        shape.into(),
    )
}
