//! The reference values that are in a checkout: a tiny model of every family and head.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;
use serde_json::Value;
use temper_models::{HeadRequest, Loaded, Model, ModelError};

use super::VerifyBounds;
use super::compare::{Difference, Impossible, compare};
use crate::TrainError;

/// Where they are in a checkout.
const IN_CHECKOUT: &str = "crates/temper-models/tests/fixtures/zoo";

/// The result of one fixture.
#[derive(Clone, Debug, Serialize)]
pub struct FixtureResult {
    /// Its folder's name.
    pub name: String,
    /// The family.
    pub model_type: String,
    /// The class with its head.
    pub architecture: String,
    /// What the model gave.
    #[serde(flatten)]
    pub outcome: FixtureOutcome,
}

/// What a model gave, compared with its reference.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum FixtureOutcome {
    /// Nothing differs by more than the tolerance.
    Verified {
        /// The output that differs most.
        output: String,
        /// By how much.
        largest: f64,
    },
    /// Something does.
    Differs {
        /// The output that differs most.
        output: String,
        /// By how much; JSON has `null` for infinite.
        largest: f64,
    },
    /// It cannot be loaded or compared.
    Failed {
        /// Why.
        reason: String,
    },
    /// This version does not know the family.
    UnknownFamily,
}

impl FixtureOutcome {
    /// True where something is wrong.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Differs { .. } | Self::Failed { .. })
    }
}

/// The folder of the fixtures: the given one, else the checkout's around the current directory.
pub(super) fn folder(given: Option<&Path>) -> Result<PathBuf, TrainError> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let current = std::env::current_dir().map_err(|error| TrainError::file(".", error))?;
    let found = current.ancestors().map(|dir| dir.join(IN_CHECKOUT)).find(|dir| dir.is_dir());
    found.ok_or_else(|| {
        TrainError::Usage(format!(
            "there is no {IN_CHECKOUT} here or above: run it in a checkout of Temper, give --fixtures DIR, \
             or compare with a file of your own: --reference FILE"
        ))
    })
}

/// Compares every fixture of a folder with its reference, of one family or of all.
///
/// # Errors
/// [`TrainError::File`] for a folder that cannot be read; [`TrainError::Usage`] where it has no fixture of
/// the family.
pub fn verify_fixtures(
    folder: &Path,
    family: Option<&str>,
    bounds: VerifyBounds,
    device: &Device,
) -> Result<Vec<FixtureResult>, TrainError> {
    let entries = std::fs::read_dir(folder).map_err(|error| TrainError::content(folder, error))?;
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    dirs.retain(|dir| dir.join("config.json").is_file() && dir.join("reference.safetensors").is_file());
    dirs.sort();
    let mut results = Vec::new();
    for dir in dirs {
        let (model_type, architecture) = identity(&dir)?;
        if family.is_none_or(|family| family == model_type) {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let outcome = outcome(&dir, bounds, device);
            results.push(FixtureResult { name, model_type, architecture, outcome });
        }
    }
    if results.is_empty() {
        let what = family.map_or(String::new(), |family| format!(" of the family {family}"));
        return Err(TrainError::Usage(format!("{} has no fixtures{what}", folder.display())));
    }
    Ok(results)
}

/// Family and class of a model folder; empty where config.json does not say.
fn identity(dir: &Path) -> Result<(String, String), TrainError> {
    let path = dir.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|error| TrainError::content(&path, error))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| TrainError::content(&path, error))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&config["model_type"]), text(&config["architectures"][0])))
}

fn outcome(dir: &Path, bounds: VerifyBounds, device: &Device) -> FixtureOutcome {
    let loaded = match Model::load(dir, &HeadRequest::FromConfig, device) {
        Ok(loaded) => loaded,
        Err(ModelError::UnknownFamily { .. }) => return FixtureOutcome::UnknownFamily,
        Err(error) => return FixtureOutcome::Failed { reason: error.to_string() },
    };
    let loaded = Loaded { model: loaded.model.with_precision(bounds.precision).packed(), ..loaded };
    let comparison = match compare(&loaded, &dir.join("reference.safetensors"), device) {
        Ok(comparison) => comparison,
        Err(error) => return FixtureOutcome::Failed { reason: error.to_string() },
    };
    if let Some(Impossible { name, reason }) = comparison.impossible.first() {
        return FixtureOutcome::Failed { reason: format!("{name}: {reason}") };
    }
    let named = |output: &Difference| (output.name.clone(), output.largest);
    match (bounds.failure(&comparison), comparison.worst()) {
        (Some(failure), _) => {
            let (output, largest) = named(failure);
            FixtureOutcome::Differs { output, largest }
        }
        (None, Some(worst)) => {
            let (output, largest) = named(worst);
            FixtureOutcome::Verified { output, largest }
        }
        (None, None) => FixtureOutcome::Failed { reason: "nothing to compare".into() },
    }
}
