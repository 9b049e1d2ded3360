//! A transformer block whose sub-layers read the same input.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::widen;

use super::{
    Attention, AttentionConfig, Dropout, Encoded, FeedForward, FeedForwardConfig, Layer, LayerCache,
    LayerRows, Norm, NormConfig,
};
use crate::Mode;

/// What [`ParallelBlock`] is made from.
#[derive(Clone, Debug)]
pub struct ParallelBlockConfig {
    /// Self-attention.
    pub attention: AttentionConfig,
    /// The feed-forward layer.
    pub ffn: FeedForwardConfig,
    /// The norm before the sub-layers.
    pub norm: NormConfig,
    /// Whether the feed-forward layer has a norm of its own.
    pub has_ffn_norm: bool,
    /// Dropout on the sum of both sub-layers.
    pub dropout: f64,
}

/// A transformer layer whose sub-layers work side by side (GPT-J, Falcon):
/// `x + dropout(attention(norm(x)) + ffn(norm'(x)))`, with one norm for both or a norm each.
#[derive(Module, Debug)]
pub struct ParallelBlock {
    /// Self-attention.
    pub attention: Attention,
    /// The norm before self-attention.
    pub attention_norm: Norm,
    /// The feed-forward layer.
    pub ffn: FeedForward,
    /// The norm before the feed-forward layer; `None` where it reads what attention reads.
    pub ffn_norm: Option<Norm>,
    dropout: Dropout,
}

impl ParallelBlock {
    /// A block with zero weights, to be loaded.
    pub fn new(config: &ParallelBlockConfig, device: &Device) -> Self {
        Self {
            attention: Attention::new(&config.attention, device),
            attention_norm: config.norm.init(device),
            ffn: FeedForward::new(&config.ffn, device),
            ffn_norm: config.has_ffn_norm.then(|| config.norm.init(device)),
            dropout: Dropout::new(config.dropout),
        }
    }
}

impl Layer for ParallelBlock {
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        _encoded: Option<&Encoded>,
        cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let residual = rows.select(x);
        let inputs = match &self.ffn_norm {
            Some(norm) => norm.forward(residual.clone()),
            None => rows.select(normed.clone()),
        };
        let attended = self.attention.forward(normed, rows, cache, mode.child(0));
        let transformed = self.ffn.forward(inputs, mode.child(1));
        let sum = widen(transformed) + widen(attended);
        self.dropout.forward_residual(sum, residual, mode.child(2))
    }

    fn depends_on_position(&self) -> bool {
        self.attention.depends_on_position()
    }

    fn drops_out(&self) -> bool {
        self.dropout.is_active() || self.attention.drops_out() || self.ffn.drops_out()
    }
}
