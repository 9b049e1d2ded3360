//! `temper doctor DATASET`.

use temper_data::{
    ColumnChoice, Diagnosis, Finding, FindingKind, Measure, RowsRequest, Severity, TaskKind, TextTokenizer,
};
use temper_hub::Hub;
use temper_models::ModelConfig;

use crate::settings::{self, ProblemType, SplitSettings};
use crate::tasks::{self, ExamineRequest};
use crate::terminal::{print, print_line, say};
use crate::{ColumnOptions, LocalModel, Settings, SourceOptions, TrainError};

/// The part of `temper doctor` that is about a dataset.
#[derive(Clone, Debug, clap::Args)]
pub struct DatasetOptions {
    /// Name of a dataset card (imdb) or path of a file or folder: look for copies and leaks, contradicting, rare and
    /// missing labels, damaged, empty and long texts, and rows that cannot be read
    pub dataset: Option<String>,
    /// The model to be trained on it: counts tokens, and compares the labels
    #[arg(long, value_name = "MODEL", conflicts_with = "machine")]
    pub model: Option<String>,
    /// Maximum length of an example in tokens (the model's own limit by default)
    #[arg(long, requires = "model", value_name = "N")]
    pub max_seq_length: Option<usize>,
    /// The task, if neither card nor columns imply it: text-classification, token-classification or question-answering
    #[arg(long, value_parser = tasks::by_name)]
    pub task: Option<TaskKind>,
    /// Type of the labels, as for finetune
    #[arg(long, value_name = "TYPE", value_parser = settings::named::<ProblemType>)]
    pub problem_type: Option<ProblemType>,
    /// Separator of the labels in a text cell, as for finetune
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Some questions have no answer, as for finetune
    #[arg(long)]
    pub version_2_with_negative: bool,
    /// Where train, validation and test come from
    #[command(flatten)]
    pub splits: SplitSettings,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// What is asked of a model.
struct ExaminedModel {
    max_positions: usize,
    tokenizer: TextTokenizer,
    /// Its labels; none where it has only the names that transformers gives to those without.
    labels: Option<Vec<String>>,
}

impl ExaminedModel {
    fn find(hub: &Hub, name: &str) -> Result<Self, TrainError> {
        let local = LocalModel::find(hub, name)?;
        if let Some(notice) = local.resolved.notice() {
            say(&notice);
        }
        let config = ModelConfig::read(&local.dir)?;
        let bounds = config.bounds();
        let labels = config.labels()?;
        let is_named = labels.iter().enumerate().any(|(id, name)| *name != format!("LABEL_{id}"));
        Ok(Self {
            max_positions: bounds.max_positions,
            tokenizer: local.tokenizer(bounds.vocab_size)?,
            labels: is_named.then_some(labels),
        })
    }

    /// How the labels of a dataset differ from those of the model, in words.
    fn other_labels(&self, labels: &[String]) -> Option<String> {
        let own = self.labels.as_deref()?;
        if labels.is_empty() || own == labels {
            return None;
        }
        let (mut left, mut right) = (own.to_vec(), labels.to_vec());
        left.sort_unstable();
        right.sort_unstable();
        let how = if left == right { "the same labels in another order" } else { "other names" };
        Some(format!(
            "{how}: the dataset has {labels:?}, the model {own:?}; a run gets a new head for those of the dataset"
        ))
    }
}

impl DatasetOptions {
    /// The dataset to examine; none where the command is about the machine.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for two datasets.
    pub(super) fn name(&self) -> Result<Option<&str>, TrainError> {
        self.splits.dataset(self.dataset.as_deref())
    }

    /// Examines the dataset of that name.
    ///
    /// # Errors
    /// [`TrainError::Unsound`] where training would refuse it.
    pub(super) fn examine(&self, name: &str, json: bool) -> Result<(), TrainError> {
        let hub = self.sources.hub(false);
        let reader = self.model.as_deref().map(|model| ExaminedModel::find(&hub, model)).transpose()?;
        let diagnosis = self.diagnose(name, &hub, reader.as_ref())?;
        if json {
            let text =
                serde_json::to_string(&diagnosis).map_err(|error| TrainError::file("stdout", error))?;
            print_line(&text)?;
        } else {
            print(&format!("{diagnosis}\n"))?;
        }
        let errors = diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let errors: usize = errors.map(|finding| finding.count).sum();
        match errors {
            0 => Ok(()),
            _ => Err(TrainError::Unsound { dataset: diagnosis.dataset, errors }),
        }
    }

    fn diagnose(
        &self,
        name: &str,
        hub: &Hub,
        reader: Option<&ExaminedModel>,
    ) -> Result<Diagnosis, TrainError> {
        let settings = Settings {
            problem_type: self.problem_type,
            label_separator: self.label_separator.clone(),
            version_2_with_negative: self.version_2_with_negative,
            ..Settings::default()
        };
        let measure = reader.map(|reader| Measure {
            tokenizer: &reader.tokenizer,
            max_length: self.max_seq_length.unwrap_or(reader.max_positions),
        });
        let dataset = RowsRequest {
            name_or_path: name.to_owned(),
            card_directories: self.sources.card_directories(),
            splits: self.splits.choice(),
            columns: ColumnChoice { asked: self.columns.by_role(), ..ColumnChoice::default() },
            ..RowsRequest::default()
        };
        let request = ExamineRequest { hub, dataset, task: self.task, settings: &settings, measure };
        let mut diagnosis = tasks::examine(&request)?;
        if let Some(difference) = reader.and_then(|reader| reader.other_labels(&diagnosis.labels)) {
            diagnosis.add(Finding::of_dataset(FindingKind::ModelLabels, 1, &difference));
        }
        Ok(diagnosis)
    }
}
