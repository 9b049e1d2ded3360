//! The part of `temper doctor --machine` on the ranks of an MPI launcher: where they are, and how fast they sum.

use std::time::Instant;

use serde::Serialize;

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
    places: Vec<Place>,
    sums: Vec<SumTime>,
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
        let places = ranks.gather(encoded(ranks.place()));
        let sums = MODELS.map(|(model, parameters)| SumTime {
            model,
            bytes: 4 * parameters,
            seconds: (0..ROUNDS).map(|_| sum_seconds(ranks, parameters)).fold(f64::INFINITY, f64::min),
        });
        Some(Self { places: places.iter().map(|place| decoded(place)).collect(), sums: sums.into() })
    }

    /// A line each.
    pub(super) fn lines(&self, line: impl Fn(&str, &str) -> String) -> Vec<String> {
        let place = |(rank, place): (usize, &Place)| {
            let Place { host, cores, threads, .. } = place;
            line(&format!("rank {rank}"), &format!("{host}, {threads} threads on {cores} cores"))
        };
        let sum = |SumTime { model, bytes, seconds }: &SumTime| {
            let text = format!("{} MB of gradients ({model}) in {:.1} ms", bytes / 1_000_000, 1e3 * seconds);
            line("Allreduce", &text)
        };
        self.places.iter().enumerate().map(place).chain(self.sums.iter().map(sum)).collect()
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
