//! What can end a command early, and the exit code of each.

use std::path::PathBuf;

use temper_data::DataError;
use temper_freeze::{FreezeError, Violation};
use temper_gguf::GgufError;
use temper_hub::HubError;
use temper_models::ModelError;

use crate::device::OutOfMemory;
use crate::device::nvidia::GpuError;
use crate::signals::Stop;

/// The exit code where memory runs out.
pub(crate) const OUT_OF_MEMORY: u8 = 5;

/// What can end a command early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A request that cannot be carried out as it is.
    #[error("{0}")]
    Usage(String),
    /// The run folder is taken.
    #[error(
        "{path} exists already; give another --run-name, --overwrite-output-dir to replace it, or --resume {path} to continue it"
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// Something has the name already.
    #[error("{} exists already", path.display())]
    Taken {
        /// The name.
        path: PathBuf,
    },
    /// Another process works in the folder.
    #[error("{} is in use by {owner}; wait until it has ended, or stop it", folder.display())]
    Owned {
        /// The folder.
        folder: PathBuf,
        /// What the other process says of itself.
        owner: String,
    },
    /// The reader of stdout has seen enough; no error.
    #[error("the reader of the output has closed it")]
    ReaderGone,
    /// Files could not be had.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Data could not be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A server that tracks experiments did not take what it was sent.
    #[error(
        "MLflow at {address}: {reason}; check the server and MLFLOW_TRACKING_URI, or leave out --report-to mlflow"
    )]
    Tracking {
        /// The server's address.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// A model could not be loaded or saved.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A strategy could not be worked out.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// The tokenizer knows ids that the model has no embedding for.
    #[error(
        "the tokenizer has ids up to {highest_id}, the model embeds {vocab_size} tokens: they belong to different models; give the tokenizer of the model"
    )]
    ForeignTokenizer {
        /// The tokenizer's highest id.
        highest_id: usize,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A file of a run cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// True if the content is at fault (exit 3); false if the system is (exit 1).
        bad_data: bool,
    },
    /// A model in the file format of llama.cpp that is not read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A dataset that training refuses.
    #[error(
        "{dataset}: {errors} errors; correct them, or leave the rows that cannot be read out of a run with --force"
    )]
    Unsound {
        /// The dataset.
        dataset: String,
        /// How many rows cannot be read, and what else refuses it.
        errors: usize,
    },
    /// The loss or a gradient is no longer a number.
    #[error(
        "training diverged at step {step}: {what} is not finite; lower --learning-rate or raise --warmup-ratio"
    )]
    Diverged {
        /// The optimiser step, counted from 1.
        step: usize,
        /// What is not finite.
        what: String,
    },
    /// A model computes NaN or infinite values.
    #[error("{what} are not finite for {place}: its weights are damaged, or too large for the precision")]
    NotFinite {
        /// What it computes.
        what: &'static str,
        /// The text that it computes this for.
        place: String,
    },
    /// Training did not do what the plan says.
    #[error("training proof failed at step {step}:\n{}", list(violations))]
    ProofFailed {
        /// The optimiser step, counted from 1.
        step: usize,
        /// Every parameter that disagrees.
        violations: Vec<Violation>,
    },
    /// Two results that should agree do not.
    #[error("verification failed: {what} differs by {difference:e}, more than {tolerance:e}")]
    Verification {
        /// What was compared.
        what: String,
        /// The largest absolute difference.
        difference: f64,
        /// The largest one allowed.
        tolerance: f64,
    },
    /// Steps that were computed again gave other numbers.
    #[error(
        "{} is not reproduced: losses or parameters differ at step {step} or since the row before it",
        run.display()
    )]
    Replay {
        /// The run.
        run: PathBuf,
        /// The step of the first row that differs.
        step: usize,
    },
    /// Fixtures that do not give the values of their reference.
    #[error("verification failed for {} of {of} fixtures: {}", failed.len(), failed.join(", "))]
    Fixtures {
        /// Their names.
        failed: Vec<String>,
        /// How many were verified.
        of: usize,
    },
    /// A signal, with everything saved.
    #[error("stopped after step {step}; continue with: temper finetune --resume {}", run.display())]
    Interrupted {
        /// Optimiser steps done.
        step: usize,
        /// The run folder.
        run: PathBuf,
        /// Which signal.
        stop: Stop,
    },
    /// A folder of several runs that was made for another request.
    #[error(
        "{} was made with other settings:\n{}\ngive another --run-name, or --overwrite-output-dir to start again",
        folder.display(),
        differences.join("\n")
    )]
    OtherSettings {
        /// The folder.
        folder: PathBuf,
        /// A line each.
        differences: Vec<String>,
    },
    /// A dataset that is a path is not what a run read.
    #[error("{file} of {dataset} is not as the run read it; give the run its own files, or start a new run")]
    ChangedData {
        /// The path.
        dataset: String,
        /// The file that changed, came or went.
        file: String,
    },
    /// One of several runs failed, in a process of its own that said why.
    #[error(
        "{run} failed with exit code {code}; the other runs are kept, and the same command continues with them"
    )]
    GridRunFailed {
        /// The name of the run's folder.
        run: String,
        /// Its exit code.
        code: u8,
    },
    /// The ranks of a run do not compute the same.
    #[error(
        "rank {rank} on {host} differs from rank 0 in {what}: {}, not {}; the ranks of a run need the same program, \
         arguments and files, and processors with the same vector instructions", values[1], values[0]
    )]
    RanksDiffer {
        /// The first that differs.
        rank: usize,
        /// Its machine.
        host: String,
        /// What differs.
        what: String,
        /// Of rank 0 and of the other.
        values: Box<[String; 2]>,
    },
    /// A signal among several runs.
    #[error("stopped with {done} of {of} runs done in {}; the same command continues", folder.display())]
    GridInterrupted {
        /// Runs that are done.
        done: usize,
        /// Runs in all.
        of: usize,
        /// The folder of all runs.
        folder: PathBuf,
        /// Which signal.
        stop: Stop,
    },
    /// A process of ours failed; it has said why.
    #[error("the measurement failed")]
    Child {
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
    },
    /// A GPU, or something that it needs, is not there.
    #[error("{0}\n'temper doctor --machine' shows what this machine has")]
    Gpu(#[from] GpuError),
    /// Memory ran out, or would have.
    #[error("{0}")]
    OutOfMemory(Box<OutOfMemory>),
    /// Burn's backend gave up.
    #[error("the backend failed: {reason}; RUST_BACKTRACE=1 shows where")]
    Backend {
        /// Its words.
        reason: String,
    },
    /// burn-train ended the run.
    #[error("burn-train: {0}")]
    Learner(String),
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("  {violation}")).collect::<Vec<_>>().join("\n")
}

