//! The flags of `temper finetune`.

use std::path::PathBuf;
use std::time::Duration;

use temper_data::TaskKind;

use crate::device::backend::Backend;
use crate::headings::{DATA, DEVICE, RUN};
use crate::settings::{Preset, SettingFlags};
use crate::tasks;
use crate::{ColumnOptions, RunRequest, SourceOptions, TrainError};

/// Which run to continue.
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
    #[arg(required_unless_present_any = ["resume", "request", "train_file", "config"])]
    pub model: Option<String>,
    /// Name of a dataset card (imdb), path of a file or folder, or a pattern of files ('data/train-*.jsonl')
    #[arg(required_unless_present_any = ["resume", "request", "from", "train_file", "config"])]
    pub dataset: Option<String>,
    /// Transfer: start from the model of a run. Its head is kept where task and labels are the same, else it is new
    #[arg(long, help_heading = RUN, value_name = "RUN")]
    pub from: Option<PathBuf>,
    /// A config.json: train a new model of this shape from random weights, with the tokenizer of MODEL
    #[arg(long, help_heading = RUN, value_name = "FILE", conflicts_with = "from")]
    pub from_scratch: Option<PathBuf>,
    /// Continue an interrupted run exactly: its folder, or auto for the run that the same command made before (auto
    /// starts the run if there is none, and does nothing if it is finished)
    #[arg(long, help_heading = RUN, value_name = "RUN|auto")]
    pub resume: Option<Resume>,
    /// What another temper asks for, resolved: the part `request` of a run.toml
    #[arg(long, hide = true, conflicts_with_all = ["model", "dataset", "resume"], value_parser = RunRequest::read)]
    pub request: Option<RunRequest>,
    /// Where runs are kept
    #[arg(long, help_heading = RUN, default_value = "runs", value_name = "DIR")]
    pub output_dir: PathBuf,
    /// Name of the run's folder
    #[arg(long, help_heading = RUN, value_name = "NAME")]
    pub run_name: Option<String>,
    /// Replace a run of the same name
    #[arg(long, help_heading = RUN)]
    pub overwrite_output_dir: bool,
    /// A TOML file with settings, or the run.toml of a run, whose settings are taken
    #[arg(long, help_heading = RUN, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings to start from: cpu (one epoch on some of the data, about five minutes on two cores; the default on a
    /// CPU) or full (all data, three epochs; the default on a GPU)
    #[arg(long, help_heading = RUN, hide_possible_values = true)]
    pub preset: Option<Preset>,
    /// flex, ndarray, cuda, cuda:N (the GPU's number) or wgpu
    #[arg(long, help_heading = DEVICE)]
    pub backend: Option<Backend>,
    /// GPUs of --backend cuda that share every step, such as 0,1; the batch stays that of one
    #[arg(long, help_heading = DEVICE, value_name = "N,...", value_delimiter = ',')]
    pub devices: Vec<usize>,
    /// How long a rank of an MPI run waits for the others, such as 10m, before it ends with exit code 75 (30m by default)
    #[arg(long, help_heading = DEVICE, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub rank_timeout: Option<Duration>,
    /// Time for the whole run, such as 10m or 1h30m: uses the deepest of all, last:K and head that fits
    #[arg(long, help_heading = RUN, value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "strategy")]
    pub budget: Option<Duration>,
    /// Task of the model; by default that of the dataset's card, or the one that its columns imply
    #[arg(long, help_heading = DATA, value_name = "TASK", value_parser = tasks::by_name)]
    pub task: Option<TaskKind>,
    /// Columns of the dataset
    #[command(flatten)]
    pub columns: ColumnOptions,
    /// Print only errors on stderr
    #[arg(long, help_heading = RUN)]
    pub quiet: bool,
    /// Print results.json on stdout
    #[arg(long, help_heading = RUN)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
    /// Settings
    #[command(flatten)]
    pub settings: SettingFlags,
}

impl FinetuneArgs {
    /// A run continues with its own settings: everything else that `--resume RUN` comes with is refused by name.
    pub(super) fn refuse_beside_resume(&self) -> Result<(), TrainError> {
        let settings = self.settings.given.keys();
        let mut given: Vec<String> = settings.map(|key| format!("--{}", key.replace('_', "-"))).collect();
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
            ("--task", self.task.is_some()),
            ("--text-column", self.columns.text_column.is_some()),
            ("--text-pair-column", self.columns.text_pair_column.is_some()),
            ("--label-column", self.columns.label_column.is_some()),
            ("--column", !self.columns.named.is_empty()),
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
