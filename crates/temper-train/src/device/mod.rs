//! Devices and their limits: backends and GPUs, memory, precision, and panics that become errors.

pub mod allocator;
pub mod backend;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
pub mod memory;
pub mod nvidia;
mod out_of_memory;
pub(crate) mod panics;
pub(crate) mod precision;

pub use backend::Backend;
pub use out_of_memory::{OutOfMemory, advice};
pub use panics::guarded;
pub use precision::PrecisionSetting;
