use burn::module::Module;
use burn::tensor::{Distribution, Tensor};

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

    /// Zeroes elements at random and scales the others by `1 / (1 - p)`.
    ///
    /// # Shapes
    /// - input and output: `[..., any]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>, mode: Mode) -> Tensor<D> {
        if mode == Mode::Evaluate || self.probability == 0.0 {
            return x;
        }
        let keep = 1.0 - self.probability;
        let mask = x.random_like(Distribution::Bernoulli(keep)) / keep;
        x * mask
    }
}
