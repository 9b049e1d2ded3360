//! The baselines of a comparison.

use std::path::{Path, PathBuf};

use crate::commands::finetune::Prepared;
use crate::tasks::Baseline;
use crate::training::Progress;
use crate::{RunFolder, TrainError};

/// Where they are kept: they depend only on the data, not on strategy or seed.
fn place(folder: &Path) -> PathBuf {
    folder.join("baselines.json")
}

/// True if the baselines were computed in an earlier call.
pub(super) fn are_written(folder: &Path) -> bool {
    place(folder).exists()
}

/// Reads the baselines of an earlier call, or computes and writes them.
///
/// # Errors
/// [`TrainError::File`].
pub(super) fn read_or_compute(
    folder: &Path,
    prepared: Option<&Prepared>,
    progress: Progress,
) -> Result<Vec<Baseline>, TrainError> {
    let path = place(folder);
    if let Some(prepared) = prepared.filter(|_| !path.exists()) {
        progress.line("baselines: the most common label, and words counted (TF-IDF, logistic regression)");
        let computed = prepared.splits().examples.baselines();
        RunFolder::existing(folder).write_json(&path, &computed)?;
        return Ok(computed);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| TrainError::file(&path, error))?;
    serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))
}
