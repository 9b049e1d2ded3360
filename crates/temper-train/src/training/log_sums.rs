//! Sums between two rows of metrics.jsonl.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use temper_files::hex;

use super::readings::StepReading;

/// Means over the optimiser steps since the row before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Optimiser steps done.
    pub step: usize,
    /// Passes over the data done.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean norm of all gradients, before clipping.
    pub grad_norm: f64,
    /// Tokens per second.
    pub tokens_per_second: f64,
    /// Hash of the losses of all steps so far, bit for bit.
    #[serde(default)]
    pub losses: String,
}

/// Sums since the last logged row. A checkpoint keeps them, so that a resumed run logs the same rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogSums {
    steps: usize,
    loss: f64,
    grad_norm: f64,
    tokens: usize,
    /// Seconds of training before it.
    started_at: f64,
}

impl LogSums {
    /// An empty one.
    pub(super) fn starting(training_seconds: f64) -> Self {
        Self { started_at: training_seconds, ..Self::default() }
    }

    pub(super) fn add(&mut self, reading: &StepReading) {
        self.steps += 1;
        self.loss += reading.loss;
        self.grad_norm += f64::from(reading.norms.total);
        self.tokens += reading.tokens;
    }

    /// The row; `losses` is the hash of all losses so far.
    pub(super) fn row(&self, at: RowPlace, training_seconds: f64, losses: &str) -> StepRow {
        let seconds = training_seconds - self.started_at;
        let steps = self.steps.max(1) as f64;
        StepRow {
            step: at.step,
            epoch: at.epoch,
            loss: self.loss / steps,
            learning_rate: at.learning_rate,
            grad_norm: self.grad_norm / steps,
            tokens_per_second: self.tokens as f64 / seconds.max(1e-9),
            losses: losses.to_owned(),
        }
    }
}

/// Where in the run a row belongs.
pub(super) struct RowPlace {
    pub(super) step: usize,
    pub(super) epoch: f64,
    pub(super) learning_rate: f64,
}

/// The hash of a sequence of losses after one more: the sha256 of the hash before and the loss's bits. Two runs with
/// the same hash had the same losses, bit for bit.
pub(super) fn losses_with(before: &str, loss: f64) -> String {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(loss.to_le_bytes());
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_each_loss_and_their_order() {
        let of = |losses: &[f64]| losses.iter().fold(String::new(), |hash, &loss| losses_with(&hash, loss));
        assert_eq!(of(&[0.5, 0.25]), losses_with(&losses_with("", 0.5), 0.25));
        assert_ne!(of(&[0.5, 0.25]), of(&[0.25, 0.5]));
        assert_ne!(of(&[0.5]), of(&[0.5 + f64::EPSILON]));
        assert_eq!(of(&[0.5]).len(), 64);
    }

    #[test]
    fn sums_pass_through_json_unchanged() {
        let sums = LogSums { steps: 3, loss: 0.1 + 0.2, grad_norm: 1.0 / 3.0, tokens: 7, started_at: 1e-300 };
        let text = serde_json::to_string(&sums).unwrap();
        assert_eq!(serde_json::from_str::<LogSums>(&text).unwrap(), sums);
    }
}
