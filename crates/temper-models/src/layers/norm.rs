//! Layer norm and RMS norm.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use temper_kernels::{Norm as Kind, Residual};

use super::{Dropout, parameter};
use crate::Mode;

/// What [`Norm`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct NormConfig {
    /// Numbers a row.
    pub width: usize,
    /// What is computed.
    pub kind: Kind,
}

impl NormConfig {
    /// Layer normalisation with gain and bias (Ba et al. 2016).
    pub fn layer(width: usize, epsilon: f64) -> Self {
        Self { width, kind: Kind::Layer { epsilon: epsilon as f32 } }
    }

    /// Division by the root mean square, with gain and without bias (Zhang and Sennrich 2019).
    pub fn rms(width: usize, epsilon: f64) -> Self {
        Self { width, kind: Kind::Rms { epsilon: epsilon as f32 } }
    }

    /// The norm, to be loaded.
    pub fn init(&self, device: &Device) -> Norm {
        let bias = match self.kind {
            Kind::Layer { .. } => Some(parameter([self.width], device)),
            Kind::Rms { .. } => None,
        };
        Norm { weight: parameter([self.width], device), bias, kind: self.kind }
    }
}

/// Normalisation of each row.
#[derive(Module, Debug)]
pub struct Norm {
    /// Gain, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kind: Kind,
}

impl Norm {
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

    /// Numbers a row.
    pub fn width(&self) -> usize {
        self.weight.lazy_shape()[0]
    }

    fn apply(&self, x: Tensor<2>, residual: Option<Residual>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        temper_kernels::norm(x, residual, self.weight.val(), bias, self.kind)
    }
}
