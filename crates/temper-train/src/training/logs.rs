//! Where the rows of a run go: metrics.jsonl, and others next to it.

use std::path::Path;

use super::journal::{Journal, JournalRow, read_journal};
use super::mlflow::MlflowRun;
use super::tensorboard::EventFile;
use super::tracked::RunParameters;
use crate::TrainError;
use crate::settings::ReportTo;
use crate::terminal::say;

/// The logs of a run.
pub struct Logs {
    journal: Journal,
    events: Option<EventFile>,
    mlflow: Option<MlflowRun>,
}

impl Logs {
    /// Opens metrics.jsonl and, where they are asked for, TensorBoard's events in a folder `tensorboard` next to it and
    /// a run in MLflow. Rows after `steps_done` are cut off, since a resumed run will write them again.
    ///
    /// # Errors
    /// [`TrainError::File`], [`TrainError::Tracking`].
    pub fn open(
        journal: &Path,
        steps_done: usize,
        report_to: ReportTo,
        parameters: &RunParameters,
    ) -> Result<Self, TrainError> {
        let opened = Journal::open(journal, steps_done)?;
        let folder = journal.parent().unwrap_or(Path::new("."));
        let events = match report_to {
            ReportTo::Tensorboard | ReportTo::All => {
                Some(EventFile::create(&folder.join("tensorboard"), &read_journal(journal)?)?)
            }
            ReportTo::None | ReportTo::Mlflow => None,
        };
        let mlflow = match report_to {
            ReportTo::Mlflow | ReportTo::All => Some(MlflowRun::begin(folder, parameters)?),
            ReportTo::None | ReportTo::Tensorboard => None,
        };
        Ok(Self { journal: opened, events, mlflow })
    }

    /// Appends a row to all of them. A server that does not take it is not asked again: no training ends for that.
    ///
    /// # Errors
    /// [`TrainError::File`], for instance when the disk is full.
    pub(super) fn write(&mut self, row: &JournalRow) -> Result<(), TrainError> {
        self.journal.write(row)?;
        if let Some(events) = &mut self.events {
            events.write(row)?;
        }
        let scalars = row.scalars();
        let Some(mlflow) = self.mlflow.as_ref().filter(|_| !scalars.is_empty()) else { return Ok(()) };
        if let Err(error) = mlflow.log(row.step(), &scalars) {
            say(&format!("note: {error}; nothing more of this run is sent there"));
            self.mlflow = None;
        }
        Ok(())
    }

    /// Makes the rows so far last through a power cut: a checkpoint that follows must not be without them.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(super) fn sync(&mut self) -> Result<(), TrainError> {
        self.journal.sync()
    }
}
