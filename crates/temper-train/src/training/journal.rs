//! metrics.jsonl: what a run logs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use temper_files::Checksums;

use super::checkpoint::CheckpointState;
use super::log_sums::StepRow;
use crate::TrainError;

/// One line of metrics.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum JournalRow {
    /// Means since the row before.
    Train(StepRow),
    /// Scores on the validation split.
    Eval(EvaluationRow),
    /// A checkpoint, with what `temper replay` compares.
    Checkpoint(CheckpointRow),
}

impl JournalRow {
    /// Its numbers, as trackers of experiments name them; a checkpoint has none.
    pub(super) fn scalars(&self) -> Vec<(String, f64)> {
        match self {
            Self::Train(row) => {
                let of_step = [
                    ("loss", row.loss),
                    ("learning_rate", row.learning_rate),
                    ("grad_norm", row.grad_norm),
                    ("tokens_per_second", row.tokens_per_second),
                    ("epoch", row.epoch),
                ];
                of_step.map(|(name, value)| (format!("train/{name}"), value)).to_vec()
            }
            Self::Eval(row) => {
                row.metrics.iter().map(|(name, value)| (format!("eval/{name}"), *value)).collect()
            }
            Self::Checkpoint(_) => Vec::new(),
        }
    }

    pub(super) fn step(&self) -> usize {
        match self {
            Self::Train(row) => row.step,
            Self::Eval(row) => row.step,
            Self::Checkpoint(row) => row.step,
        }
    }
}

/// What a checkpoint holds, as hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// Optimiser steps done.
    pub step: usize,
    /// Hash of the losses of all steps so far, bit for bit.
    pub losses: String,
    /// sha256 of model.safetensors.
    pub parameters: String,
    /// sha256 of the adapters, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<String>,
}

impl CheckpointRow {
    /// The row of a checkpoint whose files have these hashes.
    pub(super) fn new(state: &CheckpointState, checksums: &Checksums) -> Self {
        let hash = |name| checksums.of(name).map(str::to_owned);
        Self {
            step: state.step,
            losses: state.losses.clone(),
            parameters: hash("model.safetensors").unwrap_or_default(),
            adapters: hash(crate::model::adapters::FILE),
        }
    }
}

/// Scores on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Optimiser steps done.
    pub step: usize,
    /// Passes over the data done.
    pub epoch: f64,
    /// Name and value.
    #[serde(with = "crate::tasks::metrics_by_name")]
    pub metrics: Vec<(String, f64)>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// metrics.jsonl: one object per line.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal of a run; rows after `steps_done` are cut off, since a resumed run will
    /// write them again.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(path: &Path, steps_done: usize) -> Result<Self, TrainError> {
        let kept: Vec<JournalRow> = match path.exists() {
            true => read_journal(path)?.into_iter().filter(|row| row.step() <= steps_done).collect(),
            false => Vec::new(),
        };
        let mut text = String::new();
        for row in &kept {
            text += &line(row);
        }
        temper_files::write(path, text.as_bytes())?;
        let file =
            OpenOptions::new().append(true).open(path).map_err(|error| TrainError::file(path, error))?;
        Ok(Self { path: path.into(), file })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`TrainError::File`], for instance when the disk is full.
    pub fn write(&mut self, row: &JournalRow) -> Result<(), TrainError> {
        self.file.write_all(line(row).as_bytes()).map_err(|error| TrainError::file(&self.path, error))
    }

    /// Makes the rows so far last through a power cut: a checkpoint that follows must not be without them.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn sync(&mut self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(|error| TrainError::file(&self.path, error))
    }
}

fn line(row: &JournalRow) -> String {
    // A row of numbers and names has no reason to fail; an empty line would be skipped on reading.
    serde_json::to_string(row).unwrap_or_default() + "\n"
}

/// Every row of a metrics.jsonl. A line that a crash cut short or a disk damaged is skipped.
///
/// # Errors
/// [`TrainError::File`].
pub fn read_journal(path: &Path) -> Result<Vec<JournalRow>, TrainError> {
    let bytes = std::fs::read(path).map_err(|error| TrainError::file(path, error))?;
    Ok(bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: usize) -> JournalRow {
        JournalRow::Train(StepRow {
            step,
            epoch: 0.5,
            loss: 0.1,
            learning_rate: 1e-5,
            grad_norm: 1.0,
            tokens_per_second: 10.0,
            losses: "00".into(),
        })
    }

    #[test]
    fn resuming_cuts_off_later_rows_and_damaged_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut journal = Journal::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            journal.write(&row(step)).unwrap();
        }
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\xff{\"kind\":\"tr").unwrap();
        let mut resumed = Journal::open(&path, 20).unwrap();
        resumed.write(&row(30)).unwrap();
        assert_eq!(read_journal(&path).unwrap(), [row(10), row(20), row(30)]);
    }
}
