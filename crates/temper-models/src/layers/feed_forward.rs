//! The feed-forward sub-layer, gated or not.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::linear::apply_all;
use super::{Dropout, Linear};
use crate::{Activation, Mode};

/// What [`FeedForward`] is made from.
#[derive(Clone, Debug)]
pub struct FeedForwardConfig {
    /// Width of the hidden state.
    pub hidden: usize,
    /// Width between the two maps.
    pub intermediate: usize,
    /// Between the two maps.
    pub activation: Activation,
    /// Whether the activation is of a second map that gates the first (Shazeer 2020).
    pub gated: bool,
    /// Whether the maps have a bias.
    pub bias: bool,
    /// Dropout between the maps.
    pub dropout: f64,
}

impl FeedForwardConfig {
    /// Two maps with bias, no gate and no dropout between them.
    pub fn new(hidden: usize, intermediate: usize, activation: Activation) -> Self {
        Self { hidden, intermediate, activation, gated: false, bias: true, dropout: 0.0 }
    }
}

/// Two linear maps with an activation between them, and perhaps a gate.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[hidden, intermediate]`
    pub inner: Linear,
    /// `[hidden, intermediate]`: its activation multiplies what `inner` gives.
    pub gate: Option<Linear>,
    /// `[intermediate, hidden]`
    pub outer: Linear,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl FeedForward {
    /// A feed-forward layer with zero weights, to be loaded.
    pub fn new(config: &FeedForwardConfig, device: &Device) -> Self {
        let FeedForwardConfig { hidden, intermediate, activation, gated, bias, dropout } = *config;
        let inner = || Linear::with_bias(hidden, intermediate, bias, device);
        Self {
            inner: inner(),
            gate: gated.then(inner),
            outer: Linear::with_bias(intermediate, hidden, bias, device),
            dropout: Dropout::new(dropout),
            activation,
        }
    }

    /// Whether anything drops out between the maps in training.
    pub fn drops_out(&self) -> bool {
        self.dropout.is_active()
    }

    /// # Shapes
    /// - x and output: `[rows, hidden]`
    pub fn forward(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        let inner = match &self.gate {
            Some(gate) => {
                let x = gate.factor(x);
                let [gate, inner] =
                    apply_all([(gate, x.clone(), mode.child(1)), (&self.inner, x, mode.child(0))]);
                temper_kernels::gate(gate, inner, self.activation)
            }
            None => self.inner.forward_activated(x, self.activation, mode.child(0)),
        };
        self.outer.forward(self.dropout.forward(inner, mode), mode.child(2))
    }
}
