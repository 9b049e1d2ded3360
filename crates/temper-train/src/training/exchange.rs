//! Data that the training loop and the optimiser step exchange.

use std::sync::{Arc, Mutex, MutexGuard};

use burn::optim::OptimizerRecord;
use temper_freeze::{FreezePlan, GradientSquares};

/// Data that the loop and the optimiser step exchange.
///
/// burn-train's Learner keeps its optimiser private; the step inside the model is the one place
/// that sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct StepExchange(Arc<Mutex<ExchangeContent>>);

#[derive(Default)]
struct ExchangeContent {
    wants_record: bool,
    record: Option<OptimizerRecord>,
    squares: Option<GradientSquares>,
    unfreezing: Option<Unfreezing>,
}

/// What the plan changes with the next optimiser step.
pub(super) struct Unfreezing {
    pub(super) plan: FreezePlan,
    /// The step, counted from 0.
    pub(super) step: usize,
}

impl std::fmt::Debug for ExchangeContent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Content").field("wants_record", &self.wants_record).finish_non_exhaustive()
    }
}

impl StepExchange {
    fn content(&self) -> MutexGuard<'_, ExchangeContent> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks for the optimiser's state after the next step.
    pub(super) fn ask_for_record(&self) {
        self.content().wants_record = true;
    }

    pub(super) fn record_is_wanted(&self) -> bool {
        std::mem::take(&mut self.content().wants_record)
    }

    pub(super) fn put_record(&self, record: OptimizerRecord) {
        self.content().record = Some(record);
    }

    pub(super) fn take_record(&self) -> Option<OptimizerRecord> {
        self.content().record.take()
    }

    pub(super) fn put_squares(&self, squares: GradientSquares) {
        self.content().squares = Some(squares);
    }

    pub(super) fn take_squares(&self) -> Option<GradientSquares> {
        self.content().squares.take()
    }

    /// Asks for the plan of the next step to be applied after this one.
    pub(super) fn unfreeze(&self, unfreezing: Unfreezing) {
        self.content().unfreezing = Some(unfreezing);
    }

    pub(super) fn take_unfreezing(&self) -> Option<Unfreezing> {
        self.content().unfreezing.take()
    }
}
