//! The part for all targets.

pub mod lowered_features;
