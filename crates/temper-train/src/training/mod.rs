//! The training loop: burn-train's Learner under a custom strategy that counts optimiser steps, not epochs,
//! and resumes exactly.

mod ahead;
mod averaging;
mod checkpoint;
mod evaluation;
mod exchange;
mod finite;
mod journal;
mod learner;
mod loader;
mod log_sums;
mod logs;
#[cfg(feature = "online")]
mod mlflow;
#[cfg(not(feature = "online"))]
#[path = "no_mlflow.rs"]
mod mlflow;
mod occlusion;
mod parallel;
mod progress;
mod readings;
mod renderer;
mod schedule;
mod selection;
mod sharing;
mod strategy;
mod tensorboard;
mod tracked;
mod trunk;
mod validation;

pub use averaging::WeightAverage;
pub use checkpoint::{Checkpoint, CheckpointContent, CheckpointState, Checkpoints, Trained};
pub use evaluation::{Evaluated, Evaluation, evaluate, predict};
pub use journal::{CheckpointRow, EvaluationRow, Journal, JournalRow, read_journal};
pub use learner::{BatchOutputs, MicroBatch, StepOutput, TaskModel, TrainingStep};
pub use loader::{EvaluationLoader, StepLoader, steps_per_epoch};
pub use log_sums::{LogSums, StepRow};
pub use logs::Logs;
pub use mlflow::end_in_mlflow;
pub use occlusion::{OcclusionLimits, Piece, occlusion};
pub use progress::Progress;
pub use schedule::Schedule;
pub use selection::Selection;
pub use sharing::{compare_parameters, compare_values, stop_of_any};
pub(crate) use sharing::{decoded, encoded};
pub use strategy::{Outcome, Stepwise, train};
pub use tracked::{RunParameters, RunStatus};
pub use trunk::{SplitTrunk, TrunkReport, TrunkReports, Trunks};
