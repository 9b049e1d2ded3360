//! What went wrong with which input.

use std::path::PathBuf;
use std::{fmt, io};

/// An input that a reader did not survive.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where the input was written to.
    pub input: PathBuf,
    /// What happened.
    pub reason: String,
}

/// Why a target failed.
pub struct Failures {
    /// The target.
    pub target: String,
    /// One input a fault.
    pub found: Vec<Failure>,
    /// What kept the target from running.
    pub hindered: Option<String>,
}

impl Failures {
    /// A target that could not run.
    pub(crate) fn hindered(target: &str, reason: impl fmt::Display) -> Self {
        Self { target: target.into(), found: Vec::new(), hindered: Some(reason.to_string()) }
    }
}

impl From<io::Error> for Failures {
    fn from(error: io::Error) -> Self {
        Self::hindered("a worker", error)
    }
}

/// What a test prints that ends with it.
impl fmt::Debug for Failures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.hindered {
            writeln!(out, "{} could not run: {reason}", self.target)?;
        }
        for Failure { input, reason } in &self.found {
            writeln!(out, "{}: {reason}\n    {}", self.target, input.display())?;
        }
        if !self.found.is_empty() {
            write!(
                out,
                "{} faults; after the fix, the input becomes a test in crates/temper-fuzz/regressions/{}/",
                self.found.len(),
                self.target
            )?;
        }
        Ok(())
    }
}
