//! The optimiser of a plan: a rule for each group of parameters.

mod adamw;
mod clipped;
mod shared;

use std::collections::BTreeSet;

use burn::module::ParamGroup;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdafactorConfig, AdamConfig, LionConfig, ModuleOptimizer, Optimizer, SgdConfig};
use serde::{Deserialize, Serialize};

use crate::FreezePlan;
use adamw::AdamW;
use clipped::Clipped;
pub use shared::ClipFactor;

/// The rule by which parameters follow their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101), in one pass over memory.
    #[default]
    Adamw,
    /// Adam (Kingma and Ba 2014, arXiv 1412.6980); weight decay is a part of the gradient.
    Adam,
    /// Plain gradient descent, as `torch.optim.SGD` without momentum; weight decay is a part of the gradient.
    Sgd,
    /// Second moments by row and column (Shazeer and Stern 2018, arXiv 1804.04235) at the schedule's rate, as
    /// transformers' Trainer sets it up: neither a relative step nor a scale by the parameter.
    Adafactor,
    /// The sign of a mean of gradients (Chen et al. 2023, arXiv 2302.06675); needs a lower learning rate than Adam.
    Lion,
}

/// The numbers of an optimiser, with transformers' defaults.
///
/// Burn's own defaults differ (epsilon 1e-5, decay 1e-4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OptimizerSettings {
    /// Decay of the first moment; for Lion, the weight of the mean in an update.
    pub beta1: f64,
    /// Decay of the second moment; for Lion, that of the mean.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of matrices; biases and norms are left out.
    pub weight_decay: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl OptimizerSettings {
    /// AdamW for a plan's groups, one a rate with and one without decay; it multiplies every gradient by `clip`.
    pub fn init(&self, plan: &FreezePlan, clip: &ClipFactor) -> ModuleOptimizer {
        self.init_kind(OptimizerKind::Adamw, plan, clip)
    }

    /// As [`init`](Self::init), for any rule.
    pub fn init_kind(&self, kind: OptimizerKind, plan: &FreezePlan, clip: &ClipFactor) -> ModuleOptimizer {
        let Self { beta1, beta2, epsilon, .. } = *self;
        let (beta_1, beta_2) = (beta1 as f32, beta2 as f32);
        // In Burn, a decay of zero is a term of its own.
        let penalty = |decay: f64| (decay > 0.0).then(|| WeightDecayConfig::new(decay as f32));
        clip.serve(kind);
        match kind {
            OptimizerKind::Adamw => grouped(plan, |decays, rate| {
                let weight_decay = if decays { self.weight_decay } else { 0.0 };
                AdamW { settings: Self { weight_decay, ..*self }, rate, clip: clip.clone() }
            }),
            OptimizerKind::Adam => self.clipped(plan, clip, |decay| {
                let config = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2);
                config.with_epsilon(epsilon as f32).with_weight_decay(penalty(decay)).build()
            }),
            OptimizerKind::Sgd => {
                self.clipped(plan, clip, |decay| SgdConfig::new().with_weight_decay(penalty(decay)).build())
            }
            OptimizerKind::Adafactor => self.clipped(plan, clip, |decay| {
                let config = AdafactorConfig::new().with_relative_step(false).with_scale_parameter(false);
                config.with_weight_decay(decay as f32).build()
            }),
            OptimizerKind::Lion => self.clipped(plan, clip, |decay| {
                let config = LionConfig::new().with_beta_1(beta_1).with_beta_2(beta_2);
                config.with_weight_decay(decay as f32).build()
            }),
        }
    }

    /// One of Burn's rules, made from a decay, on gradients that are clipped first.
    fn clipped<O: Optimizer + 'static>(
        &self,
        plan: &FreezePlan,
        clip: &ClipFactor,
        rule: impl Fn(f64) -> O,
    ) -> ModuleOptimizer {
        grouped(plan, |decays, rate| {
            let decay = if decays { self.weight_decay } else { 0.0 };
            Clipped { rule: rule(decay), rate, clip: clip.clone() }
        })
    }
}

/// A rule for each group of a plan: whether its parameters decay, and the factor on their rate.
fn grouped<O: Optimizer + 'static>(plan: &FreezePlan, rule: impl Fn(bool, f64) -> O) -> ModuleOptimizer {
    let groups: BTreeSet<(bool, u64)> =
        plan.rows.iter().map(|row| (row.decays, row.rate.to_bits())).collect();
    // What the plan does not name has no gradients; the default group is for it.
    groups.into_iter().fold(ModuleOptimizer::from(rule(true, 1.0)), |optimizer, (decays, rate)| {
        let members = plan.ids(|row| row.decays == decays && row.rate.to_bits() == rate);
        optimizer.with_group(ParamGroup::from_ids(members), rule(decays, f64::from_bits(rate)), None)
    })
}
