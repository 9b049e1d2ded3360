//! What `temper plan` says of a run that several ranks share.

use std::time::Duration;

use serde::Serialize;

use super::finetune::measure::duration;
use crate::headings::DEVICE;
use crate::run::{Estimate, Network};

/// The ranks of a run that is planned, and what connects them.
#[derive(Clone, Debug, clap::Args)]
pub struct ScalingOptions {
    /// Also estimate the run on so many ranks, such as 2,4,8, each of them a machine like this one
    #[arg(long, help_heading = DEVICE, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks: Vec<u32>,
    /// Bandwidth of each machine's network, such as 10Gbit
    #[arg(long, help_heading = DEVICE, value_name = "RATE", requires = "ranks", default_value = "10Gbit", value_parser = bandwidth)]
    pub bandwidth: f64,
    /// Time of a message without content, such as 50us
    #[arg(long, help_heading = DEVICE, value_name = "TIME", requires = "ranks", default_value = "50us", value_parser = humantime::parse_duration)]
    pub latency: Duration,
}

/// An estimate for a number of ranks.
#[derive(Clone, Debug, Serialize)]
pub struct OnRanks {
    /// How many.
    pub ranks: u32,
    /// Seconds of an optimiser step.
    pub step_seconds: f64,
    /// Those of them in which gradients are summed.
    pub exchange_seconds: f64,
    /// Seconds in training steps.
    pub training_seconds: f64,
    /// How many times as fast as one rank.
    pub speedup: f64,
}

impl ScalingOptions {
    /// The estimates for each number of ranks; none if none are asked for.
    pub(super) fn of(&self, estimate: &Estimate) -> Vec<OnRanks> {
        let latency_seconds = self.latency.as_secs_f64();
        let network = Network { bytes_per_second: self.bandwidth, latency_seconds };
        let alone = estimate.step_seconds_on(1, network);
        let on = |&ranks: &u32| {
            let step_seconds = estimate.step_seconds_on(ranks as usize, network);
            OnRanks {
                ranks,
                step_seconds,
                exchange_seconds: estimate.exchange_seconds(ranks as usize, network),
                training_seconds: step_seconds * estimate.steps as f64,
                speedup: alone / step_seconds,
            }
        };
        self.ranks.iter().map(on).collect()
    }

    /// The table for several strategies; nothing if no ranks are asked for.
    pub(super) fn table(&self, estimates: &[Estimate]) -> String {
        if self.ranks.is_empty() {
            return String::new();
        }
        let mut lines = vec![format!(
            "{:<20} {:>6} {:>12} {:>12} {:>10} {:>8}",
            "strategy", "ranks", "step", "exchange", "training", "speed-up"
        )];
        for estimate in estimates {
            lines.extend(self.of(estimate).iter().map(|row| {
                format!(
                    "{:<20} {:>6} {:>12} {:>12} {:>10} {:>7.1}x",
                    estimate.strategy,
                    row.ranks,
                    format!("{:.1} ms", 1e3 * row.step_seconds),
                    format!("{:.1} ms", 1e3 * row.exchange_seconds),
                    duration(row.training_seconds),
                    row.speedup
                )
            }));
        }
        format!("\n{}\n", lines.join("\n"))
    }
}

/// Reads a rate of bits, such as `10Gbit`; returns bytes a second.
fn bandwidth(text: &str) -> Result<f64, String> {
    let units = [("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)];
    let read =
        |(unit, bits): (&str, f64)| Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * bits / 8.0);
    let rate = units.into_iter().find_map(read).filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "write a number with Gbit, Mbit or kbit (a second), such as 10Gbit".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        assert_eq!(bandwidth("10Gbit"), Ok(1.25e9));
        assert_eq!(bandwidth("0.5 Mbit"), Ok(62_500.0));
        for wrong in ["10", "10GB", "Gbit", "-1Gbit", "infGbit"] {
            assert!(bandwidth(wrong).is_err(), "{wrong}");
        }
    }
}
