use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One line of metrics.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum JournalRow {
    /// Means since the row before.
    Train(StepRow),
    /// Scores on the validation split.
    Eval(EvaluationRow),
}

impl JournalRow {
    fn step(&self) -> usize {
        match self {
            Self::Train(row) => row.step,
            Self::Eval(row) => row.step,
        }
    }
}

/// Means over the optimiser steps since the row before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Optimiser steps done.
    pub step: usize,
    /// Passes over the data done.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean norm of all gradients, before clipping.
    pub grad_norm: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
}

/// Scores on the validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// Optimiser steps done.
    pub step: usize,
    /// Passes over the data done.
    pub epoch: f64,
    /// Name and value.
    pub metrics: Vec<(String, f64)>,
    /// Whether it is the best so far.
    pub best: bool,
}

/// metrics.jsonl: one object a line, flushed as it is written.
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
        temper_hub::write_atomically(path, text.as_bytes())?;
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
}

fn line(row: &JournalRow) -> String {
    // A row of numbers and names has no reason to fail; an empty line would be skipped on reading.
    serde_json::to_string(row).unwrap_or_default() + "\n"
}

/// Every row of a metrics.jsonl.
///
/// # Errors
/// [`TrainError::File`].
pub fn read_journal(path: &Path) -> Result<Vec<JournalRow>, TrainError> {
    let file = File::open(path).map_err(|error| TrainError::file(path, error))?;
    let mut rows = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| TrainError::file(path, error))?;
        // A line that was cut short by a crash is dropped.
        if let Ok(row) = serde_json::from_str(&line) {
            rows.push(row);
        }
    }
    Ok(rows)
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
        })
    }

    #[test]
    fn resuming_cuts_off_later_rows_and_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut journal = Journal::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            journal.write(&row(step)).unwrap();
        }
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"tr").unwrap();
        let mut resumed = Journal::open(&path, 20).unwrap();
        resumed.write(&row(30)).unwrap();
        assert_eq!(read_journal(&path).unwrap(), [row(10), row(20), row(30)]);
    }
}
