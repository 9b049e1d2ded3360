//! Estimates of a run's time, memory and disk.

use serde::{Deserialize, Serialize};

/// What a run will cost, from one measured step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// What trains.
    pub strategy: String,
    /// Elements that train at any time.
    pub trainable_parameters: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Seconds of the measured step, for each of its tokens.
    pub seconds_per_token: f64,
    /// Seconds in training steps.
    pub training_seconds: f64,
    /// Seconds in evaluations, the test included.
    pub evaluation_seconds: f64,
    /// Largest resident size of the process; only Linux reports it.
    pub peak_memory_bytes: Option<u64>,
    /// What the GPU's allocator holds.
    pub device_memory_bytes: Option<u64>,
    /// Share of what is computed that is padding: none, batches are packed.
    pub padding_percent: f64,
    /// Share of the training examples that are cut.
    pub truncated_percent: f64,
    /// Bytes of the output of frozen layers for the training examples, if it is cached.
    pub trunk_cache_bytes: Option<u64>,
    /// Bytes of models and checkpoints in the run folder, at most.
    pub disk_bytes: u64,
}

impl Estimate {
    /// Seconds of training and evaluation together.
    pub fn total_seconds(&self) -> f64 {
        self.training_seconds + self.evaluation_seconds
    }
}
