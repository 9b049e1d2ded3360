//! What a run can be told: each setting with its name, help, default and limits.

mod layers;
mod model_defaults;

pub(crate) use layers::check_keys;
pub use layers::{Preset, SettingFlags, resolve};
pub use model_defaults::ModelDefaults;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use temper_data::Truncation;
use temper_freeze::lora::LoraSettings;
use temper_models::Pooling;

use crate::PrecisionSetting;

/// The settings of a fine-tuning run; names are Hugging Face's where it has one.
///
/// A field is a flag of the command line, a key of a settings file, and a variable of the environment; its help, its
/// default and what it may be stand beside it and nowhere else. What a run.toml of an earlier version records beyond
/// these is passed over, and what it lacks is the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Settings {
    /// Passes over the training data
    #[arg(long, default_value_t = 3, value_parser = count)]
    pub num_train_epochs: usize,
    /// Optimiser steps; replaces the number of epochs
    #[arg(long, value_parser = count)]
    pub max_steps: Option<usize>,
    /// The highest learning rate
    #[arg(long, default_value_t = 2e-5, value_parser = above_zero)]
    pub learning_rate: f64,
    /// Examples per batch
    #[arg(long, default_value_t = 32, value_parser = count)]
    pub per_device_train_batch_size: usize,
    /// Batches per optimiser step
    #[arg(long, default_value_t = 1, value_parser = count)]
    pub gradient_accumulation_steps: usize,
    /// Tokens in one forward pass (batch size times length by default)
    #[arg(long, value_parser = count)]
    pub max_tokens_per_batch: Option<usize>,
    /// Maximum length of an example in tokens, special tokens included
    #[arg(long, default_value_t = 128, value_parser = count)]
    pub max_seq_length: usize,
    /// Text put before every source of a text-to-text model; T5 was trained with such prefixes
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub source_prefix: String,
    /// Maximum length of a target in tokens, in training and in generation
    #[arg(long, default_value_t = 128, value_parser = count)]
    pub max_target_length: usize,
    /// Share of the tokens that are masked and predicted, in masked language modeling
    #[arg(long, default_value_t = 0.15, value_parser = probability)]
    pub mlm_probability: f64,
    /// What is masked together: tokens, words (whole ones) or spans of words
    #[arg(long, default_value = "tokens", value_parser = named::<MaskingUnit>)]
    pub masking: MaskingUnit,
    /// Also train next-sentence prediction beside masked tokens, as BERT was pretrained
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub next_sentence: bool,
    /// Which part of a longer text is kept: head, tail or head-tail
    #[arg(long, default_value_t = Truncation::Head)]
    pub truncation: Truncation,
    /// Tokens that neighbouring windows of a long text share, in tasks that cut it into windows (a quarter of
    /// --max-seq-length by default)
    #[arg(long)]
    pub doc_stride: Option<usize>,
    /// Train every token of a word on its label, not only the first
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub label_all_tokens: bool,
    /// Refuse tags that cannot follow each other, such as I-person after O; without it they are counted and kept
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub strict_tags: bool,
    /// Train without the rows that cannot be read; else the first of them is an error. temper doctor DATASET lists them
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub force: bool,
    /// Type of the labels: single_label_classification, multi_label_classification (a list, or text split at
    /// --label-separator) or regression (a number); by default lists are several labels and all else is one
    #[arg(long, value_name = "TYPE", value_parser = named::<ProblemType>)]
    pub problem_type: Option<ProblemType>,
    /// Separator of the labels in a text cell that has several
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Some questions have no answer in their context, as in SQuAD 2.0
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub version_2_with_negative: bool,
    /// How much the score of "no answer" must exceed that of the best answer, where questions may have none
    #[arg(long, default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub null_score_diff_threshold: f64,
    /// Probability from which a label is predicted, in multi-label classification
    #[arg(long, default_value_t = 0.5, value_parser = probability)]
    pub label_threshold: f64,
    /// Choose --label-threshold (by micro F1) or --null-score-diff-threshold (by F1) on the validation split after training
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub tune_threshold: bool,
    /// How the label of a word follows from its tokens: first, average or max, as in transformers' pipeline
    #[arg(long, default_value = "first", value_parser = named::<Aggregation>)]
    pub aggregation: Aggregation,
    /// Weight of each label in the loss: numbers separated by commas, in the order of the labels, or balanced, which
    /// weights each label by the inverse of its frequency
    #[arg(long, value_name = "balanced|LIST")]
    pub class_weights: Option<String>,
    /// Label smoothing: share of the target's probability that is spread evenly over all labels
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    pub label_smoothing: f64,
    /// Gamma of the focal loss, which weights an example less the more certain the model is of it: 2 is usual, 0 is off
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    pub focal_gamma: f64,
    /// AdamW's weight decay, applied to matrices
    #[arg(long, default_value_t = 0.01, value_parser = not_negative)]
    pub weight_decay: f64,
    /// Share of the steps used to warm up the learning rate
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub warmup_ratio: f64,
    /// Global norm to which gradients are clipped
    #[arg(long, default_value_t = 1.0, value_parser = above_zero_or_infinite)]
    pub max_grad_norm: f64,
    /// Seed of new parameters, the order of batches and dropout
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Seed for choosing the examples of a subset
    #[arg(long, default_value_t = 42)]
    pub subset_seed: u64,
    #[allow(rustdoc::broken_intra_doc_links)] // Help on a command line: the brackets are no links.
    /// What trains: all, head, last:K, layers:A-B, norms+head, biases+head, lora, gradual[:STEPS],
    /// gradual:EPOCHSepoch, embeddings, freeze-embeddings, pattern:REGEX[,REGEX], or a TOML file
    #[arg(long, default_value = "all")]
    pub strategy: String,
    /// Ratio of each layer's learning rate to that of the layer above (discriminative learning rates)
    #[arg(long, default_value_t = 1.0, value_parser = factor)]
    pub layer_decay: f64,
    /// Rank of the adapters of --strategy lora
    #[arg(long, default_value_t = LoraSettings::default().r, value_parser = count)]
    pub lora_rank: usize,
    /// Scale of the adapters: their output is multiplied by alpha divided by the rank
    #[arg(long, default_value_t = LoraSettings::default().lora_alpha, value_parser = above_zero)]
    pub lora_alpha: f64,
    /// Dropout on the input of an adapter
    #[arg(long, default_value_t = LoraSettings::default().lora_dropout, value_parser = below_one)]
    pub lora_dropout: f64,
    /// Linear layers with an adapter: ends of paths (query,ffn.inner), regexes over whole paths, or all-linear
    #[arg(long, default_value_t = LoraSettings::default().target_modules.join(","))]
    pub lora_targets: String,
    /// What the head reads: pooler, or cls as textbooks do
    #[arg(long, default_value = "pooler", value_parser = named::<Pooling>)]
    pub pooling: Pooling,
    /// Steps between log entries
    #[arg(long, default_value_t = 10, value_parser = count)]
    pub logging_steps: usize,
    /// Steps between evaluations (an epoch by default)
    #[arg(long, value_parser = count)]
    pub eval_steps: Option<usize>,
    /// Steps between checkpoints (an epoch by default)
    #[arg(long, value_parser = count)]
    pub save_steps: Option<usize>,
    /// Number of checkpoints to keep
    #[arg(long, default_value_t = 1, value_parser = count)]
    pub save_total_limit: usize,
    /// Maximum number of training examples
    #[arg(long, value_parser = count)]
    pub max_train_samples: Option<usize>,
    /// Maximum number of training tokens per epoch
    #[arg(long, value_parser = count)]
    pub max_train_tokens: Option<usize>,
    /// Maximum number of validation examples
    #[arg(long, value_parser = count)]
    pub max_eval_samples: Option<usize>,
    /// Maximum number of test examples
    #[arg(long, value_parser = count)]
    pub max_test_samples: Option<usize>,
    /// Recompute layers in the backward pass: less memory, a third to a half more time
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL")]
    #[arg(action = clap::ArgAction::Set)]
    pub gradient_checkpointing: bool,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, default_value_t)]
    pub precision: PrecisionSetting,
    /// Whether frozen layers apply dropout in training, as in transformers: true or false
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub frozen_dropout: bool,
    /// Where the output of the frozen lowest layers is cached: auto, memory, file or off
    #[arg(long, default_value = "auto", value_parser = named::<TrunkCacheMode>)]
    pub trunk_cache: TrunkCacheMode,
    /// Memory for the trunk cache, such as 2GB (half of what is free by default)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub trunk_cache_memory: Option<String>,
    /// Disk space for the trunk cache, such as 20GB (half of what is free by default)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub trunk_cache_disk: Option<String>,
}

