//! What the parameters of a group do together: train, stay frozen, or both.

use super::words::{factor_text, percent_text, range_text};
use crate::PlanRow;

/// What a group of parameters does as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// All of it trains from the start.
    Trained,
    /// All of it trains, at least a part of it from a later step on.
    Later,
    /// Some of it trains: biases only, norms only, adapters only.
    Partial,
    /// Nothing of it trains.
    Frozen,
}

impl State {
    /// For scripts and tests that read a figure.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Later => "later",
            Self::Partial => "partial",
            Self::Frozen => "frozen",
        }
    }

    /// What the legend says.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Trained => "trains",
            Self::Later => "trains from a later step on",
            Self::Partial => "trains in part (share)",
            Self::Frozen => "frozen",
        }
    }
}

/// Sums over some rows of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Elements of all parameters.
    pub(super) count: usize,
    /// Elements of those that train at any time.
    pub(super) trained: usize,
    /// The lowest and the highest learning-rate factor of what trains.
    pub(super) rates: Option<(f64, f64)>,
    /// The first and the last step from which something trains.
    pub(super) steps: Option<(usize, usize)>,
}

impl Tally {
    pub(super) fn add(&mut self, row: &PlanRow) {
        let trains = row.unfreezes.map(|step| Self {
            count: row.count,
            trained: row.count,
            rates: Some((row.rate, row.rate)),
            steps: Some((step, step)),
        });
        self.join(&trains.unwrap_or(Self { count: row.count, ..Self::default() }));
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.trained += other.trained;
        self.rates = spread(self.rates, other.rates);
        self.steps = spread(self.steps, other.steps);
    }

    pub(super) fn sum<'a>(tallies: impl Iterator<Item = &'a Self>) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum.join(tally);
            sum
        })
    }

    pub(super) fn state(&self) -> State {
        match self.steps {
            None => State::Frozen,
            Some(_) if self.trained < self.count => State::Partial,
            Some((_, last)) if last > 0 => State::Later,
            Some(_) => State::Trained,
        }
    }

    pub(super) fn share_text(&self) -> String {
        percent_text(self.trained, self.count)
    }

    /// The learning-rate factor where it is not 1.
    pub(super) fn rate_text(&self) -> Option<String> {
        let (low, high) = self.rates.filter(|rates| *rates != (1.0, 1.0))?;
        Some(format!("\u{d7}{}", range_text(factor_text(low), factor_text(high))))
    }

    /// The step from which it trains, where that is not the first one.
    pub(super) fn step_text(&self) -> Option<String> {
        let (first, last) = self.steps.filter(|(_, last)| *last > 0)?;
        Some(format!("step {}", range_text(first.to_string(), last.to_string())))
    }

    /// A line for tooltips: everything that is known.
    pub(super) fn sentence(&self) -> String {
        let mut text = format!("{} parameters, {} train", self.count, self.share_text());
        text.extend(self.rate_text().map(|rate| format!(", learning rate {rate}")));
        text.extend(self.step_text().map(|step| format!(", from {step}")));
        text
    }
}

fn spread<T: Copy + PartialOrd>(one: Option<(T, T)>, other: Option<(T, T)>) -> Option<(T, T)> {
    let (Some((low, high)), Some((other_low, other_high))) = (one, other) else { return one.or(other) };
    let low = if other_low < low { other_low } else { low };
    let high = if other_high > high { other_high } else { high };
    Some((low, high))
}
