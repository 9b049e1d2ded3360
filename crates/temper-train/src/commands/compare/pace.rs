//! How long several runs take.

use std::time::Instant;

use crate::commands::finetune::measure::duration;

/// Estimates what is left from what is done.
pub(super) struct Pace {
    began: Instant,
    done: usize,
    left: usize,
}

impl Pace {
    /// Before so many runs.
    pub(super) fn begin(runs: usize) -> Self {
        Self { began: Instant::now(), done: 0, left: runs }
    }

    /// After a run: how long the others may take, to be appended to a line; nothing after the last one.
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
