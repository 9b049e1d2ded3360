//! What a run needs to continue exactly: checkpoints, the best model, and how training ended.

use std::path::{Path, PathBuf};

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use serde::{Deserialize, Serialize};
use temper_files::{Checksums, FileError, publish, remove_folder};
use temper_models::{Model, ModelConfig};

use super::averaging::WeightAverage;
use super::log_sums::LogSums;
use super::trunk::TrunkReports;
use crate::device::allocator::release_freed_memory;
use crate::device::panics::{Refusal, caught};
use crate::{TrainError, model::adapters};

/// What a run needs to know besides weights and optimiser to continue exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// Optimiser steps done.
    pub step: usize,
    /// The best validation score so far and its step.
    pub best: Option<(f64, usize)>,
    /// Evaluations in a row without an improvement.
    #[serde(default)]
    pub evaluations_without_gain: usize,
    /// Seconds spent in training steps, before and after every resumption.
    pub training_seconds: f64,
    /// Tokens trained on.
    pub tokens: usize,
    /// Whether an evaluation after this step was interrupted.
    pub evaluation_due: bool,
    /// Steps after which the training proof was checked.
    pub proofs: Vec<usize>,
    /// Sums since the last row of metrics.jsonl.
    pub log_sums: LogSums,
    /// Hash of the losses of all steps so far, bit for bit.
    pub losses: String,
    /// Where several ranks computed: from which step on (steps done before it), and how many. Sums of other numbers of
    /// ranks are rounded otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<(usize, usize)>,
}

impl CheckpointState {
    /// Notes how many ranks compute the next steps.
    pub(super) fn continue_on(&mut self, ranks: usize) {
        if self.ranks.last().map_or(1, |&(_, before)| before) != ranks {
            self.ranks.push((self.step, ranks));
        }
    }
}

/// How training ended, before the run is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// After the last step.
    pub state: CheckpointState,
    /// What was kept of frozen layers' output.
    pub trunk_cache: Option<TrunkReports>,
    /// What the GPU's allocator held.
    pub device_memory_bytes: Option<u64>,
}

/// A checkpoint that can be resumed.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub dir: PathBuf,
    /// What it says.
    pub state: CheckpointState,
    /// The sha256 of its files.
    pub checksums: Checksums,
}

/// What a checkpoint is made of.
pub struct CheckpointContent<'a> {
    /// The model that trains.
    pub model: &'a Model,
    /// Its configuration.
    pub config: &'a ModelConfig,
    /// The optimiser's state.
    pub optimizer: OptimizerRecord,
    /// The average of the weights, where one is kept.
    pub average: Option<&'a WeightAverage>,
    /// Where the run is.
    pub state: &'a CheckpointState,
}

/// The best model's mark: which step's it is.
#[derive(Serialize, Deserialize)]
struct BestMark {
    step: usize,
}

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.bpk";
const BEST: &str = "best.json";

