//! The amount of work, as environment variables set it.

use std::env;
use std::time::{Duration, Instant};

/// How long or how many, and from which seed.
pub(crate) struct Budget {
    pub(crate) seed: u64,
    /// Maximum number of inputs.
    pub(crate) inputs: u64,
    /// When to end, if the limit is a time.
    pub(crate) deadline: Option<Instant>,
}

impl Budget {
    /// What the environment asks for, else that many inputs.
    pub(crate) fn of_environment(inputs: u64) -> Result<Self, String> {
        let minutes: Option<f64> = number("TEMPER_FUZZ_MINUTES")?;
        let time = minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0)).transpose();
        let time = time.map_err(|error| format!("TEMPER_FUZZ_MINUTES: {error}"))?;
        let asked: Option<u64> = number("TEMPER_FUZZ_INPUTS")?;
        Ok(Self {
            seed: number("TEMPER_FUZZ_SEED")?.unwrap_or(0),
            inputs: asked.unwrap_or(if time.is_some() { u64::MAX } else { inputs }),
            deadline: time.and_then(|time| Instant::now().checked_add(time)),
        })
    }
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str) -> Result<Option<T>, String> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.to_string_lossy();
    value.parse().map(Some).map_err(|error| format!("{name}={value}: {error}"))
}
