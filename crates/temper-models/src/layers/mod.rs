//! The bricks that families are wired from.
//!
//! Each follows Hugging Face's placement of dropout and norms, which Burn's own transformer
//! modules do not. The operations themselves are temper-kernels'.

mod attention;
mod block;
mod dropout;
mod embedding;
mod feed_forward;
mod linear;
mod norm;
mod trunk;

pub use attention::{Attention, AttentionConfig};
pub use block::{PostNormBlock, PostNormBlockConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use norm::LayerNorm;
pub use trunk::{is_frozen, run_frozen_without_autodiff};

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