impl TrainError {
    /// What is computed for a text is NaN or infinite: where the text is, and how it begins with control characters as
    /// escapes.
    pub(crate) fn not_finite(what: &'static str, place: &str, text: &str) -> Self {
        const SHOWN: usize = 60;
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if text.chars().nth(SHOWN).is_some() { "..." } else { "" };
        Self::NotFinite { what, place: format!("{place}, {shown:?}{more}") }
    }

    /// A file that the system refused.
    pub fn file(path: impl Into<PathBuf>, error: impl std::fmt::Display) -> Self {
        Self::File { path: path.into(), reason: error.to_string(), bad_data: false }
    }

    /// A file whose content is at fault.
    pub fn content(path: impl Into<PathBuf>, error: impl std::fmt::Display) -> Self {
        Self::File { path: path.into(), reason: error.to_string(), bad_data: true }
    }

    /// The process's exit code: 2 usage, 3 bad data, 4 source unreachable or
    /// a GPU, driver or library not there, 5 out of memory, 6 diverged or not finite, 7 verification failed, 75 stopped
    /// by the system with a checkpoint (start it again), 130 interrupted with a checkpoint, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Usage(_) | Self::RunExists { .. } | Self::OtherSettings { .. } => 2,
            Self::Taken { .. } | Self::Owned { .. } | Self::ChangedData { .. } => 2,
            Self::RanksDiffer { .. } => 2,
            Self::Freeze(FreezeError::Adapter { .. } | FreezeError::AdapterMisfit { .. }) => 3,
            Self::Freeze(FreezeError::Model(error)) | Self::Model(error) => model_code(error),
            Self::Freeze(_) => 2,
            Self::Hub(error) => hub_code(error),
            Self::Data(DataError::Hub(error)) => hub_code(error),
            Self::Data(error) => data_code(error),
            Self::File { bad_data: false, .. } => 1,
            Self::ForeignTokenizer { .. } | Self::File { .. } | Self::Unsound { .. } => 3,
            Self::Gguf(GgufError::Io { .. } | GgufError::File(_) | GgufError::Altered { .. }) => 1,
            Self::Gguf(GgufError::Unwritable { .. }) => 2,
            Self::Gguf(_) => 3,
            Self::Diverged { .. } | Self::NotFinite { .. } => 6,
            Self::Replay { .. }
            | Self::ProofFailed { .. }
            | Self::Verification { .. }
            | Self::Fixtures { .. } => 7,
            Self::Interrupted { stop, .. } | Self::GridInterrupted { stop, .. } => stop.exit_code(),
            Self::GridRunFailed { code, .. } => *code,
            Self::Child { code } => code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            Self::Gpu(GpuError::NoSuchGpu { gpus, .. }) if !gpus.is_empty() => 2,
            Self::Gpu(_) | Self::Tracking { .. } => 4,
            Self::OutOfMemory(_) => OUT_OF_MEMORY,
            Self::Backend { .. } | Self::Learner(_) => 1,
        }
    }
}

fn model_code(error: &ModelError) -> u8 {
    match error {
        ModelError::Setting { .. }
        | ModelError::NoGenerator { .. }
        | ModelError::EmptyPrompt { .. }
        | ModelError::PromptTooLong { .. } => 2,
        ModelError::Write { .. } => 1,
        ModelError::NotFinite { .. } => 6,
        _ => 3,
    }
}

fn hub_code(error: &HubError) -> u8 {
    match error {
        _ if error.is_usage() => 2,
        HubError::WrongHash { .. } | HubError::MissingShard { .. } | HubError::Format { .. } => 3,
        HubError::Card { .. } | HubError::MissingMember { .. } | HubError::BadAnswer { .. } => 3,
        HubError::Io { .. } | HubError::File(_) => 1,
        _ => 4,
    }
}

fn data_code(error: &DataError) -> u8 {
    match error {
        DataError::UnknownDataset { .. }
        | DataError::WrongTask { .. }
        | DataError::MaxLengthTooSmall { .. }
        | DataError::UnknownFormat { .. }
        | DataError::NoFile { .. }
        | DataError::Pattern { .. }
        | DataError::Splits { .. } => 2,
        DataError::Io { .. } | DataError::File(_) => 1,
        _ => 3,
    }
}
