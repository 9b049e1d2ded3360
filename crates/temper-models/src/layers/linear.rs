use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{ops, parameter};

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
        Self { weight: parameter([inputs, outputs], device), bias: Some(parameter([outputs], device)) }
    }

    /// # Shapes
    /// - input: `[..., in]`; output: `[..., out]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}
