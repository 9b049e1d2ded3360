//! In the place of MLflow in a build without the feature `online`: a run that asks for it is refused.

use std::path::Path;

use crate::TrainError;

/// What a run is called there, and what it was asked for.
#[derive(Clone, Debug, Default)]
pub struct RunParameters {
    /// The name of the run's folder.
    pub name: String,
    /// Names and values.
    pub values: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// With results.
    Finished,
    /// With an error.
    Failed,
    /// By a signal; it may continue.
    Killed,
}

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
