//! A dataset as a task reads it.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use temper_data::{
    DataReport, DatasetRows, Measure, RowsRequest, TaskKind, TextTokenizer, Truncation, UnlabelledText,
};
use temper_hub::{Hub, Resolved};
use temper_models::ModelConfig;

use super::{ScoredPredictions, Task};
use crate::examples::{Features, Split, within_budget};
use crate::settings::default_stride;
use crate::{Columns, Settings};

/// How texts become token ids.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// The model's.
    pub tokenizer: &'a TextTokenizer,
    /// Maximum number of tokens of a feature, special tokens included.
    pub max_length: usize,
    /// Which part of a longer text is kept, if it is truncated.
    pub truncation: Truncation,
    /// Tokens that neighbouring windows share, if a longer text is spread over windows.
    pub stride: usize,
}

/// What to read, and how it is encoded.
pub struct LoadRequest<'a> {
    /// Where files come from.
    pub hub: &'a Hub,
    /// Which rows.
    pub dataset: RowsRequest,
    /// The task, where it is named.
    pub task: Option<TaskKind>,
    /// What encodes them.
    pub tokenizer: &'a TextTokenizer,
    /// The model's configuration.
    pub config: &'a ModelConfig,
    /// How they are encoded.
    pub settings: &'a Settings,
    /// A folder for encoded rows.
    pub cache: PathBuf,
    /// The record of a model that is to be scored ([`Task::record`]); none for training.
    pub record: Option<Map<String, Value>>,
    /// The splits that are encoded.
    pub wanted: &'a [Split],
}

/// A dataset to examine.
pub struct ExamineRequest<'a> {
    /// Where files come from.
    pub hub: &'a Hub,
    /// Which rows.
    pub dataset: RowsRequest,
    /// The task, where it is named.
    pub task: Option<TaskKind>,
    /// How its rows are read.
    pub settings: &'a Settings,
    /// How texts are measured in tokens, if they are.
    pub measure: Option<Measure<'a>>,
}

impl LoadRequest<'_> {
    /// What encodes the rows.
    pub fn encoder(&self) -> Encoder<'_> {
        let Settings { max_seq_length, truncation, doc_stride, .. } = *self.settings;
        Encoder {
            tokenizer: self.tokenizer,
            max_length: max_seq_length,
            truncation,
            stride: doc_stride.unwrap_or(default_stride(max_seq_length)),
        }
    }

    /// Drops training rows beyond the token budget; false if none is dropped.
    pub fn thin_out<R>(&self, rows: &mut Vec<R>, features: &Features) -> bool {
        let (tokens, before) = (features.encoded.tokens_total, rows.len());
        let mut kept = within_budget(tokens, before, self.settings.max_train_tokens).into_iter();
        rows.retain(|_| kept.next().unwrap_or(false));
        rows.len() < before
    }

    /// Empties the splits that are not asked for.
    pub fn drop_unwanted<R>(&self, rows: &mut DatasetRows<R>) {
        let splits = [&mut rows.train, &mut rows.validation, &mut rows.test];
        for (split, rows) in Split::ALL.into_iter().zip(splits) {
            if !self.wanted.contains(&split) {
                rows.clear();
            }
        }
    }
}

/// A dataset, encoded for a task; splits that were not asked for are empty.
#[derive(Clone, Debug)]
pub struct Splits {
    /// The task that the data is for.
    pub task: Arc<dyn Task>,
    /// The dataset's name (the stand-in's, where one was used), or its path.
    pub name: String,
    /// Where the files came from, unless a path was given.
    pub resolved: Option<Resolved>,
    /// The columns that were read, by role.
    pub columns: Columns,
    /// The examples and their right answers.
    pub examples: Arc<dyn Examples>,
    /// The training split.
    pub train: Features,
    /// The validation split, which chooses the best model.
    pub validation: Features,
    /// The test split, whose scores are reported.
    pub test: Features,
    /// Tokens of the whole training split, before any limit, estimated from the part that was
    /// encoded.
    pub full_train_tokens: usize,
    /// The dataset as the run sees it.
    pub report: DataReport,
}

impl Splits {
    /// One of the splits.
    pub fn features(&self, split: Split) -> &Features {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// The examples of a dataset and their right answers.
pub trait Examples: Debug + Send + Sync {
    /// An example in words.
    fn text(&self, split: Split, example: usize) -> String;

    /// The texts of an example, where it has no more than them: words of it can be left out.
    fn texts(&self, _split: Split, _example: usize) -> Option<UnlabelledText> {
        None
    }

    /// Begins to predict a split.
    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions>;

    /// Baselines on the test split, trained on the training split.
    fn baselines(&self) -> Vec<Baseline>;
}

/// The scores of a baseline on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its name.
    pub name: String,
    /// Name and value, the same as a model's and in the same order.
    #[serde(with = "crate::tasks::metrics_by_name")]
    pub metrics: Vec<(String, f64)>,
    /// 95 % interval of the first metric over the test examples.
    pub interval: Option<[f64; 2]>,
    /// Wall time of training in seconds.
    pub training_seconds: f64,
    /// The score of each test example, in the split's order.
    pub scores: Vec<f64>,
}

impl Baseline {
    /// The first metric.
    pub fn headline(&self) -> f64 {
        self.metrics.first().map_or(0.0, |&(_, value)| value)
    }
}
