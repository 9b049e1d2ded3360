//! Runs in processes of their own.
//!
//! The high-water mark of a process's memory belongs to all it ever did. Linux can reset it, but what
//! freed memory the allocator keeps for the next step (`allocator.rs`) would still count for the
//! next run, and other systems cannot. In a process of its own a run's mark is the run's alone, and
//! so are the pages that its first steps bring in.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::TrainError;
use crate::signals::{Signals, Stop};

/// Runs a command to its end and hands signals on to it: after the first Ctrl-C or SIGTERM it saves a checkpoint and
/// ends, after a second Ctrl-C it stops at once; after SIGUSR1 it saves a checkpoint and goes on.
pub(super) fn run(command: &mut Command, signals: &Signals) -> Result<ExitStatus, TrainError> {
    let failed = |error| TrainError::file(command_name(), error);
    own_group(command);
    let mut child = command.spawn().map_err(failed)?;
    let mut handed_on = 0;
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status);
        }
        if signals.take_save() {
            hand_on(&child, None);
        }
        if signals.stops() > handed_on {
            handed_on += 1;
            hand_on(&child, signals.stop());
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

/// The signal of a stop; without one, that for a checkpoint.
#[cfg(unix)]
fn hand_on(child: &Child, stop: Option<Stop>) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // The child is not waited for yet: the number is its own.
    let Ok(process) = i32::try_from(child.id()) else { return };
    let signal = match stop {
        Some(Stop::Interrupt) => Signal::SIGINT,
        Some(Stop::Terminate) => Signal::SIGTERM,
        None => Signal::SIGUSR1,
    };
    if let Err(error) = kill(Pid::from_raw(process), signal) {
        tracing::warn!("{signal} could not be handed on to the run: {error}");
    }
}

/// Elsewhere the console hands Ctrl-C to the child itself.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

#[cfg(not(unix))]
fn hand_on(_: &Child, _: Option<Stop>) {}
