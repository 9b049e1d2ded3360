//! What all rules of an optimiser share during a step: the clip factor, and parameters that wait for their group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Tensor};
use temper_kernels::{AdamWTask, adamw_steps, steps_in_groups};

use super::OptimizerKind;

/// What clipping leaves of the gradients of a step: set before the step, read in it, so that
/// gradients are scaled in the pass that uses them. It stays on the device.
#[derive(Clone, Debug, Default)]
pub struct ClipFactor(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    factor: Option<Tensor<1>>,
    /// The rule is AdamW, which can wait for a group.
    serves_adamw: bool,
    round: Round,
}

/// Burn asks a rule for one parameter after the other. On a GPU a launch for each costs more than its arithmetic, so a
/// step has two rounds: in the first AdamW takes parameters and gives others in their place, in the second it gives what
/// a few launches made of all of them.
#[derive(Debug, Default)]
enum Round {
    /// Each parameter on its own.
    #[default]
    Alone,
    Taking(Vec<AdamWTask>),
    Giving(VecDeque<AdamWTask>),
}

/// What a rule has to do with a parameter.
pub(super) enum Turn {
    /// Its step.
    Step,
    /// Hand it over with [`ClipFactor::take`].
    Take,
    /// Give this in its place.
    Give(Box<AdamWTask>),
}

impl ClipFactor {
    /// Sets the factor of the next step, `[1]`; `None` leaves gradients as they are.
    pub fn set(&self, factor: Option<Tensor<1>>) {
        self.shared().factor = factor;
    }

    /// A step of an optimiser that was made with this clip factor, on a GPU in a few launches for all parameters; else
    /// it is Burn's.
    pub fn step<M: Module>(
        &self,
        optimizer: &mut ModuleOptimizer,
        rate: impl Into<ModuleLearningRate>,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        let rate = rate.into();
        let mut again = Again { gradients: &gradients, copies: GradientsParams::new(), suits: true };
        if self.shared().serves_adamw {
            module.visit(&mut again);
        }
        let Again { copies, suits, .. } = again;
        if !suits || copies.is_empty() {
            return optimizer.step(rate, module, gradients);
        }
        self.shared().round = Round::Taking(Vec::new());
        let module = optimizer.step(rate.clone(), module, gradients);
        let (factor, round) = {
            let mut shared = self.shared();
            (shared.factor.clone(), std::mem::take(&mut shared.round))
        };
        let Round::Taking(tasks) = round else { unreachable!("only this function changes the round") };
        self.shared().round = Round::Giving(adamw_steps(tasks, factor).into());
        let module = optimizer.step(rate, module, copies);
        self.shared().round = Round::Alone;
        module
    }

    pub(super) fn get(&self) -> Option<Tensor<1>> {
        self.shared().factor.clone()
    }

    /// Says which rule asks: the last one for which an optimiser was made.
    pub(super) fn serve(&self, kind: OptimizerKind) {
        self.shared().serves_adamw = kind == OptimizerKind::Adamw;
    }

    pub(super) fn turn(&self) -> Turn {
        match &mut self.shared().round {
            Round::Alone => Turn::Step,
            Round::Taking(_) => Turn::Take,
            Round::Giving(done) => {
                Turn::Give(Box::new(done.pop_front().expect("both rounds have the same parameters")))
            }
        }
    }

    pub(super) fn take(&self, task: AdamWTask) {
        match &mut self.shared().round {
            Round::Taking(tasks) => tasks.push(task),
            Round::Alone | Round::Giving(_) => unreachable!("a rule was told to hand a parameter over"),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gradients once more, for the second round, if all parameters with one can be in groups.
struct Again<'a> {
    gradients: &'a GradientsParams,
    copies: GradientsParams,
    suits: bool,
}

impl ModuleVisitor for Again<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let parameter = param.val();
            let types = [parameter.dtype(), gradient.dtype()];
            self.suits &= types == [DType::F32; 2] && steps_in_groups(&gradient.device());
            self.copies.register(param.id, gradient);
        }
    }
}
