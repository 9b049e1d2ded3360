//! Several runs in one folder: which runs there are, and how each is started or continued.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use temper_files::Owner;

use super::child;
use super::log;
use super::outcome::{FailedRun, FinishedRun, GridResults};
use super::remaining_time::RemainingTime;
use super::shard::Shard;
use super::strategies::NamedStrategy;
use crate::commands::differences::same_settings;
use crate::ranks::forget_launcher;
use crate::run::folder::{OTHERS_BEGIN, this_process};
use crate::run::record::{ResumedRecord, RunRequest};
use crate::signals::{self, Signals, Stop};
use crate::terminal::say;
use crate::training::{Checkpoints, Progress};
use crate::{RunFolder, TrainError};

/// What the folder of all runs was made for.
const RECORD: &str = "compare.toml";

/// The same request under several strategies and seeds: a run folder each.
pub(in crate::commands) struct Grid {
    folder: PathBuf,
    request: RunRequest,
    strategies: Vec<NamedStrategy>,
    seeds: Vec<u64>,
    replace: bool,
    progress: Progress,
}

/// compare.toml.
#[derive(Serialize, Deserialize)]
struct GridRecord {
    temper: String,
    /// Its strategy is a placeholder, its seed is the first.
    request: RunRequest,
}

/// One run of the grid.
struct GridRun {
    strategy: String,
    seed: u64,
    name: String,
    folder: RunFolder,
    request: RunRequest,
}

/// The progress of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RunState {
    Done,
    /// The step of its newest checkpoint, if it has one.
    Begun(Option<usize>),
    New,
}

/// How the process of a run ended.
enum Ended {
    Done,
    /// With that exit code.
    Failed(u8),
    Stopped(Stop),
}

impl RunState {
    fn words(self) -> String {
        match self {
            Self::Done => "is already finished".into(),
            Self::Begun(Some(step)) => format!("continues after step {step}"),
            Self::Begun(None) => "continues".into(),
            Self::New => "starts".into(),
        }
    }
}

impl Grid {
    /// A grid in `folder`; nothing is written yet.
    ///
    /// # Errors
    /// [`TrainError::OtherSettings`] where the folder or a run in it was made for another request,
    /// unless it is replaced; [`TrainError::Usage`] for a folder of something else.
    pub(in crate::commands) fn new(
        folder: PathBuf,
        request: RunRequest,
        strategies: Vec<NamedStrategy>,
        seeds: u16,
        replace: bool,
        progress: Progress,
    ) -> Result<Self, TrainError> {
        let first = request.settings.seed;
        let seeds = (0..u64::from(seeds)).map(|number| first.wrapping_add(number)).collect();
        let grid = Self { folder, request, strategies, seeds, replace, progress };
        let runs = grid.runs();
        let mut names = HashMap::new();
        for run in &runs {
            if let Some(other) = names.insert(&run.name, &run.strategy) {
                return Err(TrainError::Usage(format!(
                    "{other} and {} would share the folder {}; write one of them otherwise",
                    run.strategy, run.name
                )));
            }
        }
        if grid.is_begun() {
            let record = grid.record()?;
            if !grid.replace {
                same_settings(&grid.folder, &record.request, &grid.request)?;
                runs.iter().try_for_each(|run| grid.state(run).map(drop))?;
            }
        }
        Ok(grid)
    }

