//! The optimiser of a plan: AdamW for each group of parameters.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::ParamGroup;
use burn::optim::{AdamWState, AdaptiveMomentumState, LearningRate, ModuleOptimizer, Optimizer};
use burn::tensor::{Device, Tensor};
use serde::Serialize;
use temper_kernels::{AdamWTensors, adamw_step};

use crate::FreezePlan;

/// AdamW with transformers' defaults (Loshchilov and Hutter 2017, arXiv 1711.05101).
///
/// Burn's own defaults differ (epsilon 1e-5, decay 1e-4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of matrices; biases and norms are left out.
    pub weight_decay: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl AdamWSettings {
    /// The optimiser for a plan's groups, one a rate with and one without decay; it multiplies every gradient
    /// by `clip`.
    pub fn init(&self, plan: &FreezePlan, clip: &ClipFactor) -> ModuleOptimizer {
        let adamw = |decays: bool, rate: f64| {
            let weight_decay = if decays { self.weight_decay } else { 0.0 };
            AdamW { settings: Self { weight_decay, ..*self }, rate, clip: clip.clone() }
        };
        let groups: BTreeSet<(bool, u64)> =
            plan.rows.iter().map(|row| (row.decays, row.rate.to_bits())).collect();
        // What the plan does not name has no gradients; the default group is for it.
        groups.into_iter().fold(ModuleOptimizer::from(adamw(true, 1.0)), |optimizer, (decays, rate)| {
            let members = plan.ids(|row| row.decays == decays && row.rate.to_bits() == rate);
            optimizer.with_group(ParamGroup::from_ids(members), adamw(decays, f64::from_bits(rate)), None)
        })
    }
}

/// What clipping leaves of the gradients of a step: set before the step, read in it, so that
/// gradients are scaled in the pass that uses them. It stays on the device.
#[derive(Clone, Debug, Default)]
pub struct ClipFactor(Arc<Mutex<Option<Tensor<1>>>>);

impl ClipFactor {
    /// Sets the factor of the next step, `[1]`; `None` leaves gradients as they are.
    pub fn set(&self, factor: Option<Tensor<1>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = factor;
    }

    fn get(&self) -> Option<Tensor<1>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Burn's AdamW with the update in one pass; its state has the same record.
#[derive(Clone)]
struct AdamW {
    settings: AdamWSettings,
    /// Factor on the learning rate.
    rate: f64,
    clip: ClipFactor,
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
        let momentum = state.map(|state| state.momentum);
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = momentum
            .unwrap_or_else(|| AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()));
        let time = time + 1;
        let tensors = AdamWTensors { parameter, first_moment: moment_1, second_moment: moment_2 };
        let adamw = temper_kernels::AdamW {
            learning_rate: self.rate * learning_rate,
            beta1: self.settings.beta1,
            beta2: self.settings.beta2,
            epsilon: self.settings.epsilon,
            weight_decay: self.settings.weight_decay,
        };
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
