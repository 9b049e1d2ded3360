//! The linear map with activation and norm that comes first in some heads.

use burn::tensor::{Device, Tensor};

use crate::layers::{Linear, Norm, NormConfig};
use crate::{Activation, Mode};

/// What a head computes before its last map: `norm(activation(dense(x)))`. Its parts are fields of the head, `dense` and
/// `norm`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransformConfig {
    /// After the map.
    pub activation: Activation,
    /// Whether the map has a bias.
    pub bias: bool,
    /// Numbers that the map gives; as many as it reads when absent.
    pub width: Option<usize>,
    /// Epsilon of a layer norm after the activation, where there is one.
    pub epsilon: Option<f64>,
    /// Whether that norm has a bias.
    pub norm_bias: bool,
}

impl TransformConfig {
    /// A square map with bias, and no norm.
    pub fn plain(activation: Activation) -> Self {
        Self { activation, bias: true, width: None, epsilon: None, norm_bias: true }
    }

    /// The same with a layer norm.
    pub fn normed(activation: Activation, epsilon: f64) -> Self {
        Self { epsilon: Some(epsilon), ..Self::plain(activation) }
    }

    /// Numbers that the last map reads.
    pub(super) fn outputs(&self, hidden: usize) -> usize {
        self.width.unwrap_or(hidden)
    }

    pub(super) fn dense(&self, hidden: usize, device: &Device) -> Linear {
        Linear::with_bias(hidden, self.outputs(hidden), self.bias, device)
    }

    pub(super) fn norm(&self, hidden: usize, device: &Device) -> Option<Norm> {
        let norm = |epsilon| NormConfig::layer(self.outputs(hidden), epsilon).with_bias(self.norm_bias);
        self.epsilon.map(|epsilon| norm(epsilon).init(device))
    }

    /// # Shapes
    /// - x: `[rows, hidden]`; output: `[rows, width]`
    pub(super) fn apply(&self, dense: &Linear, norm: Option<&Norm>, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let x = dense.forward_activated(x, self.activation, mode);
        match norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}