    /// True if the folder has files. Hidden ones do not count: an earlier call leaves them if it is killed as it begins.
    fn is_begun(&self) -> bool {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| !name.to_string_lossy().starts_with('.'))
    }

    /// The folder of all runs.
    pub(in crate::commands) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What all runs have in common.
    pub(in crate::commands) fn request(&self) -> &RunRequest {
        &self.request
    }

    /// The strategies, in the order given.
    pub(in crate::commands) fn strategies(&self) -> &[NamedStrategy] {
        &self.strategies
    }

    /// The seeds, ascending.
    pub(in crate::commands) fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// True if every run is finished.
    pub(in crate::commands) fn is_done(&self) -> bool {
        !self.replace && self.runs().iter().all(|run| matches!(self.state(run), Ok(RunState::Done)))
    }

    /// Makes the folder, or empties it where it is replaced, and locks it: as long as the lock, or a
    /// run that was started with it, lives, no other process works there.
    ///
    /// # Errors
    /// [`TrainError::Owned`] while another does; [`TrainError::File`].
    pub(in crate::commands) fn begin(&self) -> Result<Owner, TrainError> {
        temper_files::create_folders(&self.folder)?;
        let lock = Owner::of(&self.folder, &this_process())?;
        temper_files::sweep(&self.folder, OTHERS_BEGIN)?;
        if self.replace {
            self.empty()?;
        }
        self.write_record()?;
        Ok(lock)
    }

    fn write_record(&self) -> Result<(), TrainError> {
        if self.folder.join(RECORD).exists() {
            return Ok(());
        }
        let record = GridRecord { temper: env!("CARGO_PKG_VERSION").into(), request: self.request.clone() };
        RunFolder::existing(&self.folder).write_toml(&self.folder.join(RECORD), &record)
    }

    /// Trains the runs of a shard, in the order of [`Grid::run`]. Other processes may train other shards at the same
    /// time, also on other machines that share the folder. If a run diverges or runs out of memory, the others still run.
    ///
    /// # Errors
    /// [`TrainError::GridInterrupted`], [`TrainError::GridRunFailed`].
    pub(in crate::commands) fn run_shard(&self, shard: Shard) -> Result<(), TrainError> {
        let signals = signals::listen();
        let _handed_on = signals.hand_on();
        let runs = self.runs();
        let own: Vec<(usize, &GridRun)> = shard.of(&runs).collect();
        self.write_record()?;
        let mut failures = Vec::new();
        for (done, (number, run)) in own.iter().enumerate() {
            let state = self.state(run)?;
            let (number, of) = (number + 1, runs.len());
            self.progress.line(&format!("run {number} of {of}: {} {}", run.name, state.words()));
            if state == RunState::Done {
                continue;
            }
            match self.outcome_of(run, state, None, signals)? {
                Ended::Done => {}
                Ended::Failed(code) => failures.push(FailedRun::of(&run.name, code)?),
                Ended::Stopped(stop) => {
                    let (of, folder) = (own.len(), self.folder.clone());
                    return Err(TrainError::GridInterrupted { done, of, folder, stop });
                }
            }
        }
        failures.first().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// The folder's lock where a shard that has trained its runs writes the table; nothing where runs of other shards are
    /// missing, or where another shard writes it.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(in crate::commands) fn begin_after(&self, shard: Shard) -> Result<Option<Owner>, TrainError> {
        self.run_shard(shard)?;
        let runs = self.runs();
        let missing = runs.iter().filter(|run| !matches!(self.state(run), Ok(RunState::Done))).count();
        if missing > 0 {
            let of = runs.len();
            self.progress.line(&format!(
                "{missing} of {of} runs are missing; the shard that trains the last one writes the table"
            ));
            return Ok(None);
        }
        match self.begin() {
            Ok(lock) => Ok(Some(lock)),
            Err(TrainError::Owned { owner, .. }) => {
                self.progress.line(&format!("{owner} writes the table"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Trains a run in its own process.
    fn outcome_of(
        &self,
        run: &GridRun,
        state: RunState,
        lock: Option<&Owner>,
        signals: &Signals,
    ) -> Result<Ended, TrainError> {
        let mut command = self.command(run, state, lock)?;
        // The messages of a single run go to the stderr of this process.
        if lock.is_some() {
            command.stderr(log::open(&self.log(run), state != RunState::New)?);
        }
        let status = child::run(&mut command, signals)?;
        let stops = [Stop::Interrupt, Stop::Terminate];
        let of_status = stops.into_iter().find(|stop| status.code() == Some(stop.exit_code().into()));
        Ok(match signals.stop().or(of_status) {
            Some(stop) => Ended::Stopped(stop),
            None if status.success() => Ended::Done,
            None => Ended::Failed(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        })
    }

    /// Trains the runs that are missing, seed after seed, and reads the results of all runs. If a run diverges or runs out
    /// of memory, the others still run.
    ///
    /// # Errors
    /// [`TrainError::GridInterrupted`] after a signal, [`TrainError::GridRunFailed`], and errors of reading the results.
    pub(in crate::commands) fn run(&self, lock: &Owner) -> Result<GridResults, TrainError> {
        let signals = signals::listen();
        let _handed_on = signals.hand_on();
        let runs = self.runs();
        let mut outcomes = GridResults::default();
        let mut pace = RemainingTime::begin(runs.iter().filter(|run| !run.folder.results().exists()).count());
        for (number, run) in runs.iter().enumerate() {
            let state = self.state(run)?;
            let of = runs.len();
            self.progress.line(&format!("run {} of {of}: {} {}", number + 1, run.name, state.words()));
            if state != RunState::Done {
                match self.outcome_of(run, state, Some(lock), signals)? {
                    Ended::Done => {}
                    Ended::Failed(code) => {
                        pace.ended();
                        let log = self.log(run);
                        log::errors(&log).iter().for_each(|line| say(&format!("  {line}")));
                        self.progress.line(&format!("  its messages are in {}", log.display()));
                        outcomes.failures.push(FailedRun::of(&run.name, code)?);
                        continue;
                    }
                    Ended::Stopped(stop) => {
                        let done = number + usize::from(run.folder.results().exists());
                        let folder = self.folder.clone();
                        return Err(TrainError::GridInterrupted { done, of, folder, stop });
                    }
                }
            }
            let outcome = FinishedRun::read(&run.strategy, run.seed, &run.name, &run.folder)?;
            if state != RunState::Done {
                self.progress.line(&format!("  {}{}", outcome.in_words(), pace.ended()));
            }
            outcomes.push(outcome)?;
        }
        Ok(outcomes)
    }

    /// The file for what a run writes to stderr.
    fn log(&self, run: &GridRun) -> PathBuf {
        self.folder.join(format!("{}.log", run.name))
    }

    fn runs(&self) -> Vec<GridRun> {
        let run = |named: &NamedStrategy, seed: u64| {
            let name = format!("{}-seed{seed}", as_file_name(&named.name));
            let mut request = self.request.clone();
            named.strategy.clone_into(&mut request.settings.strategy);
            if let Some(rate) = named.learning_rate {
                request.settings.learning_rate = rate;
            }
            request.settings.seed = seed;
            let folder = RunFolder::existing(&self.folder.join(&name));
            GridRun { strategy: named.name.clone(), seed, name, folder, request }
        };
        let of_seed = |&seed: &u64| self.strategies.iter().map(move |named| run(named, seed));
        self.seeds.iter().flat_map(of_seed).collect()
    }

    fn record(&self) -> Result<GridRecord, TrainError> {
        let path = self.folder.join(RECORD);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            TrainError::Usage(format!("{}: {error}; is this a folder of compared runs?", path.display()))
        })?;
        toml::from_str(&text).map_err(|error| TrainError::content(&path, error))
    }

    fn state(&self, run: &GridRun) -> Result<RunState, TrainError> {
        if !run.folder.record().exists() {
            return Ok(RunState::New);
        }
        let recorded = ResumedRecord::read(&run.folder.record())?;
        same_settings(run.folder.path(), &recorded.request, &run.request)?;
        if run.folder.results().exists() {
            return Ok(RunState::Done);
        }
        Ok(RunState::Begun(Checkpoints::new(run.folder.checkpoints(), 1).newest_step()))
    }

    /// The command `temper finetune` for a run.
    fn command(&self, run: &GridRun, state: RunState, lock: Option<&Owner>) -> Result<Command, TrainError> {
        let folder = run.folder.path();
        let failed = |error| TrainError::file(folder, error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        forget_launcher(&mut command);
        command.arg("--threads").arg(rayon::current_num_threads().to_string()).arg("finetune");
        if state == RunState::New {
            let request = toml::to_string(&run.request).map_err(|error| TrainError::file(folder, error))?;
            command.arg("--request").arg(request).arg("--output-dir").arg(&self.folder);
            command.arg("--run-name").arg(&run.name).arg("--overwrite-output-dir");
        } else {
            command.arg("--resume").arg(folder);
        }
        if self.progress.is_quiet() && lock.is_none() {
            command.arg("--quiet");
        }
        // A run reads no input. Its stdin is the lock, which stays held as long as the run lives, even if this process ends.
        let input = lock.map(Owner::handle).transpose()?;
        command.stdin(input.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::null());
        Ok(command)
    }

    fn empty(&self) -> Result<(), TrainError> {
        let failed = |error| TrainError::file(&self.folder, error);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if is_folder {
                std::fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if !Owner::is_lock(&entry.file_name()) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// `last:2` becomes `last-2`; characters that a file system may refuse become `_`.
fn as_file_name(strategy: &str) -> String {
    let character = |character: char| match character {
        ':' => '-',
        character if character.is_ascii_alphanumeric() || ".+-_=".contains(character) => character,
        _ => '_',
    };
    strategy.chars().map(character).collect()
}
