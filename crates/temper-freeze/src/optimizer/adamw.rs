//! AdamW with its update in one pass over memory.

use burn::optim::{AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use temper_kernels::{AdamWTask, AdamWTensors, adamw_step};

use super::shared::Turn;
use super::{ClipFactor, OptimizerSettings};

/// Burn's AdamW with the update in one pass; its state has the same record.
#[derive(Clone)]
pub(super) struct AdamW {
    pub settings: OptimizerSettings,
    /// Factor on the learning rate.
    pub rate: f64,
    pub clip: ClipFactor,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let turn = self.clip.turn();
        if let Turn::Give(done) = turn {
            let AdamWTask { parameter, first_moment, second_moment, step, .. } = *done;
            let [parameter, first, second] =
                [parameter, first_moment, second_moment].map(Tensor::from_dispatch);
            return (
                parameter,
                Some(AdamWState::new(AdaptiveMomentumState::new(step as usize, first, second))),
            );
        }
        let momentum = state.map(|state| state.momentum);
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = momentum
            .unwrap_or_else(|| AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()));
        let time = time + 1;
        let adamw = temper_kernels::AdamW {
            learning_rate: self.rate * learning_rate,
            beta1: self.settings.beta1,
            beta2: self.settings.beta2,
            epsilon: self.settings.epsilon,
            weight_decay: self.settings.weight_decay,
        };
        if matches!(turn, Turn::Take) {
            self.clip.take(AdamWTask {
                parameter: parameter.into_dispatch(),
                first_moment: moment_1.into_dispatch(),
                second_moment: moment_2.into_dispatch(),
                gradient: gradient.clone().into_dispatch(),
                adamw,
                step: time as u32,
            });
            // The second round replaces it.
            return (gradient, None);
        }
        let tensors = AdamWTensors { parameter, first_moment: moment_1, second_moment: moment_2 };
        let AdamWTensors { parameter, first_moment, second_moment } =
            adamw_step(tensors, gradient, &adamw, time as u32, self.clip.get());
        let momentum = AdaptiveMomentumState::new(time, first_moment, second_moment);
        (parameter, Some(AdamWState::new(momentum)))
    }

    fn to_device<const D: usize>(mut state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}
