//! In the place of MPI in a build without the feature `mpi`: no process has others.

use std::time::Duration;

use super::{Place, launcher};
use crate::TrainError;

/// The MPI library that this program uses.
pub(crate) fn library() -> String {
    "none (built without the feature mpi)".into()
}

/// Other ranks, of which there are none.
#[derive(Debug)]
pub(super) enum Group {}

/// What a rank knows when it has joined.
pub(super) struct Joined {
    pub(super) rank: usize,
    pub(super) size: usize,
    pub(super) place: Place,
}

impl Group {
    /// # Errors
    /// [`TrainError::Usage`], always.
    pub(super) fn join() -> Result<(Self, Joined), TrainError> {
        Err(TrainError::Usage(format!(
            "{} processes were started to share a run, and this program was built without MPI: build it with --features \
             mpi, or start one process",
            launcher::processes()
        )))
    }

    pub(super) fn sum(&self, _: &mut Vec<f32>, _: Duration) {
        match *self {}
    }

    pub(super) fn broadcast(&self, _: Vec<u8>, _: Duration) -> Vec<u8> {
        match *self {}
    }

    pub(super) fn gather(&self, _: Vec<u8>, _: Duration) -> Vec<Vec<u8>> {
        match *self {}
    }

    pub(super) fn meet(&self) {
        match *self {}
    }

    pub(super) fn leave(&self) {
        match *self {}
    }

    pub(super) fn abort(&self, _: u8) {
        match *self {}
    }
}
