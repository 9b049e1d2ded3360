//! Values of settings: limits of numbers, and named choices.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    allowed: impl Fn(&T) -> bool,
    limits: &str,
) -> Result<T, String> {
    let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
    if allowed(&value) { Ok(value) } else { Err(limits.to_owned()) }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    number(text, |&value| value > 0, "it must be above 0")
}

pub(super) fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite() && *value > 0.0, "it must be above 0")
}

pub(super) fn above_zero_or_infinite(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0, "it must be above 0")
}

/// A percentage that leaves something: above 0 and below 100.
pub(super) fn percentage(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0 && value < 100.0, "it must be above 0 and below 100")
}

pub(crate) fn probability(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0 && value < 1.0, "it must be between 0 and 1")
}

pub(crate) fn finite(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite(), "it must be finite")
}

pub(super) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite() && *value >= 0.0, "it must be finite and not negative")
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(value), "it must be between 0 and 1")
}

pub(super) fn below_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(value), "it must be at least 0 and below 1")
}

pub(super) fn factor(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0 && value <= 1.0, "it must be above 0 and at most 1")
}

/// One of an enum's names, as files have them.
pub(crate) fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

pub(super) fn size(text: &str) -> Result<String, String> {
    bytes(text).map(|_| text.to_owned())
}

/// The type of the labels, by transformers' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemType {
    /// One of several labels.
    SingleLabelClassification,
    /// Any number of labels.
    MultiLabelClassification,
    /// A number, or several.
    Regression,
}

/// Which tokens of a word decide its label; names and meaning are those of transformers'
/// `TokenClassificationPipeline`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The first.
    #[default]
    First,
    /// All of them: the mean of their probabilities.
    Average,
    /// The one with the highest probability.
    Max,
}

/// When something is done in a run; the names are those of transformers' `IntervalStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Not before the end.
    No,
    /// Every so many steps.
    Steps,
    /// After each pass over the data.
    Epoch,
}

/// Where the numbers of a run are logged besides metrics.jsonl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportTo {
    /// Nowhere.
    #[default]
    None,
    /// In event files of TensorBoard.
    Tensorboard,
    /// In a run on a server of MLflow.
    Mlflow,
    /// In both.
    All,
}

/// What is masked together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskingUnit {
    /// Single tokens (BERT).
    #[default]
    Tokens,
    /// All tokens of a word (BERT with whole-word masking).
    Words,
    /// Words that follow each other (SpanBERT).
    Spans,
}

/// Where the output of the frozen lowest layers is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrunkCacheMode {
    /// In memory or else in a file, where the output never changes and is read again.
    Auto,
    /// In memory or not at all.
    Memory,
    /// In a temporary file in the run's folder.
    File,
    /// Nowhere.
    Off,
}

/// Reads a size: bytes, or a number with a unit such as `2GB` or `512 MiB`.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let size: Result<bytesize::ByteSize, String> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| format!("{text} is not a size; write bytes, or a unit as in 2GB"))
}

/// The default of `doc_stride`: a quarter of the length.
pub(crate) fn default_stride(max_length: usize) -> usize {
    max_length / 4
}
