//! `cargo xtask torture`: kills runs, makes their system calls fail, cuts their power, and counts what is lost.
//!
//! A process is struck with strace at system calls that change files. For power cuts a run is recorded and its
//! operations are replayed into a model of a disk, which may lose what the run did not sync. Afterwards the same
//! command has to finish with the bytes of a run that nothing happened to.

mod content;
mod crash;
mod descriptors;
mod disk;
mod draw;
mod errors;
mod kills;
mod lab;
mod merge;
mod merge_trial;
mod outcome;
mod power;
mod process;
mod recorder;
mod recording;
mod tally;
mod trace;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::cargo::{binary, build, target_dir};
use draw::Draw;
use lab::{Lab, Verdict};
use recording::Phase;
use tally::{Failure, Tally};

/// Trials at once.
const WORKERS: usize = 2;
/// One kill and one power cut in so many is over a merge.
const MERGES: usize = 8;

/// How much is tried.
#[derive(clap::Args)]
pub struct TortureArgs {
    /// Runs killed at a random system call
    #[arg(long, default_value_t = 20, value_name = "N")]
    kills: usize,
    /// Runs a system call of which fails with a full or broken disk
    #[arg(long, default_value_t = 10, value_name = "N")]
    errors: usize,
    /// States that a disk may be in after a power cut
    #[arg(long, default_value_t = 20, value_name = "N")]
    power_cuts: usize,
    /// Repeats the choices of an earlier call (another seed each time by default)
    #[arg(long)]
    seed: Option<u64>,
    /// Only this trial of each kind, as a failure names it
    #[arg(long, value_name = "NUMBER")]
    only: Option<usize>,
    /// The binary; this workspace's is built by default
    #[arg(long, value_name = "PATH")]
    temper: Option<PathBuf>,
    /// Folder for the runs; what lost something is kept there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What is done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL.
    Kill,
    /// A system call that fails.
    Error,
    /// A power cut.
    PowerCut,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Error => "error",
            Self::PowerCut => "power cut",
        }
    }
}

/// Tries everything; the exit code is 1 where something was lost.
pub fn torture(args: &TortureArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let seed = args
        .seed
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    let temper = match &args.temper {
        Some(temper) => temper.clone(),
        None => {
            build(&["--package", "temper-train", "--bin", "temper"], &[])?;
            binary("temper")
        }
    };
    let folder = args.out.clone().unwrap_or_else(|| target_dir().join("torture")).join(seed.to_string());
    fresh(&folder)?;
    let folder = folder.canonicalize()?;
    let temper = temper.canonicalize().with_context(|| format!("{} is not there", temper.display()))?;
    process::find_strace(&folder)?;
    let lab = Lab::set_up(&temper, &folder)?;
    let counts = [(Kind::Kill, args.kills), (Kind::Error, args.errors), (Kind::PowerCut, args.power_cuts)];
    let trials: Vec<(Kind, usize)> = counts
        .iter()
        .flat_map(|(kind, count)| (0..*count).map(move |number| (*kind, number)))
        .filter(|(_, number)| args.only.is_none_or(|only| only == *number))
        .collect();
    let tally = all(&lab, &trials, seed, &folder);
    println!("{tally}");
    println!("seed {seed}, {:.0} s", begun.elapsed().as_secs_f64());
    if tally.lost() == 0 {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(ExitCode::from(u8::from(tally.lost() > 0)))
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Runs the trials, several at once.
fn all(lab: &Lab, trials: &[(Kind, usize)], seed: u64, folder: &Path) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((kind, number)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let place = folder.join(format!("{}-{number}", kind.name().replace(' ', "-")));
                    let verdict = one(lab, (*kind, *number), seed, &place);
                    let mut tally = tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    tally.count(*kind, &verdict);
                    if !verdict.losses.is_empty() {
                        let losses = verdict.losses;
                        tally.fail(Failure { kind: *kind, number: *number, losses, folder: place });
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One trial, in a folder that stays where something was lost.
fn one(lab: &Lab, (kind, number): (Kind, usize), seed: u64, folder: &Path) -> Verdict {
    let mut draw = Draw::new(seed, ((kind as u64) << 32) + number as u64);
    let merges = number % MERGES == MERGES - 1;
    let trial = match kind {
        Kind::Kill if merges => merge_trial::kill,
        Kind::Kill => kills::kill,
        Kind::Error => errors::error,
        Kind::PowerCut if merges => merge_trial::power_cut,
        Kind::PowerCut => power::power_cut,
    };
    let verdict = std::fs::create_dir_all(folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| trial(lab, &mut draw, folder));
    match verdict {
        Ok(verdict) => {
            if verdict.losses.is_empty() {
                // What cannot be removed is no loss.
                let _ = std::fs::remove_dir_all(folder);
            }
            verdict
        }
        Err(error) => Verdict { phase: Phase::Start, resumed: false, losses: vec![format!("{error:#}")] },
    }
}
