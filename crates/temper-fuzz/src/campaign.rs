//! The leading process: it starts workers, restarts those that crash, and keeps the inputs that failed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::budget::Budget;
use crate::inputs::Inputs;
use crate::worker::{AT, FAULTS, HANGS, Order, WORKER, kind, write_fault};
use crate::{Failure, Failures, Part};

/// Faults after which a target is given up.
const MOST_FAULTS: usize = 20;
/// Address space of a worker in KiB: a reader has no use for more than a part of it.
const MEMORY: u64 = 4 << 20;

/// What one worker and those that followed it did.
struct Share {
    inputs: u64,
    accepted: u64,
    /// Numbers of inputs and reasons.
    faults: Vec<(u64, String)>,
}

/// Runs a target with as many workers as there are cores.
pub(crate) fn lead(target: &str, inputs: u64, parts: &[Part<'_>]) -> Result<(), Failures> {
    let hindered = |reason: &dyn std::fmt::Display| Failures::hindered(target, reason);
    let begun = Instant::now();
    let budget = Budget::of_environment(inputs).map_err(|error| hindered(&error))?;
    let all = Inputs::new(target, budget.seed, parts).map_err(|error| hindered(&error))?;
    let end = budget.inputs.saturating_add(all.fixed());
    let workers = thread::available_parallelism().map_or(1, usize::from) as u64;
    let shares: io::Result<Vec<Share>> = thread::scope(|scope| {
        let budget = &budget;
        let threads: Vec<_> = (0..workers)
            .map(|first| scope.spawn(move || share(target, budget, (first, workers, end))))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|share| share.map_err(|_| io::Error::other("a thread panicked"))?).collect()
    });
    let shares = shares.map_err(|error| hindered(&error))?;
    let sum = |of: fn(&Share) -> u64| shares.iter().map(of).sum::<u64>();
    println!(
        "{target}: {} inputs, {} accepted, {:.1} s, seed {}",
        sum(|share| share.inputs),
        sum(|share| share.accepted),
        begun.elapsed().as_secs_f64(),
        budget.seed
    );
    let found = keep(target, &all, shares).map_err(|error| hindered(&error))?;
    if found.is_empty() { Ok(()) } else { Err(Failures { target: target.into(), found, hindered: None }) }
}

/// One worker after another, until every input of this share was read.
fn share(target: &str, budget: &Budget, (first, step, end): (u64, u64, u64)) -> io::Result<Share> {
    let dir = in_memory().map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let mut order = Order { seed: budget.seed, next: first, step, end, accepted: 0, milliseconds: None };
    loop {
        order.milliseconds = budget.deadline.map(|deadline| {
            deadline.saturating_duration_since(Instant::now()).as_millis().try_into().unwrap_or(u64::MAX)
        });
        order.write(dir.path())?;
        let status = start(target, dir.path())?;
        let (at, accepted) = read_at(&dir.path().join(AT)).map_err(|error| {
            io::Error::other(format!("no worker of {target}: {error}; {}", last_words(dir.path())))
        })?;
        order.accepted = accepted;
        order.next = at;
        if !status.success() {
            if status.code() != Some(HANGS) {
                let reason = format!("{status}: {}", last_words(dir.path()));
                write_fault(&dir.path().join(FAULTS), at, &reason)?;
            }
            order.next = at.saturating_add(step);
        }
        let faults = read_faults(&dir.path().join(FAULTS))?;
        if status.success() || faults.len() >= MOST_FAULTS {
            return Ok(Share { inputs: (order.next - first).div_ceil(step), accepted, faults });
        }
    }
}

/// A folder in memory, where there is one: what a reader writes and syncs need not reach a disk.
fn in_memory() -> Option<&'static Path> {
    Some(Path::new("/dev/shm")).filter(|dir| dir.is_dir())
}

/// Runs the target's test in a process of its own, within a limit of memory where the system has one.
fn start(target: &str, dir: &Path) -> io::Result<ExitStatus> {
    let program = std::env::current_exe()?;
    let mut command = if cfg!(unix) {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -c 0; ulimit -v {MEMORY} && exec \"$0\" \"$@\"")]).arg(program);
        shell
    } else {
        Command::new(program)
    };
    command.args([target, "--exact", "--nocapture"]).env(WORKER, dir).env_remove("RUST_BACKTRACE");
    // Workers are as many as cores already.
    command.env("RAYON_NUM_THREADS", "1");
    let said = File::create(dir.join("said"))?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).status()
}

fn read_at(path: &Path) -> io::Result<(u64, u64)> {
    let bytes = fs::read(path)?;
    let number = |place: usize| {
        let bytes: Option<&[u8; 8]> = bytes.get(place..).and_then(<[u8]>::first_chunk);
        bytes.map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(|| io::Error::other("it began nothing"))
    };
    Ok((number(0)?, number(8)?))
}

/// The end of what a worker printed.
fn last_words(dir: &Path) -> String {
    let said = fs::read(dir.join("said")).unwrap_or_default();
    let text = String::from_utf8_lossy(&said[said.len().saturating_sub(400)..]).into_owned();
    let is_telling = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    text.lines().rev().find(is_telling).unwrap_or_default().to_owned()
}

fn read_faults(path: &Path) -> io::Result<Vec<(u64, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path)?;
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(rows.filter_map(|row| Some((row[0].as_u64()?, row[1].as_str()?.to_owned()))).collect())
}

/// Writes the input of each fault, one of each kind, below the folder that cargo builds into.
fn keep(target: &str, inputs: &Inputs<'_>, shares: Vec<Share>) -> io::Result<Vec<Failure>> {
    let built = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let built = built.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let dir = built.join("fuzz").join(target);
    let mut kinds = HashSet::new();
    let mut found = Vec::new();
    for (number, reason) in shares.into_iter().flat_map(|share| share.faults) {
        if !kinds.insert(kind(&reason)) {
            continue;
        }
        let input = inputs.get(number)?;
        fs::create_dir_all(&dir)?;
        let path = dir.canonicalize()?.join(format!("{}-{number}", input.part.name));
        fs::write(&path, &input.bytes)?;
        found.push(Failure { input: path, reason });
    }
    Ok(found)
}
