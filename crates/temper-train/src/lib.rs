//! Fine-tuning of pretrained language models: the library behind the binary `temper`.
//!
//! The way of a run: [`RunRequest`] -> files ([`temper_hub`]) -> examples ([`temper_data`]) ->
//! model ([`temper_models`]) with a plan of what trains ([`temper_freeze`]) -> [`training`] ->
//! a run folder.

mod adapters;
pub mod allocator;
mod backend;
pub mod baselines;
pub mod cli;
pub mod commands;
mod data;
mod error;
#[cfg(feature = "gpu")]
mod gpu;
pub mod memory;
pub mod metrics;
pub mod nvidia;
mod panics;
mod precision;
mod record;
mod report;
mod results;
mod run_folder;
pub mod settings;
mod sources;
pub mod statistics;
pub mod tasks;
pub mod training;

pub use backend::Backend;
pub use data::{Split, SplitSet, Splits};
pub use error::TrainError;
pub use panics::guarded;
pub use precision::PrecisionSetting;
pub use record::{ResumedRecord, RunRecord, RunRequest};
pub use results::Results;
pub use run_folder::RunFolder;
pub use settings::{Preset, Settings};
pub use sources::{ColumnOptions, LocalModel, SourceOptions};
