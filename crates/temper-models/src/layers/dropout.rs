//! Dropout under a mode.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::Mode;

/// Dropout that [`Mode`] switches, not the device: a frozen layer that runs without autodiff
/// still drops out during training, as in transformers.
#[derive(Module, Debug)]
pub struct Dropout {
    /// Probability of an element to become zero, in `[0, 1)`.
    pub probability: f64,
}

impl Dropout {
    /// Dropout with the given probability.
    pub fn new(probability: f64) -> Self {
        Self { probability }
    }

    /// Whether it ever drops anything.
    pub fn is_active(&self) -> bool {
        self.probability > 0.0
    }

    /// The masks of one use, for operations that drop out on their own; `None` when nothing is
    /// dropped.
    pub fn masks(&self, mode: Mode) -> Option<temper_kernels::Dropout> {
        let seed = mode.seed()?;
        self.is_active().then_some(temper_kernels::Dropout { probability: self.probability as f32, seed })
    }

    /// Zeroes elements at random and scales the others by `1 / (1 - p)`.
    ///
    /// # Shapes
    /// - input and output: `[rows, width]`
    pub fn forward(&self, x: Tensor<2>, mode: Mode) -> Tensor<2> {
        match self.masks(mode) {
            Some(masks) => temper_kernels::dropout(x, None, masks),
            None => x,
        }
    }

    /// `residual + dropout(x)`: the end of a pre-norm sub-layer.
    ///
    /// # Shapes
    /// - x, residual and output: `[rows, width]`, the output never bf16
    pub fn forward_residual(&self, x: Tensor<2>, residual: Tensor<2>, mode: Mode) -> Tensor<2> {
        match self.masks(mode) {
            Some(masks) => temper_kernels::dropout(x, Some(residual), masks),
            None => temper_kernels::widen(residual) + temper_kernels::widen(x),
        }
    }
}
