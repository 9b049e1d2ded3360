//! Counts and sizes of a trunk cache.

use std::time::Duration;

use serde::Serialize;

/// What a trunk cache did, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrunkStatistics {
    /// Examples whose state was cached.
    pub hits: u64,
    /// Examples whose state was computed.
    pub misses: u64,
    /// Seconds spent computing states.
    pub computing_seconds: f64,
    /// Seconds spent keeping them.
    pub storing_seconds: f64,
    /// Seconds spent reading them.
    pub reading_seconds: f64,
    /// Batches whose kept state was compared with a fresh one.
    pub checked: u64,
    /// Seconds spent comparing.
    pub checking_seconds: f64,
    /// The largest difference found, relative to the largest value or 1.
    pub largest_difference: f64,
}

impl TrunkStatistics {
    /// Share of the examples whose state was there.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }

    /// Seconds that the hits saved, as the misses were measured, less what keeping, reading and comparing
    /// took; negative where nothing came back.
    pub fn seconds_saved(&self) -> f64 {
        let an_example = self.computing_seconds / self.misses.max(1) as f64;
        self.hits as f64 * an_example - self.storing_seconds - self.reading_seconds - self.checking_seconds
    }

    pub(super) fn missed(&mut self, examples: usize, took: Duration) {
        self.misses += examples as u64;
        self.computing_seconds += took.as_secs_f64();
    }

    pub(super) fn hit(&mut self, examples: usize, took: Duration) {
        self.hits += examples as u64;
        self.reading_seconds += took.as_secs_f64();
    }

    pub(super) fn checked(&mut self, difference: f64, took: Duration) {
        self.checked += 1;
        self.checking_seconds += took.as_secs_f64();
        self.largest_difference = self.largest_difference.max(difference);
    }
}
