use serde::Serialize;
use temper_data::DataReport;

use crate::tasks::Scores;
use crate::training::TrunkReports;

/// results.json.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Id of the model that was fine-tuned.
    pub model: String,
    /// What was asked for, when the model is only its stand-in.
    pub model_stand_in_for: Option<String>,
    /// Strategy that decided what trained.
    pub strategy: String,
    /// Parameters that trained, in elements.
    pub trainable_parameters: usize,
    /// All parameters, in elements.
    pub total_parameters: usize,
    /// Scores on the test split.
    pub test: Scores,
    /// Best score on the validation split and its step.
    pub best_validation: Option<(f64, usize)>,
    /// Optimiser steps done.
    pub steps: usize,
    /// Wall time in training steps.
    pub training_seconds: f64,
    /// Wall time of the test evaluation.
    pub test_seconds: f64,
    /// Trained tokens a second.
    pub tokens_per_second: f64,
    /// Largest resident size of the process; only Linux tells.
    pub peak_memory_bytes: Option<u64>,
    /// What the training proof found.
    pub proof: String,
    /// Largest difference of the logits after saving and loading again.
    pub reload_difference: f64,
    /// What was kept of frozen layers' output, and what that spared.
    pub trunk_cache: Option<TrunkReports>,
    /// The dataset as the run saw it.
    pub data: DataReport,
}

/// The largest resident size that this process has had.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
