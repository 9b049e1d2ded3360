//! Estimates of a run's time, memory and disk.

use serde::{Deserialize, Serialize};

use crate::ranks::PIECE;

/// What connects machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// In each direction.
    pub bytes_per_second: f64,
    /// Time of a message without content.
    pub latency_seconds: f64,
}

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
    /// Seconds of the measured step in which the optimiser updates the parameters: every rank does that.
    #[serde(default)]
    pub update_seconds: f64,
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
    /// Seconds of a step on so many ranks, each of which computes its part as fast as what was measured, and then sums
    /// the gradients with the others.
    pub fn step_seconds_on(&self, ranks: usize, network: Network) -> f64 {
        let step = self.training_seconds / self.steps.max(1) as f64;
        let update = self.update_seconds.min(step);
        (step - update) / ranks as f64 + update + self.exchange_seconds(ranks, network)
    }

    /// Seconds in which so many ranks sum the gradients of a step, around a ring: each sends every part of them twice
    /// but for its own, and each message waits for the one before (Rabenseifner 2004; Patarasuk and Yuan 2009).
    pub fn exchange_seconds(&self, ranks: usize, network: Network) -> f64 {
        if ranks < 2 {
            return 0.0;
        }
        let bytes = 4.0 * self.trainable_parameters as f64;
        let pieces = (self.trainable_parameters as f64 / PIECE as f64).ceil();
        let (ranks, others) = (ranks as f64, (ranks - 1) as f64);
        2.0 * others / ranks * bytes / network.bytes_per_second
            + 2.0 * others * pieces * network.latency_seconds
    }

    /// The estimate of a run that so many ranks share, if their exchange took no time.
    pub(crate) fn divided_by(mut self, ranks: usize) -> Self {
        self.training_seconds /= ranks as f64;
        self.evaluation_seconds /= ranks as f64;
        self
    }

    /// Seconds of training and evaluation together.
    pub fn total_seconds(&self) -> f64 {
        self.training_seconds + self.evaluation_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(parameters: usize) -> Estimate {
        Estimate {
            strategy: "all".into(),
            trainable_parameters: parameters,
            steps: 100,
            seconds_per_token: 0.0,
            update_seconds: 0.25,
            training_seconds: 425.0,
            evaluation_seconds: 0.0,
            peak_memory_bytes: None,
            device_memory_bytes: None,
            padding_percent: 0.0,
            truncated_percent: 0.0,
            trunk_cache_bytes: None,
            disk_bytes: 0,
        }
    }

    #[test]
    fn a_step_is_a_part_of_the_computation_the_update_and_the_exchange() {
        let network = Network { bytes_per_second: 1e9, latency_seconds: 1e-4 };
        // 400 MB in 24 pieces: every rank sends 400 MB in halves, one to the other and back.
        let estimate = estimate(100_000_000);
        let exchange = estimate.exchange_seconds(2, network);
        assert!((exchange - (0.4 + 48.0 * 1e-4)).abs() < 1e-9, "{exchange}");
        assert!((estimate.step_seconds_on(2, network) - (2.0 + 0.25 + exchange)).abs() < 1e-9);
        assert_eq!(estimate.step_seconds_on(1, network), 4.25);
    }
}
