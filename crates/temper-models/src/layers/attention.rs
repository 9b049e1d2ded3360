use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor};

use super::{Dropout, Linear, ops};
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
    /// - x: `[batch, seq, hidden]`, padding: `[batch, seq]`; output: `[batch, seq, hidden]`
    pub fn forward(&self, x: Tensor<3>, padding: Option<Tensor<2, Bool>>, mode: Mode) -> Tensor<3> {
        let [batch, seq, hidden] = x.dims();
        let split = |x: Tensor<3>| {
            // [batch, seq, hidden] -> [batch, heads, seq, head]
            x.reshape([batch, seq, self.heads, hidden / self.heads]).swap_dims(1, 2)
        };
        let query = split(self.query.forward(x.clone()));
        let key = split(self.key.forward(x.clone()));
        let value = split(self.value.forward(x));
        let context = ops::attention(query, key, value, padding, &self.dropout, mode);
        // [batch, heads, seq, head] -> [batch, seq, hidden]
        self.output.forward(context.swap_dims(1, 2).reshape([batch, seq, hidden]))
    }
}
