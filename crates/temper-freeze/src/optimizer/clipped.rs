//! Burn's optimisers on gradients that are clipped by the global norm.

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

use super::ClipFactor;

/// A rule of Burn's for a group of parameters.
#[derive(Clone)]
pub(super) struct Clipped<O> {
    pub rule: O,
    /// Factor on the learning rate.
    pub rate: f64,
    pub clip: ClipFactor,
}

impl<O: Optimizer> Optimizer for Clipped<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<O::State<D>>,
    ) -> (Tensor<D>, Option<O::State<D>>) {
        let gradient = match self.clip.get() {
            None => gradient,
            Some(factor) => scaled(gradient, factor),
        };
        self.rule.step(self.rate * learning_rate, parameter, gradient, state)
    }

    fn to_device<const D: usize>(state: O::State<D>, device: &Device) -> O::State<D> {
        O::to_device(state, device)
    }
}

/// A factor of 0 means that a gradient was NaN or infinite: then all of them are zero, and nothing is spoilt before the
/// run ends with an error.
///
/// # Shapes
/// - factor: `[1]`
fn scaled<const D: usize>(gradient: Tensor<D>, factor: Tensor<1>) -> Tensor<D> {
    // [1] -> [1, ..., 1] -> the gradient's shape
    let factor: Tensor<D> = factor.reshape([1; D]).expand(gradient.dims());
    let is_spoilt = factor.clone().equal_elem(0.0);
    (gradient * factor).mask_fill(is_spoilt, 0.0)
}
