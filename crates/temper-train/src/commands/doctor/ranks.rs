//! The part of `temper doctor --machine` on the ranks of an MPI launcher: where they are, and how fast they sum.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::device::nvidia;
use crate::ranks::{PIECE, Place, Ranks};
use crate::training::{decoded, encoded};

/// Models whose gradients are summed, with their parameters.
const MODELS: [(&str, usize); 2] = [("MiniLM", 22_713_216), ("BERT-base", 109_482_240)];
/// Sums of each size; the fastest counts.
const ROUNDS: usize = 3;

/// The ranks of a launcher.
#[derive(Serialize)]
pub(super) struct RankReport {
    /// In the order of their numbers.
    ranks: Vec<RankDevices>,
    allreduce: Vec<SumTime>,
}

/// What a rank computes with.
#[derive(Serialize, Deserialize)]
struct RankDevices {
    #[serde(flatten)]
    place: Place,
    /// NVIDIA's GPUs that it sees.
    gpus: Vec<String>,
}

impl RankDevices {
    fn of(place: &Place) -> Self {
        let gpus = nvidia::driver().map_or_else(|_| Vec::new(), |driver| driver.gpus);
        Self { place: place.clone(), gpus: gpus.into_iter().map(|gpu| gpu.name).collect() }
    }

    fn in_words(&self) -> String {
        let Place { host, cores, threads, .. } = &self.place;
        let gpus = if self.gpus.is_empty() { "no GPU".into() } else { self.gpus.join(", ") };
        format!("{host}, {threads} threads on {cores} cores, {gpus}")
    }
}

/// How long the ranks sum the gradients of a model.
#[derive(Serialize)]
struct SumTime {
    model: &'static str,
    bytes: usize,
    seconds: f64,
}

impl RankReport {
    /// Measures with all ranks; nothing for a process of its own.
    pub(super) fn measure(ranks: &Ranks) -> Option<Self> {
        if ranks.is_alone() {
            return None;
        }
        let found = ranks.gather(encoded(&RankDevices::of(ranks.place())));
        let sums = MODELS.map(|(model, parameters)| SumTime {
            model,
            bytes: 4 * parameters,
            seconds: (0..ROUNDS).map(|_| sum_seconds(ranks, parameters)).fold(f64::INFINITY, f64::min),
        });
        Some(Self { ranks: found.iter().map(|rank| decoded(rank)).collect(), allreduce: sums.into() })
    }

    /// A line each.
    pub(super) fn lines(&self, line: impl Fn(&str, &str) -> String) -> Vec<String> {
        let rank = |(number, rank): (usize, &RankDevices)| line(&format!("rank {number}"), &rank.in_words());
        let sum = |SumTime { model, bytes, seconds }: &SumTime| {
            let text = format!("{} MB of gradients ({model}) in {:.1} ms", bytes / 1_000_000, 1e3 * seconds);
            line("Allreduce", &text)
        };
        self.ranks.iter().enumerate().map(rank).chain(self.allreduce.iter().map(sum)).collect()
    }
}

/// Sums so many numbers in the pieces of a training step.
fn sum_seconds(ranks: &Ranks, numbers: usize) -> f64 {
    let mut piece = vec![1.0; PIECE.min(numbers)];
    // All begin together.
    ranks.meet();
    let started = Instant::now();
    for _ in 0..numbers.div_ceil(PIECE) {
        ranks.sum(&mut piece);
    }
    started.elapsed().as_secs_f64()
}
