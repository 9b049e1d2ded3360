//! Fine-tuning of pretrained language models: the library behind the binary `temper`.
//!
//! Data flow of a run: [`RunRequest`] -> files ([`temper_hub`]) -> examples ([`temper_data`]) ->
//! model ([`temper_models`]) with a plan of what trains ([`temper_freeze`]) -> [`training`] ->
//! a run folder.

// What is written goes through `terminal`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod baselines;
mod charts;
pub mod cli;
pub mod commands;
pub mod device;
mod error;
pub mod examples;
pub mod figures;
mod headings;
pub mod model;
pub mod ranks;
pub mod run;
pub mod settings;
pub mod signals;
mod sources;
pub mod tasks;
mod terminal;
pub mod training;

/// The version of Burn that computes; numbers may change with it.
pub const BURN_VERSION: &str = "0.22.1";

pub use device::{Backend, PrecisionSetting, allocator, guarded};
pub use error::TrainError;
pub use examples::Split;
pub use model::{CutOptions, LocalModel, ModelEncoding, RecordedEncoding};
pub use run::{Estimate, Results, ResumedRecord, RunFolder, RunName, RunRecord, RunRequest};
pub use settings::{ModelDefaults, Preset, Settings};
pub use sources::{ColumnOptions, Columns, NamedColumn, ReadFile, SourceOptions};
