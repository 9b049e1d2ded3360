use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::Linear;
use crate::Activation;

/// Two linear maps with an activation between them.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[hidden, intermediate]`
    pub inner: Linear,
    /// `[intermediate, hidden]`
    pub outer: Linear,
    #[module(skip)]
    activation: Activation,
}

impl FeedForward {
    /// A feed-forward layer with zero weights, to be loaded.
    pub fn new(hidden: usize, intermediate: usize, activation: Activation, device: &Device) -> Self {
        Self {
            inner: Linear::new(hidden, intermediate, device),
            outer: Linear::new(intermediate, hidden, device),
            activation,
        }
    }

    /// # Shapes
    /// - x and output: `[rows, hidden]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.outer.forward(self.inner.forward_activated(x, self.activation))
    }
}
