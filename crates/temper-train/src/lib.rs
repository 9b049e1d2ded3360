//! Fine-tuning of pretrained language models: the library behind the binary `temper`.
//!
//! The way of a run: [`RunRequest`] -> files ([`temper_hub`]) -> examples ([`temper_data`]) ->
//! model ([`temper_models`]) with a plan of what trains ([`temper_freeze`]) -> [`training`] ->
//! a run folder.

// What is written goes through `terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod adapters;
pub mod allocator;
mod backend;
pub mod baselines;
pub mod cli;
pub mod commands;
mod encoding;
mod error;
pub mod examples;
#[cfg(feature = "gpu")]
mod gpu;
pub mod memory;
mod model_files;
pub mod nvidia;
mod padding;
mod panics;
mod precision;
mod record;
mod report;
mod results;
mod run_folder;
mod sentence;
pub mod settings;
pub mod signals;
mod sources;
pub mod tasks;
mod terminal;
pub mod training;

/// The version of Burn that computes; numbers may change with it.
pub const BURN_VERSION: &str = "0.22.1";

pub use backend::Backend;
pub use encoding::{CutOptions, ModelDefaults, ModelEncoding, RecordedEncoding};
pub use error::TrainError;
pub use examples::Split;
pub use panics::guarded;
pub use precision::PrecisionSetting;
pub use record::{ResumedRecord, RunRecord, RunRequest};
pub use results::Results;
pub use run_folder::{RunFolder, RunName};
pub use settings::{Preset, Settings};
pub use sources::{ColumnOptions, Columns, LocalModel, NamedColumn, ReadFile, SourceOptions};
