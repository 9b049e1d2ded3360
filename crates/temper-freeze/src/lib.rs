//! What trains, when and how fast.
//!
//! A [`Strategy`] names a set of parameters; a [`FreezePlan`] is that set worked out for one
//! model, with a row a parameter; applied, it decides which tensors ask for gradients. Optimiser,
//! schedule and clipping follow PyTorch's semantics. [`TrainingProof`] checks afterwards that what
//! should train did, and that nothing else moved. A [`TrunkCache`] keeps what the frozen lowest layers
//! compute for each example; [`lora`] adds low-rank adapters to frozen maps.
//!
//! The crate knows parameter paths, never families: any Burn module with the path vocabulary of
//! `temper-models` will do.

mod clip;
mod error;
mod figure;
mod groups;
mod levels;
pub mod lora;
mod movement;
mod optimizer;
mod path_regex;
mod picked;
mod plan;
mod proof;
mod schedule;
mod strategy;
mod trunk_cache;
mod trunk_depth;

/// Burn, whose types are part of the interface: a program that takes it from here has the right version.
pub use burn;
pub use clip::{GradientNorms, GradientSquares};
pub use error::FreezeError;
pub use figure::{comparison_figure, count_text, percent_text, plan_figure};
pub use groups::{TrainedGroup, TrainedGroups};
pub use levels::layer_count;
pub use movement::{ParameterSample, PartMovement};
pub use optimizer::{ClipFactor, OptimizerKind, OptimizerSettings};
pub use plan::{FreezePlan, Late, PlanRow, RunLength};
pub use proof::{ParameterHashes, TrainingProof, Violation};
pub use schedule::{RateSchedule, RateShape};
pub use strategy::{Pace, Strategy};
pub use trunk_cache::{TrunkCache, TrunkLayout, TrunkLimits, TrunkPlace, TrunkStatistics};
pub use trunk_depth::trunk_depth;
