//! How long the runs of a grid take.

use std::time::Instant;

use crate::commands::finetune::measure::duration;

/// Estimates the remaining time from the runs that finished.
pub(super) struct RemainingTime {
    began: Instant,
    done: usize,
    left: usize,
}

impl RemainingTime {
    /// Starts the clock for so many runs.
    pub(super) fn begin(runs: usize) -> Self {
        Self { began: Instant::now(), done: 0, left: runs }
    }

    /// Call it after each run. Returns the estimated time of the remaining runs, to append to a line; after the last run,
    /// the time of all.
    pub(super) fn ended(&mut self) -> String {
        self.done += 1;
        self.left = self.left.saturating_sub(1);
        let seconds = self.began.elapsed().as_secs_f64();
        match self.left {
            0 => format!("; all took {}", duration(seconds)),
            left => format!("; {left} left, about {}", duration(seconds / self.done as f64 * left as f64)),
        }
    }
}
