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
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether the gain is one more than the weight.
    pub above_one: bool,
}

impl NormConfig {
    /// Layer normalisation with gain and bias (Ba et al. 2016).
    pub fn layer(width: usize, epsilon: f64) -> Self {
        Self { width, kind: Kind::Layer { epsilon: epsilon as f32 }, bias: true, above_one: false }
    }

    /// Division by the root mean square, with gain and without bias (Zhang and Sennrich 2019).
    pub fn rms(width: usize, epsilon: f64) -> Self {
        Self { width, kind: Kind::Rms { epsilon: epsilon as f32 }, bias: false, above_one: false }
    }

    /// The same with or without a bias.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with a gain that is one more than the weight, as Gemma has it.
    #[must_use]
    pub fn above_one(self) -> Self {
        Self { above_one: true, ..self }
    }

    /// The norm, to be loaded.
    pub fn init(&self, device: &Device) -> Norm {
        let bias = self.bias.then(|| parameter([self.width], device));
        Norm { weight: parameter([self.width], device), bias, kind: self.kind, above_one: self.above_one }
    }
}

/// Normalisation of each row.
#[derive(Module, Debug)]
pub struct Norm {
    /// Gain, or what it is more than one, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kind: Kind,
    #[module(skip)]
    above_one: bool,
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
        let weight = self.weight.val();
        let gain = if self.above_one { weight + 1.0 } else { weight };
        temper_kernels::norm(x, residual, gain, bias, self.kind)
    }
}
