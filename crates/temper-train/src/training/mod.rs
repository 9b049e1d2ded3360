//! The loop: burn-train's Learner under a strategy of ours, in optimiser steps rather than epochs,
//! with exact resume.

mod ahead;
mod checkpoint;
mod evaluation;
mod exchange;
mod journal;
mod learner;
mod loader;
mod parallel;
mod progress;
mod readings;
mod renderer;
mod strategy;
mod trunk;

pub use checkpoint::{CheckpointState, Checkpoints};
pub use evaluation::{Evaluation, evaluate, predict};
pub use journal::{EvaluationRow, Journal, JournalRow, StepRow, read_journal};
pub use learner::{BatchPredictions, MicroBatch, StepOutput, TaskModel, TrainingStep};
pub use loader::{EvaluationLoader, Examples, StepLoader, steps_per_epoch};
pub use progress::Progress;
pub use strategy::{Outcome, Schedule, Stepwise, train};
pub use trunk::{SplitTrunk, TrunkReport, TrunkReports, Trunks};
