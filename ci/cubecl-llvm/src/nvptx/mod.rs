//! The part for NVIDIA GPUs.

pub mod ptx_version;
