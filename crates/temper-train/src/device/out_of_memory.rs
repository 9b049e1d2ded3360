//! What is said where memory does not suffice.

use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;

use crate::TrainError;

/// What does not suffice, and what would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// What wanted the memory.
    pub what: String,
    /// Bytes that it needs, or of the one allocation that was refused.
    pub needed_bytes: Option<u64>,
    /// Bytes that there are for it.
    pub available_bytes: Option<u64>,
    /// What would need less, a line each.
    pub fits: Vec<String>,
    /// The newest checkpoint, which is kept, and the run that continues from it.
    pub kept: Option<(PathBuf, PathBuf)>,
}

impl OutOfMemory {
    /// Only what wanted the memory.
    pub fn of(what: &str) -> Self {
        Self { what: what.into(), needed_bytes: None, available_bytes: None, fits: Vec::new(), kept: None }
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "out of memory: {}", self.what)?;
        if let Some(bytes) = self.needed_bytes {
            write!(out, "; {} are needed", ByteSize(bytes))?;
        }
        if let Some(bytes) = self.available_bytes {
            write!(out, "; there are {}", ByteSize(bytes))?;
        }
        if !self.fits.is_empty() {
            write!(out, "\n{}", advice(&self.fits))?;
        }
        if let Some((checkpoint, run)) = &self.kept {
            let (checkpoint, run) = (checkpoint.display(), run.display());
            write!(out, "\n{checkpoint} is kept: temper finetune --resume {run} continues from it")?;
        }
        Ok(())
    }
}

impl From<OutOfMemory> for TrainError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(Box::new(error))
    }
}

/// What would need less, under a heading.
pub fn advice(fits: &[String]) -> String {
    let lines: Vec<String> = fits.iter().map(|line| format!("  {line}")).collect();
    format!("what needs less:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_needed_and_what_would_fit() {
        let error = OutOfMemory {
            needed_bytes: Some(9 << 30),
            available_bytes: Some(4 << 30),
            fits: vec!["--max-tokens-per-batch 1024".into(), "--strategy lora".into()],
            kept: Some(("runs/a/checkpoints/step-7".into(), "runs/a".into())),
            ..OutOfMemory::of("training")
        };
        assert_eq!(
            error.to_string(),
            "out of memory: training; 9.0 GiB are needed; there are 4.0 GiB\nwhat needs less:\n  \
             --max-tokens-per-batch 1024\n  --strategy lora\nruns/a/checkpoints/step-7 is kept: temper finetune \
             --resume runs/a continues from it"
        );
        assert_eq!(TrainError::from(error).exit_code(), 5);
    }
}
