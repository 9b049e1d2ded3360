//! The steps at which a run logs, evaluates, saves and checks its proof.

use crate::signals::Stop;

/// The step after which the training proof is checked for the first time; the last is the other.
const FIRST_PROOF: usize = 3;

/// When a run logs, evaluates and saves, in optimiser steps.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Length of the run.
    pub total_steps: usize,
    /// Steps in one pass over the data.
    pub steps_per_epoch: usize,
    /// Steps between two evaluations.
    pub eval_every: usize,
    /// Steps between two checkpoints.
    pub save_every: usize,
    /// Steps between two rows of metrics.jsonl.
    pub log_every: usize,
    /// Whether the first step has a row of its own.
    pub log_first: bool,
}

/// What follows a step.
pub(super) struct Due {
    pub(super) unfreezes: bool,
    pub(super) prove: bool,
    pub(super) log: bool,
    pub(super) evaluate: bool,
    /// A checkpoint because its time has come, as in every run of these settings.
    pub(super) save: bool,
    /// A checkpoint because a signal asked for one.
    pub(super) save_asked: bool,
    /// Why the run ends after the step, if a signal asked for that.
    pub(super) stop: Option<Stop>,
}

impl Due {
    pub(super) fn saves(&self) -> bool {
        self.save || self.save_asked || self.stop.is_some()
    }

    pub(super) fn anything(&self) -> bool {
        self.prove || self.log || self.evaluate || self.saves()
    }
}

impl Schedule {
    /// What follows the step of that number, counted from 1; `unfreezes` if more trains from the next one on.
    pub(super) fn due(&self, number: usize, unfreezes: bool) -> Due {
        let is_last = number == self.total_steps;
        Due {
            unfreezes,
            prove: number == FIRST_PROOF || is_last || unfreezes,
            log: number.is_multiple_of(self.log_every) || is_last || self.log_first && number == 1,
            evaluate: number.is_multiple_of(self.eval_every) || is_last,
            // After the last step the model itself is saved.
            save: !is_last && number.is_multiple_of(self.save_every),
            save_asked: false,
            stop: None,
        }
    }
}
