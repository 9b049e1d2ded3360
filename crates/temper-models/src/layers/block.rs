use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Attention, AttentionConfig, Dropout, FeedForward, LayerNorm};
use crate::{Activation, LayerRows, Mode};

/// What [`PostNormBlock`] is made from.
#[derive(Clone, Debug)]
pub struct PostNormBlockConfig {
    /// Width of the hidden state.
    pub hidden: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Width between the two maps of the feed-forward layer.
    pub intermediate: usize,
    /// Activation of the feed-forward layer.
    pub activation: Activation,
    /// Dropout on the output of attention and feed-forward.
    pub hidden_dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Added to the variance in norms.
    pub norm_epsilon: f64,
}

/// An encoder layer that normalises after each residual sum, as BERT does.
///
/// `x = norm(x + dropout(attention(x)))`, then the same with the feed-forward layer.
#[derive(Module, Debug)]
pub struct PostNormBlock {
    /// Self-attention.
    pub attention: Attention,
    /// The norm after attention.
    pub attention_norm: LayerNorm,
    /// The feed-forward layer.
    pub ffn: FeedForward,
    /// The norm after the feed-forward layer.
    pub ffn_norm: LayerNorm,
    dropout: Dropout,
}

impl PostNormBlock {
    /// A block with zero weights, to be loaded.
    pub fn new(config: &PostNormBlockConfig, device: &Device) -> Self {
        let attention =
            AttentionConfig { hidden: config.hidden, heads: config.heads, dropout: config.attention_dropout };
        let norm = || LayerNorm::new(config.hidden, config.norm_epsilon, device);
        Self {
            attention: Attention::new(&attention, device),
            attention_norm: norm(),
            ffn: FeedForward::new(config.hidden, config.intermediate, config.activation, device),
            ffn_norm: norm(),
            dropout: Dropout::new(config.hidden_dropout),
        }
    }

    /// # Shapes
    /// - x: `[tokens, hidden]`; output: `[rows, hidden]`
    pub fn forward(&self, x: Tensor<2>, rows: &LayerRows, mode: Mode) -> Tensor<2> {
        let queries = rows.select(x.clone());
        let attended = self.attention.forward(queries.clone(), x, &rows.layout, mode.child(0));
        let x = self.attention_norm.forward_residual(attended, queries, &self.dropout, mode.child(1));
        let transformed = self.ffn.forward(x.clone());
        self.ffn_norm.forward_residual(transformed, x, &self.dropout, mode.child(2))
    }
}
