//! In the place of MLflow in a build without the feature `online`: a run that asks for it is refused.

use std::path::Path;

use super::tracked::{RunParameters, RunStatus};
use crate::TrainError;

/// A run in MLflow, of which there is none.
pub(super) struct MlflowRun;

impl MlflowRun {
    /// # Errors
    /// [`TrainError::Usage`], always.
    pub(super) fn begin(_folder: &Path, _parameters: &RunParameters) -> Result<Self, TrainError> {
        Err(TrainError::Usage("--report-to mlflow: this program was built without the feature online".into()))
    }

    /// # Errors
    /// None.
    pub(super) fn log(&self, _step: usize, _scalars: &[(String, f64)]) -> Result<(), TrainError> {
        Ok(())
    }
}

/// # Errors
/// None.
pub fn end_in_mlflow(
    _folder: &Path,
    _status: RunStatus,
    _step: usize,
    _scalars: &[(String, f64)],
) -> Result<(), TrainError> {
    Ok(())
}
