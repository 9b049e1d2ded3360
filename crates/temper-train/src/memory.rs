//! Memory: what a process and its device hold, what there is, and what is said where it does not suffice.

use std::fmt;
use std::path::PathBuf;

use burn::tensor::Device;
use bytesize::ByteSize;
use sysinfo::System;

use crate::TrainError;
use crate::backend::Backend;
use crate::nvidia;

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
    /// The newest checkpoint, which is kept, and the run that goes on from it.
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
            write!(out, "\n{checkpoint} is kept: temper finetune --resume {run} goes on from it")?;
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

/// Bytes that there are for a run, those included that it `holds`; nothing where that cannot be told.
///
/// On a GPU: what nobody uses of its memory. On a CPU: memory that no process needs, within the limits of a
/// container (cgroup) and of the address space (`ulimit -v`).
pub fn available(backend: Backend, holds: u64) -> Option<u64> {
    match backend {
        Backend::Cuda(index) => {
            let driver = nvidia::driver().ok()?;
            let gpu = driver.gpus.get(index)?;
            Some(gpu.free_bytes.map_or(gpu.memory_bytes, |free| gpu.memory_bytes.min(free + holds)))
        }
        cpu if cpu.is_cpu() => Some(address_space().min(free_memory() + holds)),
        _ => None,
    }
}

/// Bytes of memory that no process needs, within the limit of a container.
pub fn free_memory() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let of_container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(of_container)
}

/// Bytes that the device's allocator holds, where it tells: on a GPU.
pub fn of_device(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved)
}

/// Bytes held now: by the device's allocator, else by the process; only Linux tells the latter.
pub fn held(device: &Device) -> Option<u64> {
    of_device(device).or_else(|| status("VmRSS:"))
}

/// The most bytes held so far: a device's allocator gives little back while it is busy; for the process, see
/// [`peak_of_process`].
pub fn peak(device: &Device) -> Option<u64> {
    of_device(device).or_else(peak_of_process)
}

/// The largest resident size that this process has had; only Linux tells.
pub fn peak_of_process() -> Option<u64> {
    status("VmHWM:")
}

/// The limit of the address space.
fn address_space() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
}

/// A line of /proc/self/status that tells a size.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
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
             --resume runs/a goes on from it"
        );
        assert_eq!(TrainError::from(error).exit_code(), 5);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_memory_and_there_is_some() {
        let now = status("VmRSS:").unwrap();
        // Linux counts both per processor and adds them up now and then: either may lag behind.
        assert!(now > 0 && 10 * peak_of_process().unwrap() >= 9 * now);
        assert!(available(Backend::Flex, now).unwrap() >= now);
    }
}
