use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::parameter;
use crate::Activation;

/// An affine map, `x W + b`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`: the transpose of PyTorch's `nn.Linear`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A map with bias.
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self::with_bias(inputs, outputs, true, device)
    }

    /// A map with or without bias.
    pub fn with_bias(inputs: usize, outputs: usize, bias: bool, device: &Device) -> Self {
        let bias = bias.then(|| parameter([outputs], device));
        Self { weight: parameter([inputs, outputs], device), bias }
    }

    /// # Shapes
    /// - x: `[rows, in]`; output: `[rows, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        temper_kernels::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val), None)
    }

    /// The map followed by an activation.
    ///
    /// # Shapes
    /// - x: `[rows, in]`; output: `[rows, out]`
    pub fn forward_activated(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        temper_kernels::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val), Some(activation))
    }
}
