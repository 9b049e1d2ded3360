use burn::module::ParamGroup;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use serde::Serialize;

use crate::FreezePlan;

/// AdamW with transformers' defaults (Loshchilov and Hutter 2017, arXiv 1711.05101).
///
/// Burn's own defaults differ (epsilon 1e-5, decay 1e-4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled decay of matrices; biases and norms are left out.
    pub weight_decay: f32,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl AdamWSettings {
    /// The optimiser for a plan's two groups.
    pub fn init(&self, plan: &FreezePlan) -> ModuleOptimizer {
        let config = AdamWConfig::new()
            .with_beta_1(self.beta1)
            .with_beta_2(self.beta2)
            .with_epsilon(self.epsilon)
            .with_weight_decay(self.weight_decay);
        let without_decay = ParamGroup::from_ids(plan.ids(|row| !row.decays));
        config.init().with_group(without_decay, config.with_weight_decay(0.0).build(), None)
    }
}
