//! LoRA: low-rank paths next to frozen linear maps (Hu et al. 2021, arXiv 2106.09685), in PEFT's terms and
//! in PEFT's file layout.
//!
//! [`attach`] puts adapters on a model; [`Strategy::Lora`](crate::Strategy::Lora) then trains them and the
//! head. [`merge`] folds them into the weights, [`unmerge`] takes them out again. [`save_peft`] and
//! [`load_peft`] exchange them with PEFT; [`save_own`] and [`load_own`] keep them exactly, for a checkpoint.

mod attach;
mod factors;
mod modules;
mod own;
mod peft_attach;
mod peft_config;
mod peft_fields;
mod peft_load;
mod peft_pattern;
mod peft_save;
mod peft_targets;
mod peft_ties;
mod settings;
mod targets;

pub use attach::{attach, merge, unmerge};
pub use own::{load_own, save_own};
pub use peft_attach::{Adapted, load_peft};
pub use peft_config::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, PeftConfig};
pub use peft_load::PeftAdapter;
pub use peft_save::{PeftRequest, save_peft};
pub use settings::LoraSettings;
