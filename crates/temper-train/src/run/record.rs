//! run.toml: what a run was asked to do, and the files it read.

use std::path::Path;

use serde::{Deserialize, Serialize};
use temper_data::{ColumnChoice, RowsRequest, TaskKind, TextTokenizer};
use temper_hub::{CacheKind, Hub, Resolved};
use temper_models::ModelConfig;

use crate::device::backend::Backend;
use crate::examples::Split;
use crate::settings::{self, Preset, Settings};
use crate::tasks::LoadRequest;
use crate::{ColumnOptions, Columns, PrecisionSetting, ReadFile, SourceOptions, TrainError};

/// What a run was asked to do, resolved: enough to do it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Name or path of the model.
    pub model: String,
    /// Name or path of the dataset.
    pub dataset: String,
    /// The config.json of a new model, where it is trained from scratch: of `model` only the tokenizer is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_scratch: Option<String>,
    /// Columns of the dataset.
    pub columns: ColumnOptions,
    /// The task, where it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskKind>,
    /// Columns that the model was trained on; used if neither flags nor a card name the columns of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_columns: Option<Columns>,
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
    pub fn dataset_request(&self) -> RowsRequest {
        RowsRequest {
            name_or_path: self.dataset.clone(),
            columns: ColumnChoice {
                asked: self.columns.by_role(),
                trained: self.trained_columns.clone().unwrap_or_default(),
            },
            card_directories: self.sources.card_directories(),
            splits: self.settings.splits.choice(),
            seed: self.settings.subset_seed,
            max_train_samples: self.settings.max_train_samples,
            max_eval_samples: self.settings.max_eval_samples,
            max_test_samples: self.settings.max_test_samples,
            skip_unreadable: self.settings.force,
        }
    }

    /// What to read of the dataset, and how.
    pub fn load_request<'a>(
        &'a self,
        hub: &'a Hub,
        (tokenizer, config): (&'a TextTokenizer, &'a ModelConfig),
        wanted: &'a [Split],
    ) -> LoadRequest<'a> {
        let cache = self.sources.cache().join(CacheKind::Encoded.folder());
        let (dataset, settings) = (self.dataset_request(), &self.settings);
        LoadRequest {
            hub,
            dataset,
            task: self.task,
            tokenizer,
            config,
            settings,
            cache,
            record: None,
            wanted,
        }
    }

    /// Refuses an unknown dataset, before a model is downloaded for it.
    ///
    /// # Errors
    /// [`TrainError::Data`].
    pub fn check_dataset(&self) -> Result<(), TrainError> {
        Ok(temper_data::check_dataset(&self.dataset_request())?)
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
    /// The vector instructions of the processor: sums on others are rounded otherwise.
    pub vector_instructions: &'static str,
    /// Parameters that were initialised randomly.
    pub new_parameters: Vec<String>,
    /// Stored tensors that the model had no use for.
    pub dropped_tensors: Vec<String>,
    /// What was asked for.
    pub request: RunRequest,
    /// Where the model came from.
    pub model: Resolved,
    /// Where the dataset came from; absent for a path.
    pub dataset: Option<Resolved>,
    /// The files of a dataset that are paths.
    pub dataset_files: Vec<ReadFile>,
}

/// The part of run.toml that a resumed run needs.
#[derive(Clone, Debug, Deserialize)]
pub struct ResumedRecord {
    #[serde(default)]
    temper: String,
    #[serde(default)]
    burn: String,
    #[serde(default)]
    vector_instructions: String,
    /// Parameters that were initialised randomly.
    pub new_parameters: Vec<String>,
    /// Stored tensors that the model had no use for.
    #[serde(default)]
    pub dropped_tensors: Vec<String>,
    /// What was asked for.
    pub request: RunRequest,
    model: RecordedSource,
    dataset: Option<RecordedSource>,
    #[serde(default)]
    dataset_files: Vec<ReadFile>,
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
                "{} of {} was {} when the run started and is not the same in {} now; a run resumes only with its own files",
                file.name, self.id, file.sha256, now.id
            ))),
        }
    }
}

impl ResumedRecord {
    /// Refuses to continue with other files than the run started with.
    ///
    /// # Errors
    /// [`TrainError::Usage`] with the file.
    pub fn check(
        &self,
        model: &Resolved,
        dataset: Option<&Resolved>,
        dataset_files: &[ReadFile],
    ) -> Result<(), TrainError> {
        self.model.check(model)?;
        self.check_data(dataset, dataset_files)
    }

    /// Refuses other data than the run started with.
    ///
    /// # Errors
    /// [`TrainError::Usage`] and [`TrainError::ChangedData`] with the file.
    pub fn check_data(
        &self,
        dataset: Option<&Resolved>,
        dataset_files: &[ReadFile],
    ) -> Result<(), TrainError> {
        match (&self.dataset, dataset) {
            (Some(recorded), Some(now)) => recorded.check(now)?,
            (Some(recorded), None) => return Err(self.is_elsewhere(&recorded.id)),
            (None, Some(now)) => return Err(self.is_elsewhere(&now.id)),
            (None, None) => {}
        }
        self.check_files(dataset_files)
    }

    /// Refuses files of a path that are not those that the run read.
    ///
    /// # Errors
    /// [`TrainError::ChangedData`] with the first that differs.
    pub fn check_files(&self, now: &[ReadFile]) -> Result<(), TrainError> {
        // A record of before files of paths were hashed has none.
        if self.dataset_files.is_empty() || self.dataset_files == now {
            return Ok(());
        }
        let known = |file: &&ReadFile| self.dataset_files.contains(file);
        let added = now.iter().find(|file| !known(file)).map(|file| &file.name);
        let missing = self.dataset_files.iter().find(|file| !now.contains(file)).map(|file| &file.name);
        let file = missing.or(added).cloned().unwrap_or_default();
        Err(TrainError::ChangedData { dataset: self.request.dataset.clone(), file })
    }

    fn is_elsewhere(&self, id: &str) -> TrainError {
        TrainError::Usage(format!(
            "the run was started with another dataset than {} is now ({id}); a run resumes only with its own files",
            self.request.dataset
        ))
    }

    /// What to say where the run was started by another version, or on a processor with other vector instructions.
    pub fn other_machine(&self) -> Option<String> {
        let described =
            |temper: &str, burn: &str, vectors: &str| format!("temper {temper}, Burn {burn}, {vectors}");
        let then = described(&self.temper, &self.burn, &self.vector_instructions);
        let vectors = temper_kernels::cpu::vector_instructions();
        let now = described(env!("CARGO_PKG_VERSION"), crate::BURN_VERSION, vectors);
        (then != now).then(|| {
            format!(
                "the run was started with {then}; this is {now}: the last digits of its numbers may differ"
            )
        })
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
        let record: Self = toml::from_str(&text).map_err(|error| TrainError::content(path, error))?;
        if record.temper == env!("CARGO_PKG_VERSION") {
            // Another version may have had other settings; in its own file a name that is none was mistyped.
            let table: toml::Table =
                toml::from_str(&text).map_err(|error| TrainError::content(path, error))?;
            let settings = table.get("request").and_then(|request| request.get("settings"));
            let keys = settings.and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
            settings::check_keys(path, keys)?;
        }
        let checked = record.request.settings.check();
        checked.map_err(|error| TrainError::content(path, error))?;
        Ok(record)
    }
}
