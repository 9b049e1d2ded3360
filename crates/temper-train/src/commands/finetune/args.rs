//! The flags of `temper finetune`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::backend::Backend;
use crate::settings::Preset;
use crate::{ColumnOptions, PrecisionSetting, RunRequest, SourceOptions, TrainError};

/// Which run to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The one that this command made before; the run starts where there is none.
    Auto,
    /// The one in this folder.
    Run(PathBuf),
}

impl From<String> for Resume {
    fn from(text: String) -> Self {
        if text == "auto" { Self::Auto } else { Self::Run(text.into()) }
    }
}

/// Fine-tune a pretrained model on a dataset
#[derive(Clone, Debug, clap::Args)]
pub struct FinetuneArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model; left out with --from
    #[arg(required_unless_present_any = ["resume", "request"])]
    pub model: Option<String>,
    /// Name of a dataset card (imdb) or path of a file or folder
    #[arg(required_unless_present_any = ["resume", "request", "from"])]
    pub dataset: Option<String>,
    /// Transfer: start from the model of a run, with a new head for the dataset
    #[arg(long, value_name = "RUN")]
    pub from: Option<PathBuf>,
    /// Go on with an interrupted run, exactly: its folder, or auto for the run that the same command made before (it
    /// starts where there is none, and is done where it is finished)
    #[arg(long, value_name = "RUN|auto")]
    pub resume: Option<Resume>,
    /// What another temper asks for, resolved: the part `request` of a run.toml
    #[arg(long, hide = true, conflicts_with_all = ["model", "dataset", "resume"], value_parser = RunRequest::read)]
    pub request: Option<RunRequest>,
    /// Where runs are kept
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub output_dir: PathBuf,
    /// Name of the run's folder
    #[arg(long)]
    pub run_name: Option<String>,
    /// Replace a run of the same name
    #[arg(long)]
    pub overwrite_output_dir: bool,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings to start from; cpu on a CPU, full on a GPU
    #[arg(long)]
    pub preset: Option<Preset>,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long)]
    pub backend: Option<Backend>,
    /// GPUs of --backend cuda that share every step, such as 0,1; the batch stays that of one
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub devices: Vec<usize>,
    /// Time for the whole run, such as 10m or 1h30m: the deepest of all, last:K and head that fits is taken
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "strategy")]
    pub budget: Option<Duration>,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// Say nothing on stderr but errors
    #[arg(long)]
    pub quiet: bool,
    /// Print results.json on stdout
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
    /// Settings
    #[command(flatten)]
    pub settings: SettingFlags,
}

impl FinetuneArgs {
    /// A run goes on with its own settings: everything else that `--resume RUN` comes with is refused by name.
    pub(super) fn refuse_beside_resume(&self) -> Result<(), TrainError> {
        let mut given: Vec<String> = match serde_json::to_value(&self.settings) {
            Ok(serde_json::Value::Object(flags)) => {
                flags.keys().map(|key| format!("--{}", key.replace('_', "-"))).collect()
            }
            _ => Vec::new(),
        };
        let columns = &self.columns;
        for (name, is_given) in [
            ("a model", self.model.is_some()),
            ("a dataset", self.dataset.is_some()),
            ("--from", self.from.is_some()),
            ("--run-name", self.run_name.is_some()),
            ("--overwrite-output-dir", self.overwrite_output_dir),
            ("--config", self.config.is_some()),
            ("--preset", self.preset.is_some()),
            ("--backend", self.backend.is_some()),
            ("--devices", !self.devices.is_empty()),
            ("--budget", self.budget.is_some()),
            ("--text-column", columns.text_column.is_some()),
            ("--text-pair-column", columns.text_pair_column.is_some()),
            ("--label-column", columns.label_column.is_some()),
        ] {
            if is_given {
                given.push(name.into());
            }
        }
        if given.is_empty() {
            return Ok(());
        }
        Err(TrainError::Usage(format!(
            "a resumed run keeps the settings it was started with, which are in its run.toml; leave out {}, or start a new run",
            given.join(", ")
        )))
    }
}

/// Settings given as flags; what is absent is left to the layers below.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
#[serde(rename_all = "snake_case")]
pub struct SettingFlags {
    /// Passes over the training data
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_train_epochs: Option<usize>,
    /// Optimiser steps; replaces the number of epochs
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// The highest learning rate
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Examples a batch
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_device_train_batch_size: Option<usize>,
    /// Batches an optimiser step
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_accumulation_steps: Option<usize>,
    /// Tokens computed at once (batch size times length by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_batch: Option<usize>,
    /// Tokens an example, special tokens included
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seq_length: Option<usize>,
    /// Which part of a longer text is kept: head, tail or head-tail
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<String>,
    /// AdamW's decay of matrices
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the steps that warm the learning rate up
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Largest norm of all gradients together
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Seed of head, order and dropout
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Seed of the choice of examples for a subset
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset_seed: Option<u64>,
    #[allow(rustdoc::broken_intra_doc_links)] // Help on a command line: the brackets are no links.
    /// What trains: all, head, last:K, layers:A-B, norms+head, biases+head, lora, gradual[:STEPS],
    /// gradual:EPOCHSepoch, embeddings, freeze-embeddings, pattern:REGEX[,REGEX], or a TOML file
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Factor of each layer's learning rate on that of the layer above (discriminative rates)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// Rank of the adapters of --strategy lora
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_rank: Option<usize>,
    /// What an adapter adds is multiplied by this, divided by the rank
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// Dropout on the input of an adapter
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_dropout: Option<f64>,
    /// Linear maps with an adapter: ends of paths (query,ffn.inner), regexes over whole paths, or all-linear
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_targets: Option<String>,
    /// What the head reads: pooler, or cls as textbooks do
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// Steps between two logged rows
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_steps: Option<usize>,
    /// Steps between two evaluations (an epoch by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_steps: Option<usize>,
    /// Steps between two checkpoints (an epoch by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_steps: Option<usize>,
    /// Checkpoints kept
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_total_limit: Option<usize>,
    /// Training examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_train_samples: Option<usize>,
    /// Training tokens an epoch at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_train_tokens: Option<usize>,
    /// Validation examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_eval_samples: Option<usize>,
    /// Test examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_test_samples: Option<usize>,
    /// Compute layers again in the backward pass: less memory, a third to a half more time
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_checkpointing: Option<bool>,
    /// What matrix products compute in: f32, tf32 (NVIDIA GPUs) or bf16; auto is tf32 on NVIDIA GPUs, f32 elsewhere
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<PrecisionSetting>,
    /// Whether frozen layers drop out in training as in transformers: true or false
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_dropout: Option<bool>,
    /// Where the output of frozen lowest layers is kept: auto, memory, file or off
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk_cache: Option<String>,
    /// Memory for it, such as 2GB (half of what is free by default)
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk_cache_memory: Option<String>,
    /// Disk for it, such as 20GB (half of what is free by default)
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk_cache_disk: Option<String>,
}
