use std::path::Path;

use serde::{Deserialize, Serialize};
use temper_data::{ColumnNames, DatasetRequest};
use temper_hub::Resolved;

use crate::backend::Backend;
use crate::settings::{Preset, Settings};
use crate::{ColumnOptions, PrecisionSetting, SourceOptions, TrainError};

/// What a run was asked to do, resolved: enough to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Name or path of the model.
    pub model: String,
    /// Name or path of the dataset.
    pub dataset: String,
    /// Columns of the dataset.
    pub columns: ColumnOptions,
    /// Columns that the model was trained on, for a dataset whose columns nobody names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_columns: Option<ColumnNames>,
    /// flex, ndarray, cuda, cuda:N or wgpu.
    pub backend: String,
    /// GPUs that share every step; empty for one device.
    #[serde(default)]
    pub devices: Vec<usize>,
    /// The preset that the settings started from.
    pub preset: Preset,
    /// Where files may come from.
    pub sources: SourceOptions,
    /// Every setting.
    pub settings: Settings,
}

impl RunRequest {
    /// The dataset part.
    pub fn dataset_request(&self) -> DatasetRequest {
        DatasetRequest {
            name_or_path: self.dataset.clone(),
            text_column: self.columns.text_column.clone(),
            text_pair_column: self.columns.text_pair_column.clone(),
            label_column: self.columns.label_column.clone(),
            trained_columns: self.trained_columns.clone(),
            card_directories: self.sources.card_directories(),
            seed: self.settings.subset_seed,
            max_train_samples: self.settings.max_train_samples,
            max_eval_samples: self.settings.max_eval_samples,
            max_test_samples: self.settings.max_test_samples,
        }
    }

    /// Refuses a dataset's name that nobody knows: before a model is downloaded for it.
    ///
    /// # Errors
    /// [`TrainError::Data`].
    pub fn check_dataset(&self) -> Result<(), TrainError> {
        if !Path::new(&self.dataset).exists() {
            temper_data::find_card(&self.dataset, &self.sources.card_directories())?;
        }
        Ok(())
    }

    /// The same with the precision that `auto` stands for on its backend.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a precision that the backend does not have.
    pub fn resolved(mut self) -> Result<Self, TrainError> {
        let backend: Backend = self.backend.parse().map_err(TrainError::Usage)?;
        self.settings.precision = PrecisionSetting::Named(self.settings.precision.resolve(backend)?);
        Ok(self)
    }

    /// Reads a request as run.toml has it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

/// run.toml.
#[derive(Clone, Debug, Serialize)]
pub struct RunRecord {
    /// temper's version.
    pub temper: &'static str,
    /// Burn's version.
    pub burn: &'static str,
    /// Parameters that were drawn at random.
    pub new_parameters: Vec<String>,
    /// What was asked for.
    pub request: RunRequest,
    /// Where the model came from.
    pub model: Resolved,
    /// Where the dataset came from; absent for a path.
    pub dataset: Option<Resolved>,
}

/// The part of run.toml that a resumed run needs.
#[derive(Clone, Debug, Deserialize)]
pub struct ResumedRecord {
    /// Parameters that were drawn at random.
    pub new_parameters: Vec<String>,
    /// What was asked for.
    pub request: RunRequest,
    model: RecordedSource,
    dataset: Option<RecordedSource>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct RecordedSource {
    id: String,
    files: Vec<RecordedFile>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct RecordedFile {
    name: String,
    sha256: String,
}

impl RecordedSource {
    /// The same name may lead elsewhere now: to the thing itself rather than its stand-in, or to
    /// another revision.
    fn check(&self, now: &Resolved) -> Result<(), TrainError> {
        let changed = self
            .files
            .iter()
            .find(|file| now.file(&file.name).is_none_or(|found| found.sha256 != file.sha256));
        match changed {
            None => Ok(()),
            Some(file) => Err(TrainError::Usage(format!(
                "{} of {} was {} when the run started and is not the same in {} now; a run goes on with its own files only",
                file.name, self.id, file.sha256, now.id
            ))),
        }
    }
}

impl ResumedRecord {
    /// Refuses to go on with other files than the run started with.
    ///
    /// # Errors
    /// [`TrainError::Usage`] with the file.
    pub fn check(&self, model: &Resolved, dataset: Option<&Resolved>) -> Result<(), TrainError> {
        self.model.check(model)?;
        match (&self.dataset, dataset) {
            (Some(recorded), Some(now)) => recorded.check(now),
            _ => Ok(()),
        }
    }

    /// Whether two runs had the same files.
    pub(crate) fn has_files_of(&self, other: &Self) -> bool {
        self.model == other.model && self.dataset == other.dataset
    }

    /// Reads run.toml.
    ///
    /// # Errors
    /// [`TrainError::Usage`] when there is none, [`TrainError::File`] when it cannot be parsed.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            TrainError::Usage(format!("{}: {error}; is this a run folder?", path.display()))
        })?;
        toml::from_str(&text).map_err(|error| TrainError::content(path, error))
    }
}
