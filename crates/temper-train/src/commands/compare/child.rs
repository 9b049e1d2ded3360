//! Each run of a comparison is a process of its own.
//!
//! The peak memory of a process covers everything that the process did. Linux can reset it, other systems cannot. Even
//! after a reset, the freed memory that the allocator keeps (`allocator.rs`) would count for the next run. In its own
//! process, a run's peak memory and the page faults of its first steps belong to this run only.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::TrainError;
use crate::signals::{Signals, Stop};

/// Runs a command to its end and forwards signals to it. After the first Ctrl-C or SIGTERM it saves a checkpoint and
/// ends; after a second Ctrl-C it stops at once; after SIGUSR1 it saves a checkpoint and continues.
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

/// A terminal sends Ctrl-C to a whole process group. The run would get it twice and stop at once.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// The signal for a stop; without a stop, the signal for a checkpoint.
#[cfg(unix)]
fn hand_on(child: &Child, stop: Option<Stop>) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // Nothing has waited for the child yet, so the process id is still its own.
    let Ok(process) = i32::try_from(child.id()) else { return };
    let signal = match stop {
        Some(Stop::Interrupt) => Signal::SIGINT,
        Some(Stop::Terminate) => Signal::SIGTERM,
        None => Signal::SIGUSR1,
    };
    if let Err(error) = kill(Pid::from_raw(process), signal) {
        tracing::warn!("{signal} could not be sent to the run: {error}");
    }
}

/// On other systems the console sends Ctrl-C to the child itself.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

#[cfg(not(unix))]
fn hand_on(_: &Child, _: Option<Stop>) {}
