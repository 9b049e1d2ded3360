use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::{AttentionHeads, AttentionLayout, AttentionPattern};

use super::{Dropout, Linear};
use crate::Mode;

/// What [`Attention`] is made from.
#[derive(Clone, Debug)]
pub struct AttentionConfig {
    /// Width of the hidden state.
    pub hidden: usize,
    /// Number of heads; divides `hidden`.
    pub heads: usize,
    /// Dropout on the attention weights.
    pub dropout: f64,
}

/// Multi-head self-attention that sees both directions.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[hidden, hidden]`
    pub query: Linear,
    /// `[hidden, hidden]`
    pub key: Linear,
    /// `[hidden, hidden]`
    pub value: Linear,
    /// `[hidden, hidden]`
    pub output: Linear,
    dropout: Dropout,
    heads: usize,
}

impl Attention {
    /// Attention with zero weights, to be loaded.
    pub fn new(config: &AttentionConfig, device: &Device) -> Self {
        let linear = || Linear::new(config.hidden, config.hidden, device);
        Self {
            query: linear(),
            key: linear(),
            value: linear(),
            output: linear(),
            dropout: Dropout::new(config.dropout),
            heads: config.heads,
        }
    }

    /// # Shapes
    /// - queries: `[query rows, hidden]`, what asks; keys: `[key rows, hidden]`, what is seen
    /// - output: `[query rows, hidden]`
    pub fn forward(
        &self,
        queries: Tensor<2>,
        keys: Tensor<2>,
        layout: &AttentionLayout,
        mode: Mode,
    ) -> Tensor<2> {
        let [_, hidden] = queries.dims();
        let head = hidden / self.heads;
        let attention = temper_kernels::Attention {
            heads: AttentionHeads { query_heads: self.heads, key_heads: self.heads, head },
            pattern: AttentionPattern {
                causal: false,
                window: None,
                alibi: None,
                relative: None,
                scale: 1.0 / (head as f32).sqrt(),
            },
            layout: layout.clone(),
            dropout: self.dropout.masks(mode),
        };
        let query = self.query.forward(queries);
        let key = self.key.forward(keys.clone());
        let value = self.value.forward(keys);
        self.output.forward(temper_kernels::attention(query, key, value, None, attention))
    }
}
