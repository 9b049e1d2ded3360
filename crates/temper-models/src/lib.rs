//! Pretrained language models on Burn.
//!
//! A family is a configuration, a weight map and a small module built from [`layers`]. A
//! [`Model`] is a backbone with a head, loaded from a folder with `config.json` and weights in
//! Hugging Face's layout, and written back in the same layout.
//!
//! The crate never opens a network connection and knows neither datasets nor optimisers.
//!
//! ```no_run
//! use temper_models::burn::tensor::Device;
//! use temper_models::{HeadRequest, Model};
//!
//! # fn main() -> Result<(), temper_models::ModelError> {
//! let device = Device::flex();
//! let loaded = Model::load("path/to/model".as_ref(), &HeadRequest::FromConfig, &device)?;
//! println!("{} parameters", loaded.model.parameters().total());
//! # Ok(())
//! # }
//! ```

mod adapters;
mod backbone;
mod batch;
mod config;
mod dropout_keys;
mod embed;
mod error;
pub mod families;
mod family;
mod files;
pub mod generate;
pub mod heads;
mod initial;
mod labels;
pub mod layers;
mod loading;
mod mode;
mod model;
mod parameters;
mod problem_type;
mod registry;
mod save;
mod saved_config;
mod tape;
mod trunk;
pub mod weights;

pub use backbone::{Backbone, BackboneModule, Pass};
pub use batch::{Rows, TokenBatch};
/// Burn, whose types are part of the interface: a program that takes it from here has the right version.
pub use burn;
pub use config::{Bounds, ModelConfig};
pub use dropout_keys::DropoutKeys;
pub use embed::{TextPooling, embed};
pub use error::{Misfits, ModelError};
pub use family::{Family, FamilyFacts, HeadFacts, Parts};
pub use generate::{EarlyStopping, GenerateSettings, Hooks, StopRule, generate};
pub use heads::{Head, HeadKind, HeadRequest, HeadTask, Pooling};
pub use layers::Cache;
pub use mode::{Mode, Seed};
pub use model::{Loaded, Model};
pub use parameters::{Parameter, ParameterTable, PathTracker, is_adapter, parameter_id};
pub use problem_type::OutputMeaning;
pub use registry::{AnyBackbone, KnownFamily, RegisteredFamily, families, register_families};
pub use tape::Tape;
pub use temper_kernels::{Activation, Precision, RowIndex, multiplies_bfloat16_fast};
pub use trunk::{TrunkRows, TrunkState};
