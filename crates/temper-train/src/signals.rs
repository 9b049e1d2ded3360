//! Signals. Ctrl-C, SIGTERM and SIGHUP end a run with a checkpoint; SIGUSR1 saves one, and the run continues.
//!
//! A signal that was ignored when the program started stays ignored: that is how `nohup`, and shells without job
//! control, protect what they start.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use crate::terminal::say;

/// How often the watching thread looks; a person does not notice.
const EVERY: Duration = Duration::from_millis(20);

/// Why a run is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By a person: Ctrl-C.
    Interrupt,
    /// By the system or a scheduler: SIGTERM or SIGHUP. The same command is to be started again.
    Terminate,
}

impl Stop {
    /// The exit code of a run that was stopped: 130, or 75 (`EX_TEMPFAIL` of sysexits.h: try again).
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 75,
        }
    }
}

/// The exit code after a second Ctrl-C: stopped at once, nothing saved.
const STOPPED_AT_ONCE: i32 = 131;

/// What came so far.
#[derive(Debug, Default)]
pub struct Signals {
    /// 0, or 1 + the place in [`STOPS`].
    stop: AtomicU8,
    stops: AtomicUsize,
    save: AtomicBool,
    saves_itself: AtomicBool,
    hands_on: AtomicBool,
}

const STOPS: [Stop; 2] = [Stop::Interrupt, Stop::Terminate];

impl Signals {
    /// Whether the work is to end, and why.
    pub fn stop(&self) -> Option<Stop> {
        let number = usize::from(self.stop.load(Ordering::Relaxed));
        number.checked_sub(1).and_then(|place| STOPS.get(place)).copied()
    }

    /// Whether a checkpoint was asked for since the last call.
    pub fn take_save(&self) -> bool {
        self.save.swap(false, Ordering::Relaxed)
    }

    /// How often the work was asked to end.
    pub(crate) fn stops(&self) -> usize {
        self.stops.load(Ordering::Relaxed)
    }

    /// From now on a signal does not end the process: the caller asks [`Signals::stop`] and saves its work. Until the
    /// result is dropped.
    pub fn save_itself(&'static self) -> Held {
        self.saves_itself.store(true, Ordering::Relaxed);
        Held(self)
    }

    /// As [`Signals::save_itself`], also for the second Ctrl-C: the caller hands signals on to a process of its own.
    pub(crate) fn hand_on(&'static self) -> Held {
        self.hands_on.store(true, Ordering::Relaxed);
        self.save_itself()
    }

    fn came(&self, signal: Signal) {
        let saves_itself = self.saves_itself.load(Ordering::Relaxed);
        let stop = match signal {
            Signal::Save if saves_itself => return self.save.store(true, Ordering::Relaxed),
            Signal::Save => return say("there is nothing to save yet"),
            Signal::Stop(stop) => stop,
        };
        let already = self.stop.swap(1 + stop as u8, Ordering::Relaxed) != 0;
        self.stops.fetch_add(1, Ordering::Relaxed);
        if !saves_itself {
            say("stopped; no training step was lost");
            std::process::exit(stop.exit_code().into());
        }
        if self.hands_on.load(Ordering::Relaxed) {
            return;
        }
        if already && stop == Stop::Interrupt {
            say("stopped at once; what was done since the last checkpoint is lost");
            std::process::exit(STOPPED_AT_ONCE);
        }
        if !already {
            say("stopping with a checkpoint; Ctrl-C again stops at once, without one");
        }
    }
}

/// See [`Signals::save_itself`].
#[derive(Debug)]
pub struct Held(&'static Signals);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.saves_itself.store(false, Ordering::Relaxed);
        self.0.hands_on.store(false, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Stop(Stop),
    Save,
}

/// Listens from the first call on, in a thread of its own. Before that, and between pieces of work that save
/// themselves, a signal ends the process with the code of its [`Stop`].
pub fn listen() -> &'static Signals {
    static SIGNALS: OnceLock<&'static Signals> = OnceLock::new();
    SIGNALS.get_or_init(|| {
        let signals: &'static Signals = Box::leak(Box::default());
        let flags: Vec<_> =
            heard().into_iter().filter_map(|(number, signal)| Some((flag(number)?, signal))).collect();
        let watch = move || {
            loop {
                for (flag, signal) in &flags {
                    if flag.swap(false, Ordering::Relaxed) {
                        signals.came(*signal);
                    }
                }
                std::thread::sleep(EVERY);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(watch) {
            tracing::warn!("Ctrl-C will not save a checkpoint: {error}");
        }
        signals
    })
}

/// A flag that the signal sets, unless it is ignored or cannot be handled.
fn flag(signal: i32) -> Option<std::sync::Arc<AtomicBool>> {
    if is_ignored(signal) {
        return None;
    }
    let flag = std::sync::Arc::new(AtomicBool::new(false));
    match signal_hook::flag::register(signal, flag.clone()) {
        Ok(_) => Some(flag),
        Err(error) => {
            tracing::warn!("signal {signal} cannot be handled: {error}");
            None
        }
    }
}

#[cfg(unix)]
fn heard() -> Vec<(i32, Signal)> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    vec![
        (SIGINT, Signal::Stop(Stop::Interrupt)),
        (SIGTERM, Signal::Stop(Stop::Terminate)),
        (SIGHUP, Signal::Stop(Stop::Terminate)),
        (SIGUSR1, Signal::Save),
    ]
}

#[cfg(not(unix))]
fn heard() -> Vec<(i32, Signal)> {
    vec![(signal_hook::consts::SIGINT, Signal::Stop(Stop::Interrupt))]
}

/// Linux reports it in /proc/self/status, as a bit mask. Elsewhere SIGHUP is left as it is, so that `nohup` works.
fn is_ignored(signal: i32) -> bool {
    if !cfg!(target_os = "linux") {
        return signal == 1;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_process_notes_what_came() {
        let signals: &'static Signals = Box::leak(Box::default());
        let held = signals.save_itself();
        assert_eq!(signals.stop(), None);
        signals.came(Signal::Save);
        assert!(signals.take_save() && !signals.take_save());
        signals.came(Signal::Stop(Stop::Terminate));
        assert_eq!(signals.stop(), Some(Stop::Terminate));
        let handing_on = signals.hand_on();
        signals.came(Signal::Stop(Stop::Interrupt));
        drop(handing_on);
        assert_eq!((signals.stop(), signals.stops()), (Some(Stop::Interrupt), 2));
        drop(held);
        assert!(!signals.saves_itself.load(Ordering::Relaxed));
    }

    #[test]
    fn rust_programs_ignore_sigpipe_and_hear_ctrl_c() {
        if cfg!(target_os = "linux") {
            assert!(is_ignored(13));
            assert!(!is_ignored(15));
        }
    }
}
