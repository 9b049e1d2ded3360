//! The settings of a run, each with its name, help, default and limits.

mod layers;
mod model_defaults;
mod splits;
mod switch;
mod values;

pub use layers::{Preset, SettingFlags, resolve};
pub(crate) use layers::{check_environment, check_keys};
pub use model_defaults::ModelDefaults;
pub use splits::SplitSettings;
pub use values::{Aggregation, Interval, MaskingUnit, ProblemType, ReportTo, TrunkCacheMode, bytes};
pub(crate) use values::{default_stride, finite, named, probability};

use serde::{Deserialize, Serialize};
use temper_data::Truncation;
use temper_freeze::lora::LoraSettings;
use temper_freeze::{OptimizerKind, OptimizerSettings, RateSchedule, RateShape};
use temper_models::Pooling;

use crate::headings::{DATA, DEVICE, LABELS, LOGGING, STRATEGY, TEXTS, TRAINING};
use crate::{PrecisionSetting, TrainError};
use switch::Switch;
use values::{above_zero, above_zero_or_infinite, below_one, count, factor, not_negative, share, size};

/// The settings of a fine-tuning run; names are Hugging Face's where it has one.
///
/// A field is a command-line flag, a key of a settings file, and an environment variable; its help, default and limits
/// are next to it and nowhere else. What a run.toml of an earlier version records besides is ignored, and what it lacks
/// gets the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct Settings {
    /// Passes over the training data
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 3, visible_alias = "epochs", value_parser = count)]
    pub num_train_epochs: usize,
    /// Optimiser steps; replaces the number of epochs
    #[arg(long, help_heading = TRAINING, value_name = "N", value_parser = count)]
    pub max_steps: Option<usize>,
    /// The highest learning rate
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value = "2e-5", visible_alias = "lr", value_parser = above_zero)]
    pub learning_rate: f64,
    /// Examples per batch
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 32, visible_alias = "batch-size", value_parser = count)]
    pub per_device_train_batch_size: usize,
    /// Batches per optimiser step
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 1, value_parser = count)]
    pub gradient_accumulation_steps: usize,
    /// Shape of the learning rate after its warm-up: linear, cosine, cosine_with_restarts, polynomial, constant
    /// (without a warm-up), constant_with_warmup or inverse_sqrt
    #[arg(long, help_heading = TRAINING, value_name = "SHAPE", default_value = "linear", value_parser = named::<RateShape>)]
    pub lr_scheduler_type: RateShape,
    /// Number of cosine waves (0.5 by default: down to zero), or of restarts of cosine_with_restarts (1 by default)
    #[arg(long, help_heading = TRAINING, value_name = "N", value_parser = above_zero)]
    pub lr_num_cycles: Option<f64>,
    /// Exponent of the polynomial shape
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 1.0, value_parser = above_zero)]
    pub lr_power: f64,
    /// Steps used to warm up the learning rate; replaces --warmup-ratio
    #[arg(long, help_heading = TRAINING, value_name = "N")]
    pub warmup_steps: Option<usize>,
    /// Optimiser: adamw, adam, sgd, adafactor or lion
    #[arg(long, help_heading = TRAINING, value_name = "OPTIMISER", default_value = "adamw", value_parser = named::<OptimizerKind>)]
    pub optim: OptimizerKind,
    /// Decay of AdamW's mean of gradients
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 0.9, value_parser = below_one)]
    pub adam_beta1: f64,
    /// Decay of AdamW's mean of squared gradients
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 0.999, value_parser = below_one)]
    pub adam_beta2: f64,
    /// Constant that AdamW adds to the square root of that mean
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value = "1e-8", value_parser = above_zero)]
    pub adam_epsilon: f64,
    /// AdamW's weight decay, applied to matrices
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 0.01, value_parser = not_negative)]
    pub weight_decay: f64,
    /// Share of the steps used to warm up the learning rate
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 0.1, value_parser = share)]
    pub warmup_ratio: f64,
    /// Global norm to which gradients are clipped
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 1.0, value_parser = above_zero_or_infinite)]
    pub max_grad_norm: f64,
    /// Keep an exponential average of the weights with this decay, such as 0.999; it is evaluated and saved in place of
    /// the weights themselves
    #[arg(long, help_heading = TRAINING, value_name = "N", value_parser = below_one)]
    pub ema_decay: Option<f64>,
    /// Seed of new parameters, the order of batches and dropout
    #[arg(long, help_heading = TRAINING, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Seed of the order of batches (--seed by default)
    #[arg(long, help_heading = TRAINING, value_name = "N")]
    pub data_seed: Option<u64>,
    #[allow(rustdoc::broken_intra_doc_links)] // Help on a command line: the brackets are no links.
    /// What trains: all, head, last:K, layers:A-B, norms+head, biases+head, lora, gradual[:STEPS],
    /// gradual:EPOCHSepoch, embeddings, freeze-embeddings, pattern:REGEX[,REGEX], or a TOML file
    #[arg(long, help_heading = STRATEGY, value_name = "STRATEGY", default_value = "all")]
    pub strategy: String,
    /// Ratio of each layer's learning rate to that of the layer above (discriminative learning rates)
    #[arg(long, help_heading = STRATEGY, value_name = "N", default_value_t = 1.0, value_parser = factor)]
    pub layer_decay: f64,
    /// Rank of the adapters of --strategy lora
    #[arg(long, help_heading = STRATEGY, value_name = "N", default_value_t = LoraSettings::default().r, value_parser = count)]
    pub lora_rank: usize,
    /// Scale of the adapters: their output is multiplied by alpha divided by the rank
    #[arg(long, help_heading = STRATEGY, value_name = "N", default_value_t = LoraSettings::default().lora_alpha, value_parser = above_zero)]
    pub lora_alpha: f64,
    /// Dropout on the input of an adapter
    #[arg(long, help_heading = STRATEGY, value_name = "N", default_value_t = LoraSettings::default().lora_dropout, value_parser = below_one)]
    pub lora_dropout: f64,
    /// Linear layers with an adapter: ends of paths (query,ffn.inner), regexes over whole paths, or all-linear
    #[arg(long, help_heading = STRATEGY, value_name = "LAYERS", default_value_t = LoraSettings::default().target_modules.join(","))]
    pub lora_targets: String,
    /// Apply dropout in frozen layers in training, as transformers does: true or false
    #[arg(long, help_heading = STRATEGY, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub frozen_dropout: bool,
    /// What the head reads: pooler, or cls as textbooks do
    #[arg(long, help_heading = STRATEGY, value_name = "pooler|cls", default_value = "pooler", value_parser = named::<Pooling>)]
    pub pooling: Pooling,
    /// Draw a new head where the model has one for the same task and labels; without it that head is kept
    #[arg(long, help_heading = STRATEGY, switch())]
    pub new_head: bool,
    /// Rate of dropout of hidden states, in place of the model's (hidden_dropout_prob and its like in config.json)
    #[arg(long, help_heading = TRAINING, value_name = "N", value_parser = below_one)]
    pub dropout: Option<f64>,
    /// Rate of dropout of attention weights, in place of the model's
    #[arg(long, help_heading = TRAINING, value_name = "N", value_parser = below_one)]
    pub attention_dropout: Option<f64>,
    /// Where train, validation and test come from
    #[command(flatten)]
    #[serde(flatten)]
    pub splits: SplitSettings,
    /// Maximum number of training examples
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = count)]
    pub max_train_samples: Option<usize>,
    /// Maximum number of training tokens per epoch
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = count)]
    pub max_train_tokens: Option<usize>,
    /// Maximum number of validation examples
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = count)]
    pub max_eval_samples: Option<usize>,
    /// Maximum number of test examples
    #[arg(long, help_heading = DATA, value_name = "N", value_parser = count)]
    pub max_test_samples: Option<usize>,
    /// Seed for choosing the examples of a subset
    #[arg(long, help_heading = DATA, value_name = "N", default_value_t = 42)]
    pub subset_seed: u64,
    /// Leave out rows that cannot be read; otherwise the first of them is an error. temper doctor DATASET lists them
    #[arg(long, help_heading = DATA, switch())]
    pub force: bool,
    /// Refuse tags that cannot follow each other, such as I-person after O; without it they are counted and kept
    #[arg(long, help_heading = DATA, switch())]
    pub strict_tags: bool,
    /// Separator of the labels in a text cell that has several
    #[arg(long, help_heading = DATA, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Maximum length of an example in tokens, special tokens included
    #[arg(long, help_heading = TEXTS, value_name = "N", default_value_t = 128, value_parser = count)]
    pub max_seq_length: usize,
    /// Which part of a longer text is kept: head, tail or head-tail
    #[arg(long, help_heading = TEXTS, value_name = "WHICH", default_value_t = Truncation::Head)]
    pub truncation: Truncation,
    /// Tokens that neighbouring windows of a long text share, in tasks that cut it into windows (a quarter of
    /// --max-seq-length by default)
    #[arg(long, help_heading = TEXTS, value_name = "N")]
    pub doc_stride: Option<usize>,
    /// Text added before every source of a text-to-text model; T5 was trained with such prefixes
    #[arg(long, help_heading = TEXTS, default_value = "", value_name = "TEXT")]
    pub source_prefix: String,
    /// Maximum length of a target in tokens, in training and in generation
    #[arg(long, help_heading = TEXTS, value_name = "N", default_value_t = 128, value_parser = count)]
    pub max_target_length: usize,
    /// Share of the tokens that are masked and predicted, in masked language modeling
    #[arg(long, help_heading = TEXTS, value_name = "N", default_value_t = 0.15, value_parser = probability)]
    pub mlm_probability: f64,
    /// What is masked together: tokens, words (whole ones) or spans of words
    #[arg(long, help_heading = TEXTS, value_name = "UNIT", default_value = "tokens", value_parser = named::<MaskingUnit>)]
    pub masking: MaskingUnit,
    /// Also train next-sentence prediction, as BERT was pretrained
    #[arg(long, help_heading = TEXTS, switch())]
    pub next_sentence: bool,
    /// Train every token of a word on its label, not only the first
    #[arg(long, help_heading = TEXTS, switch())]
    pub label_all_tokens: bool,
    /// Type of the labels: single_label_classification, multi_label_classification (a list, or text split at
    /// --label-separator) or regression (a number); by default lists are several labels and all else is one
    #[arg(long, help_heading = LABELS, value_name = "TYPE", value_parser = named::<ProblemType>)]
    pub problem_type: Option<ProblemType>,
    /// Weight of each label in the loss: numbers separated by commas, in the order of the labels, or balanced, which
    /// weights each label by the inverse of its frequency
    #[arg(long, help_heading = LABELS, value_name = "balanced|LIST")]
    pub class_weights: Option<String>,
    /// Label smoothing: share of the target's probability that is spread evenly over all labels
    #[arg(long, help_heading = LABELS, value_name = "N", default_value_t = 0.0, value_parser = below_one)]
    pub label_smoothing: f64,
    /// Gamma of the focal loss, which weights an example less the more certain the model is of it: 2 is usual, 0 is off
    #[arg(long, help_heading = LABELS, value_name = "N", default_value_t = 0.0, value_parser = not_negative)]
    pub focal_gamma: f64,
    /// Probability from which a label is predicted, in multi-label classification
    #[arg(long, help_heading = LABELS, value_name = "N", default_value_t = 0.5, value_parser = probability)]
    pub label_threshold: f64,
    /// Some questions have no answer in their context, as in SQuAD 2.0
    #[arg(long, help_heading = LABELS, switch())]
    pub version_2_with_negative: bool,
    /// How much the score of "no answer" must exceed that of the best answer, where questions may have none
    #[arg(long, help_heading = LABELS, value_name = "N", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub null_score_diff_threshold: f64,
    /// Choose --label-threshold (by micro F1) or --null-score-diff-threshold (by F1) on the validation split after training
    #[arg(long, help_heading = LABELS, switch())]
    pub tune_threshold: bool,
    /// How the label of a word follows from its tokens: first, average or max, as in transformers' pipeline
    #[arg(long, help_heading = LABELS, value_name = "HOW", default_value = "first", value_parser = named::<Aggregation>)]
    pub aggregation: Aggregation,
    /// Steps between log entries
    #[arg(long, help_heading = LOGGING, value_name = "N", default_value_t = 10, value_parser = count)]
    pub logging_steps: usize,
    /// Where numbers are logged besides metrics.jsonl: none, tensorboard (event files in the run's folder tensorboard/),
    /// mlflow (a run on the server that MLFLOW_TRACKING_URI names) or all
    #[arg(long, help_heading = LOGGING, value_name = "WHERE", default_value = "none", value_parser = named::<ReportTo>)]
    pub report_to: ReportTo,
    /// Also log the first step
    #[arg(long, help_heading = LOGGING, switch())]
    pub logging_first_step: bool,
    /// When the validation split is evaluated before the end: epoch, steps (every --eval-steps) or no
    #[arg(long, help_heading = LOGGING, value_name = "WHEN", value_parser = named::<Interval>)]
    pub eval_strategy: Option<Interval>,
    /// When checkpoints are saved: epoch, steps (every --save-steps) or no
    #[arg(long, help_heading = LOGGING, value_name = "WHEN", value_parser = named::<Interval>)]
    pub save_strategy: Option<Interval>,
    /// Steps between evaluations (an epoch by default)
    #[arg(long, help_heading = LOGGING, value_name = "N", value_parser = count)]
    pub eval_steps: Option<usize>,
    /// Metric of the validation split that chooses the best model, such as loss (the task's first by default)
    #[arg(long, help_heading = LOGGING, value_name = "NAME")]
    pub metric_for_best_model: Option<String>,
    /// true if a higher value of that metric is better, false if a lower one is; known for the built-in metrics
    #[arg(long, help_heading = LOGGING, value_name = "BOOL")]
    pub greater_is_better: Option<bool>,
    /// Evaluations in a row without an improvement after which training ends
    #[arg(long, help_heading = LOGGING, value_name = "N", value_parser = count)]
    pub early_stopping_patience: Option<usize>,
    /// How much the metric must improve to count against --early-stopping-patience
    #[arg(long, help_heading = LOGGING, value_name = "N", default_value_t = 0.0, value_parser = not_negative)]
    pub early_stopping_threshold: f64,
    /// Steps between checkpoints (an epoch by default)
    #[arg(long, help_heading = LOGGING, value_name = "N", value_parser = count)]
    pub save_steps: Option<usize>,
    /// Number of checkpoints to keep
    #[arg(long, help_heading = LOGGING, value_name = "N", default_value_t = 1, value_parser = count)]
    pub save_total_limit: usize,
    /// Precision of matrix products: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long, help_heading = DEVICE, value_name = "PRECISION", default_value_t)]
    pub precision: PrecisionSetting,
    /// Maximum number of tokens in one forward pass (batch size times length by default)
    #[arg(long, help_heading = DEVICE, value_name = "N", value_parser = count)]
    pub max_tokens_per_batch: Option<usize>,
    /// Cut each optimiser step into at least N micro-batches, and a multiple of N (1 by default, under MPI the number of
    /// ranks). Runs with the same value compute the same steps, whatever the number of ranks
    #[arg(long, help_heading = DEVICE, value_name = "N", value_parser = count)]
    pub min_micro_batches: Option<usize>,
    /// Recompute layers in the backward pass: less memory, a third to a half more time
    #[arg(long, help_heading = DEVICE, switch())]
    pub gradient_checkpointing: bool,
    /// Where the output of the frozen lowest layers is cached: auto, memory, file or off
    #[arg(long, help_heading = DEVICE, value_name = "WHERE", default_value = "auto", value_parser = named::<TrunkCacheMode>)]
    pub trunk_cache: TrunkCacheMode,
    /// Memory for the trunk cache, such as 2GB (half of what is free by default)
    #[arg(long, help_heading = DEVICE, value_name = "BYTES", value_parser = size)]
    pub trunk_cache_memory: Option<String>,
    /// Disk space for the trunk cache, such as 20GB (half of what is free by default)
    #[arg(long, help_heading = DEVICE, value_name = "BYTES", value_parser = size)]
    pub trunk_cache_disk: Option<String>,
}

