use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use temper_kernels::{Norm, Residual};

use super::{Dropout, parameter};
use crate::Mode;

/// Layer normalisation with gain and bias (Ba et al. 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Gain, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// A norm over `width` elements.
    pub fn new(width: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: parameter([width], device), bias: parameter([width], device), epsilon }
    }

    /// # Shapes
    /// - x and output: `[rows, width]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.apply(x, None)
    }

    /// `norm(residual + dropout(x))`: the end of a post-norm sub-layer.
    ///
    /// # Shapes
    /// - x, residual and output: `[rows, width]`
    pub fn forward_residual(
        &self,
        x: Tensor<2>,
        residual: Tensor<2>,
        dropout: &Dropout,
        mode: Mode,
    ) -> Tensor<2> {
        self.apply(x, Some(Residual { tensor: residual, dropout: dropout.masks(mode) }))
    }

    fn apply(&self, x: Tensor<2>, residual: Option<Residual>) -> Tensor<2> {
        let norm = Norm::Layer { epsilon: self.epsilon as f32 };
        temper_kernels::norm(x, residual, self.weight.val(), Some(self.bias.val()), norm)
    }
}
