//! results.json.

use serde::Serialize;
use serde_json::{Map, Value};
use temper_data::DataReport;
use temper_freeze::{FreezePlan, PartMovement};

use super::Estimate;
use crate::tasks::Scores;
use crate::training::TrunkReports;

/// results.json.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Id of the model that was fine-tuned.
    pub model: String,
    /// The requested model, if the model is only its stand-in.
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
    /// Where several ranks computed: from which step on (steps done before it), and how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<(usize, usize)>,
    /// Wall time in training steps.
    pub training_seconds: f64,
    /// Wall time of the test evaluation.
    pub test_seconds: f64,
    /// Trained tokens a second.
    pub tokens_per_second: f64,
    /// Largest resident size of the process; only Linux reports it.
    pub peak_memory_bytes: Option<u64>,
    /// What the GPU's allocator held at the end of training; it gives little back before.
    pub device_memory_bytes: Option<u64>,
    /// The estimate from one step that was measured ahead.
    pub predicted: Option<Estimate>,
    /// What the training proof found.
    pub proof: ProofReport,
    /// How far each part of the model moved, from the bottom up.
    pub movement: Vec<PartMovement>,
    /// Largest difference of the logits after saving and loading again.
    pub reload_difference: f64,
    /// Largest difference of the logits with separate and with merged adapters, as a part of the largest
    /// logit; only for the strategy `lora`.
    pub merge_difference: Option<f64>,
    /// What was kept of frozen layers' output, and what that saved.
    pub trunk_cache: Option<TrunkReports>,
    /// What `--tune-threshold` chose on the validation split; the test is scored with it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub tuned: Map<String, Value>,
    /// The dataset as the run saw it.
    pub data: DataReport,
}

/// What the training proof found: a violation would have ended the run with exit code 7.
#[derive(Clone, Debug, Serialize)]
pub struct ProofReport {
    /// Tensors that trained: each had a finite gradient above zero and changed, unless its gradients
    /// were rounding noise.
    pub trained: usize,
    /// Tensors that did not: each is the same bit for bit.
    pub frozen: usize,
    /// Optimiser steps after which this was checked.
    pub checked_after_steps: Vec<usize>,
    /// The same in words.
    pub statement: String,
}

impl ProofReport {
    /// The proof of a finished run.
    pub fn new(plan: &FreezePlan, steps: usize, checked_after_steps: Vec<usize>) -> Self {
        let trained = plan.rows.iter().filter(|row| steps > 0 && row.trains_in(steps - 1)).count();
        let frozen = plan.rows.len() - trained;
        let statement = format!(
            "every trained parameter had a finite gradient and changed, unless its gradients were rounding noise ({trained}), every frozen one is bit-identical ({frozen})"
        );
        Self { trained, frozen, checked_after_steps, statement }
    }
}
