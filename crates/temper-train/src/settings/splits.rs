//! The settings that say where the splits of a dataset come from. `finetune` has them among its settings; `evaluate` and
//! `doctor` have only these.

use serde::{Deserialize, Serialize};
use temper_data::SplitChoice;

use super::switch::Switch;
use super::values::percentage;
use crate::TrainError;
use crate::headings::DATA;

/// Which files and shares become train, validation and test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct SplitSettings {
    /// Files to train on, in place of DATASET: a file, or a pattern such as 'data/train-*.jsonl'
    #[arg(long, help_heading = DATA, value_name = "FILE|PATTERN")]
    pub train_file: Option<String>,
    /// Files of the validation split, in place of the dataset's own
    #[arg(long, help_heading = DATA, value_name = "FILE|PATTERN")]
    pub validation_file: Option<String>,
    /// Files of the test split, in place of the dataset's own
    #[arg(long, help_heading = DATA, value_name = "FILE|PATTERN")]
    pub test_file: Option<String>,
    /// Percentage of train that becomes the validation split, of a dataset that has none (as its card says, 10 for files,
    /// by default)
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = percentage)]
    pub validation_split_percentage: Option<f64>,
    /// The same for the test split
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = percentage)]
    pub test_split_percentage: Option<f64>,
    /// Hold out the same share of each label, for examples with one label
    #[arg(long, help_heading = DATA, switch())]
    pub stratify: bool,
}

impl SplitSettings {
    /// Where validation and test come from.
    pub fn choice(&self) -> SplitChoice {
        let share = |percentage: Option<f64>| percentage.map(|percentage| percentage / 100.0);
        SplitChoice {
            validation_file: self.validation_file.clone(),
            test_file: self.test_file.clone(),
            validation_share: share(self.validation_split_percentage),
            test_share: share(self.test_split_percentage),
            stratify: self.stratify,
        }
    }

    /// The dataset: the argument DATASET, or `--train-file` in its place.
    ///
    /// # Errors
    /// [`TrainError::Usage`] where both are given.
    pub(crate) fn dataset<'a>(&'a self, argument: Option<&'a str>) -> Result<Option<&'a str>, TrainError> {
        match (argument, self.train_file.as_deref()) {
            (Some(dataset), Some(file)) => Err(TrainError::Usage(format!(
                "{dataset} and --train-file {file} both name what to train on; leave one of them out"
            ))),
            (dataset, file) => Ok(dataset.or(file)),
        }
    }
}