impl Settings {
    /// The metric that chooses the best model, where one is named; transformers writes `eval_` before it.
    pub fn best_metric(&self) -> Option<&str> {
        let name = self.metric_for_best_model.as_deref()?;
        Some(name.strip_prefix("eval_").unwrap_or(name))
    }

    /// Steps between evaluations, of which one more comes after the last step.
    pub fn eval_every(&self, steps_per_epoch: usize) -> usize {
        self.every((self.eval_strategy, self.eval_steps), steps_per_epoch)
    }

    /// Steps between checkpoints.
    pub fn save_every(&self, steps_per_epoch: usize) -> usize {
        self.every((self.save_strategy, self.save_steps), steps_per_epoch)
    }

    /// As in transformers, a number of steps is `logging_steps` where none is given.
    fn every(&self, (when, steps): (Option<Interval>, Option<usize>), steps_per_epoch: usize) -> usize {
        match (when, steps) {
            (Some(Interval::No), _) => usize::MAX,
            (Some(Interval::Epoch), _) | (None, None) => steps_per_epoch,
            (Some(Interval::Steps), steps) => steps.unwrap_or(self.logging_steps),
            (None, Some(steps)) => steps,
        }
    }

    /// Refuses numbers that the settings next to them would ignore.
    fn check_intervals(&self) -> Result<(), TrainError> {
        for (name, when, steps) in
            [("eval", self.eval_strategy, self.eval_steps), ("save", self.save_strategy, self.save_steps)]
        {
            if steps.is_some() && when.is_some_and(|when| when != Interval::Steps) {
                return Err(TrainError::Usage(format!(
                    "--{name}-steps is for --{name}-strategy steps; leave one of them out"
                )));
            }
        }
        if self.early_stopping_patience.is_some() && self.eval_strategy == Some(Interval::No) {
            return Err(TrainError::Usage(
                "--early-stopping-patience counts evaluations, and --eval-strategy no leaves only the last"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The numbers of the optimiser.
    pub fn optimizer(&self) -> OptimizerSettings {
        OptimizerSettings {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// The learning rate of each of `total` steps; at least one of them runs at a rate above zero.
    pub fn rates(&self, total: usize) -> RateSchedule {
        let warmup = self.warmup_steps.unwrap_or((self.warmup_ratio * total as f64).ceil() as usize);
        let warmup = warmup.min(total.saturating_sub(1));
        RateSchedule::new(self.lr_scheduler_type, self.learning_rate, warmup, total)
            .with_cycles(self.lr_num_cycles)
            .with_power(self.lr_power)
    }

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

    /// Examples per optimiser step.
    pub fn examples_per_step(&self) -> usize {
        self.per_device_train_batch_size * self.gradient_accumulation_steps
    }

    /// Maximum number of tokens of a micro-batch.
    pub fn tokens_per_batch(&self) -> usize {
        self.max_tokens_per_batch.unwrap_or(self.per_device_train_batch_size * self.max_seq_length)
    }
}