/// The checkpoints of a run: `step-N` folders that are complete or absent, and the best model.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Checkpoints in `dir`, of which the newest `keep` stay.
    pub fn new(dir: PathBuf, keep: usize) -> Self {
        Self { dir, keep }
    }

    /// Where the best model so far is.
    pub fn best_dir(&self) -> PathBuf {
        self.dir.join("best")
    }

    /// Writes a checkpoint and removes the oldest. `before_it_counts` receives the hashes of its files.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Model`]; nothing half-written stays.
    pub fn save(
        &self,
        content: CheckpointContent<'_>,
        before_it_counts: impl FnOnce(&Checksums) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let CheckpointContent { model, config, optimizer, average, state } = content;
        release_freed_memory();
        publish(&self.step_dir(state.step), |folder| {
            adapters::save(model, config, folder)?;
            if let Some(average) = average {
                average.save(folder)?;
            }
            let path = folder.join(OPTIMIZER);
            optimizer.save(&path).map_err(|error| TrainError::file(&path, error))?;
            write_json(&folder.join(STATE), state)?;
            before_it_counts(&Checksums::write(folder)?)
        })?;
        let steps = self.steps()?;
        for step in steps.iter().skip(self.keep) {
            remove_folder(&self.step_dir(*step))?;
        }
        Ok(())
    }

    /// Replaces the best model by the one after a step.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Model`]; the previous one stays until the new one is
    /// complete.
    pub fn save_best(&self, model: &Model, config: &ModelConfig, step: usize) -> Result<(), TrainError> {
        release_freed_memory();
        publish(&self.best_dir(), |folder| {
            adapters::save(model, config, folder)?;
            write_json(&folder.join(BEST), &BestMark { step })?;
            Checksums::write(folder)?;
            Ok(())
        })
    }

    /// Notes that training has ended: a run that is stopped before it is finished continues from here.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save_trained(&self, trained: &Trained) -> Result<(), TrainError> {
        write_json(&self.trained_file(), trained)
    }

    /// How training ended, if it has and the best model is there. What is damaged is reported through `notice`.
    pub fn trained(&self, notice: impl Fn(&str)) -> Option<Trained> {
        let text = std::fs::read_to_string(self.trained_file()).ok()?;
        let trained: Option<Trained> = serde_json::from_str(&text).ok();
        let problem = match &trained {
            None => format!("{} is damaged", self.trained_file().display()),
            Some(trained) => match self.best_problem(&trained.state) {
                None => return Some(trained.clone()),
                Some(problem) => problem,
            },
        };
        notice(&format!("{problem}; training resumes from a checkpoint"));
        None
    }

    /// The newest checkpoint that is whole and whose best model is there. What is damaged is reported through `notice`.
    ///
    /// # Errors
    /// [`TrainError::File`] when the folder cannot be read.
    pub fn latest(&self, notice: impl Fn(&str)) -> Result<Option<Checkpoint>, TrainError> {
        for step in self.steps()? {
            let dir = self.step_dir(step);
            let problem = match Self::open(&dir) {
                Err(error) => error.to_string(),
                Ok(checkpoint) => match self.best_problem(&checkpoint.state) {
                    None => return Ok(Some(checkpoint)),
                    Some(problem) => problem,
                },
            };
            notice(&format!("{problem}; {} is not used", dir.display()));
        }
        Ok(None)
    }

    /// The step of the newest checkpoint, whether it is whole or not.
    pub fn newest_step(&self) -> Option<usize> {
        self.steps().ok()?.first().copied()
    }

    /// The checkpoint after a step.
    ///
    /// # Errors
    /// [`FileError::Damaged`] when it is not there, or not as it was written.
    pub fn at(&self, step: usize) -> Result<Checkpoint, FileError> {
        Self::open(&self.step_dir(step))
    }

    fn open(dir: &Path) -> Result<Checkpoint, FileError> {
        let checksums = Checksums::check(dir)?;
        let path = dir.join(STATE);
        let text = std::fs::read_to_string(&path).map_err(|error| FileError::io(&path, error))?;
        let state = serde_json::from_str(&text)
            .map_err(|error| FileError::Damaged { path, reason: error.to_string() })?;
        Ok(Checkpoint { dir: dir.into(), state, checksums })
    }

    /// Why the best model of a state cannot be had.
    ///
    /// One of a later step is as good: the run comes to that step again, and makes the same one.
    fn best_problem(&self, state: &CheckpointState) -> Option<String> {
        let (_, step) = state.best?;
        let dir = self.best_dir();
        if let Err(error) = Checksums::check(&dir) {
            return Some(error.to_string());
        }
        let mark = std::fs::read_to_string(dir.join(BEST)).ok();
        match mark.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(BestMark { step: found }) if found == step || found > state.step => None,
            _ => Some(format!("{} is not the model of step {step}", dir.display())),
        }
    }

    /// An optimiser with the state that a checkpoint has.
    ///
    /// # Errors
    /// [`TrainError::File`], also where Burn panics on a damaged state.
    pub fn restored(checkpoint: &Path, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer, TrainError> {
        let path = checkpoint.join(OPTIMIZER);
        let restore = || OptimizerRecord::load(&path).map(|record| optimizer.load_record(record));
        match caught(restore) {
            Ok(restored) => restored.map_err(|error| TrainError::content(&path, error)),
            Err(Refusal::Other(reason)) => {
                Err(TrainError::content(&path, format!("the file is damaged: {reason}")))
            }
            Err(Refusal::NoMemory(_)) => {
                Err(TrainError::content(&path, "the file asks for more memory than there is"))
            }
        }
    }

    /// Removes what only an unfinished run needs. Checkpoints stay.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn tidy(&self) -> Result<(), TrainError> {
        remove_folder(&self.best_dir())?;
        let path = self.trained_file();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::file(path, error)),
            _ => Ok(()),
        }
    }

    fn step_dir(&self, step: usize) -> PathBuf {
        self.dir.join(format!("step-{step}"))
    }

    fn trained_file(&self) -> PathBuf {
        self.dir.join("trained.json")
    }

    /// The steps of the checkpoints that are there, newest first.
    ///
    /// # Errors
    /// [`TrainError::File`] when the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<usize>, TrainError> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&self.dir).map_err(|error| TrainError::file(&self.dir, error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut steps: Vec<usize> =
            names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable_by(|one, other| other.cmp(one));
        Ok(steps)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| TrainError::file(path, error))?;
    Ok(temper_files::write(path, (text + "\n").as_bytes())?)
}
