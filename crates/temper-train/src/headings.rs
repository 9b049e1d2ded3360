//! Headings under which `--help` lists flags.

pub(crate) const RUN: &str = "Run";
pub(crate) const SOURCES: &str = "Sources of models and datasets";
pub(crate) const DATA: &str = "Data";
pub(crate) const TEXTS: &str = "Texts and tokens";
pub(crate) const LABELS: &str = "Labels and loss";
pub(crate) const TRAINING: &str = "Training";
pub(crate) const STRATEGY: &str = "What trains";
pub(crate) const LOGGING: &str = "Evaluation, log and checkpoints";
pub(crate) const DEVICE: &str = "Device and memory";
