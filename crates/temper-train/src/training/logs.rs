//! Where the rows of a run go: metrics.jsonl, and others next to it.

use std::path::Path;

use super::journal::{Journal, JournalRow, read_journal};
use super::tensorboard::EventFile;
use crate::TrainError;
use crate::settings::ReportTo;

/// The logs of a run.
pub struct Logs {
    journal: Journal,
    events: Option<EventFile>,
}

impl Logs {
    /// Opens metrics.jsonl and, where they are asked for, TensorBoard's events in a folder `tensorboard` next to it. Rows
    /// after `steps_done` are cut off, since a resumed run will write them again.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(journal: &Path, steps_done: usize, report_to: ReportTo) -> Result<Self, TrainError> {
        let opened = Journal::open(journal, steps_done)?;
        let events = match report_to {
            ReportTo::None => None,
            ReportTo::Tensorboard => {
                Some(EventFile::create(&journal.with_file_name("tensorboard"), &read_journal(journal)?)?)
            }
        };
        Ok(Self { journal: opened, events })
    }

    /// Appends a row to all of them.
    ///
    /// # Errors
    /// [`TrainError::File`], for instance when the disk is full.
    pub(super) fn write(&mut self, row: &JournalRow) -> Result<(), TrainError> {
        self.journal.write(row)?;
        self.events.as_mut().map_or(Ok(()), |events| events.write(row))
    }

    /// Makes the rows so far last through a power cut: a checkpoint that follows must not be without them.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub(super) fn sync(&mut self) -> Result<(), TrainError> {
        self.journal.sync()
    }
}