fn number<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
    allowed: impl Fn(&T) -> bool,
    limits: &str,
) -> Result<T, String> {
    let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
    if allowed(&value) { Ok(value) } else { Err(limits.to_owned()) }
}

fn count(text: &str) -> Result<usize, String> {
    number(text, |&value| value > 0, "it must be above 0")
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite() && *value > 0.0, "it must be above 0")
}

fn above_zero_or_infinite(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0, "it must be above 0")
}

pub(crate) fn probability(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0 && value < 1.0, "it must be between 0 and 1")
}

pub(crate) fn finite(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite(), "it must be finite")
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, |value: &f64| value.is_finite() && *value >= 0.0, "it must be finite and not negative")
}

fn share(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(value), "it must be between 0 and 1")
}

fn below_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(value), "it must be at least 0 and below 1")
}

fn factor(text: &str) -> Result<f64, String> {
    number(text, |&value| value > 0.0 && value <= 1.0, "it must be above 0 and at most 1")
}

/// One of an enum's names, as files have them.
pub(crate) fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<String, String> {
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

impl Settings {
    /// What the adapters of the strategy `lora` are made from.
    pub fn lora(&self) -> LoraSettings {
        let targets = self.lora_targets.split(',').map(str::trim).filter(|target| !target.is_empty());
        LoraSettings {
            r: self.lora_rank,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: targets.map(str::to_owned).collect(),
        }
    }

    /// Examples an optimiser step.
    pub fn examples_per_step(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Tokens a micro-batch at most.
    pub fn tokens_per_batch(&self) -> usize {
        self.max_tokens_per_batch.unwrap_or(self.per_device_train_batch_size * self.max_seq_length)
    }
}
