//! Hashes of parameters before and after training, which prove what changed.

use std::collections::{HashMap, HashSet};
use std::fmt;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{FreezePlan, GradientNorms};

/// A hash of every parameter's bits at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterHashes(HashMap<ParamId, [u8; 32]>);

impl ParameterHashes {
    /// Hashes a module's parameters.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut hasher = Hasher(HashMap::new());
        module.visit(&mut hasher);
        Self(hasher.0)
    }
}

struct Hasher(HashMap<ParamId, [u8; 32]>);

impl ModuleVisitor for Hasher {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        self.0.insert(param.id, Sha256::digest(data.as_bytes()).into());
    }
}

/// Gradients that are smaller relative to all others are what rounding leaves of sums that cancel: that of a key's bias,
/// which a softmax does not see. Adam makes steps of them as of any other; plain gradient descent may move nothing.
const NOISE: f32 = 1e-6;
const UNCHANGED: &str = "should train, but did not change";

/// One parameter that did not do what the plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its path.
    pub path: String,
    /// What happened.
    pub what: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.path, self.what)
    }
}

/// The proof that training moved what it should and nothing else.
///
/// Every parameter that trains must have had a finite gradient above zero in at least one step and
/// must have changed, unless its gradients were rounding noise; every frozen one must be the same bit for bit.
#[derive(Clone, Debug)]
pub struct TrainingProof {
    before: ParameterHashes,
    had_gradient: HashSet<ParamId>,
    /// Those of more than rounding noise.
    had_more_than_noise: HashSet<ParamId>,
    had_infinite: HashSet<ParamId>,
}

impl TrainingProof {
    /// Starts from the parameters before the first step.
    pub fn begin<M: Module>(module: &M) -> Self {
        Self {
            before: ParameterHashes::of(module),
            had_gradient: HashSet::new(),
            had_more_than_noise: HashSet::new(),
            had_infinite: HashSet::new(),
        }
    }

    /// Notes the gradients of one step.
    pub fn observe(&mut self, norms: &GradientNorms) {
        for &(id, norm) in &norms.each {
            if !norm.is_finite() {
                self.had_infinite.insert(id);
            } else if norm > 0.0 {
                self.had_gradient.insert(id);
                if norm > NOISE * norms.total {
                    self.had_more_than_noise.insert(id);
                }
            }
        }
    }

    /// Compares with the parameters after a few steps, when a small rate may not have moved every
    /// parameter by as much as one bit; `steps` optimiser steps are done.
    pub fn early_violations<M: Module>(&self, module: &M, plan: &FreezePlan, steps: usize) -> Vec<Violation> {
        let mut violations = self.violations(module, plan, steps);
        violations.retain(|violation| violation.what != UNCHANGED);
        violations
    }

    /// Compares with the parameters after so many optimiser steps; an empty list is the proof. What a gradual
    /// strategy has not yet unfrozen has to be as it was.
    pub fn violations<M: Module>(&self, module: &M, plan: &FreezePlan, steps: usize) -> Vec<Violation> {
        let after = ParameterHashes::of(module);
        let mut violations = Vec::new();
        for row in &plan.rows {
            let id = row.id;
            let changed = self.before.0.get(&id) != after.0.get(&id);
            let trained = steps > 0 && row.trains_in(steps - 1);
            let what = match (trained, changed) {
                (false, true) => "is frozen, but changed",
                (true, _) if self.had_infinite.contains(&id) => "had a gradient that is not finite",
                (true, _) if !self.had_gradient.contains(&id) => "should train, but never had a gradient",
                (true, false) if self.had_more_than_noise.contains(&id) => UNCHANGED,
                _ => continue,
            };
            violations.push(Violation { path: row.path.clone(), what });
        }
        violations
    }
}
