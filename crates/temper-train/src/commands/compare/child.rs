//! Runs in processes of their own.
//!
//! The high-water mark of a process's memory belongs to all it ever did. Linux can reset it, but what
//! freed memory the allocator keeps for the next step (`allocator.rs`) would still count for the
//! next run, and other systems cannot. In a process of its own a run's mark is the run's alone, and
//! so are the pages that its first steps bring in.

use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::TrainError;

/// How often Ctrl-C (or SIGTERM) came.
pub(super) struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Counts from now on instead of ending the process.
    pub(super) fn count() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        if let Err(error) = ctrlc::set_handler(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }) {
            tracing::warn!("Ctrl-C will not save a checkpoint: {error}");
        }
        Self(count)
    }

    fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether there was one.
    pub(super) fn came(&self) -> bool {
        self.so_far() > 0
    }
}

/// Runs a command to its end and hands every Ctrl-C on to it: after the first it saves a checkpoint,
/// after the second it stops at once.
pub(super) fn run(command: &mut Command, interrupts: &Interrupts) -> Result<ExitStatus, TrainError> {
    let failed = |error| TrainError::file(command_name(), error);
    own_group(command);
    let mut child = command.spawn().map_err(failed)?;
    let mut handed_on = 0;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if interrupts.so_far() > handed_on {
            handed_on += 1;
            interrupt(&child);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn command_name() -> String {
    std::env::current_exe().map_or_else(|_| "temper".into(), |path| path.display().to_string())
}

/// A terminal sends Ctrl-C to a whole group: the run would get it twice, and stop at once.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // The child is not waited for yet: the number is its own.
    let Ok(process) = i32::try_from(child.id()) else { return };
    if let Err(error) = kill(Pid::from_raw(process), Signal::SIGINT) {
        tracing::warn!("the run could not be interrupted: {error}");
    }
}

/// Elsewhere the console hands Ctrl-C to the child itself.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

#[cfg(not(unix))]
fn interrupt(_: &Child) {}
