use std::path::{Path, PathBuf};

use burn::optim::OptimizerRecord;
use serde::{Deserialize, Serialize};
use temper_models::{Model, ModelConfig};

use crate::run_folder::{remove_dir, write_dir};
use crate::{TrainError, adapters};

/// What a run needs to know beside weights and optimiser to go on exactly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckpointState {
    /// Optimiser steps done.
    pub step: usize,
    /// The best validation score so far and its step.
    pub best: Option<(f64, usize)>,
    /// Seconds spent in training steps, before and after every resumption.
    pub training_seconds: f64,
    /// Tokens trained on.
    pub tokens: usize,
}

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

    /// Writes a checkpoint and removes the oldest.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Model`]; nothing half-written stays.
    pub fn save(
        &self,
        model: &Model,
        config: &ModelConfig,
        optimizer: OptimizerRecord,
        state: &CheckpointState,
    ) -> Result<(), TrainError> {
        write_dir(&self.dir.join(format!("step-{}", state.step)), |partial| {
            adapters::save(model, config, partial)?;
            let path = partial.join("optimizer.bpk");
            optimizer.save(&path).map_err(|error| TrainError::file(&path, error))?;
            let path = partial.join("state.json");
            let text = serde_json::to_string_pretty(state).map_err(|error| TrainError::file(&path, error))?;
            std::fs::write(&path, text).map_err(|error| TrainError::file(&path, error))
        })?;
        let mut steps = self.steps()?;
        steps.sort_unstable();
        let surplus = steps.len().saturating_sub(self.keep);
        for step in &steps[..surplus] {
            remove_dir(&self.dir.join(format!("step-{step}")))?;
        }
        Ok(())
    }

    /// Replaces the best model.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Model`]; the one before stays until the new one is
    /// complete.
    pub fn save_best(&self, model: &Model, config: &ModelConfig) -> Result<(), TrainError> {
        write_dir(&self.best_dir(), |partial| adapters::save(model, config, partial))
    }

    /// The newest checkpoint's folder and state.
    ///
    /// # Errors
    /// [`TrainError::File`] when a checkpoint is there but cannot be read.
    pub fn latest(&self) -> Result<Option<(PathBuf, CheckpointState)>, TrainError> {
        let Some(step) = self.steps()?.into_iter().max() else { return Ok(None) };
        let dir = self.dir.join(format!("step-{step}"));
        let path = dir.join("state.json");
        let text = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
        let state = serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))?;
        Ok(Some((dir, state)))
    }

    /// The optimiser's state in a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn optimizer(checkpoint: &Path) -> Result<OptimizerRecord, TrainError> {
        let path = checkpoint.join("optimizer.bpk");
        OptimizerRecord::load(&path).map_err(|error| TrainError::content(&path, error))
    }

    fn steps(&self) -> Result<Vec<usize>, TrainError> {
        if !self.dir.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&self.dir).map_err(|error| TrainError::file(&self.dir, error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect())
    }
}
