use std::path::PathBuf;

use serde::Deserialize;

/// What is to be done.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskName {
    /// Logits of batches that stand ready.
    Forward,
    /// Optimiser steps on batches that stand ready.
    Train,
    /// Texts to ids.
    Tokenize,
    /// Texts to labels.
    Predict,
}

/// A job as xtask/reference/bench_jobs.py writes it; a task reads only the fields it needs.
#[derive(Deserialize)]
pub struct Job {
    /// What is to be done.
    pub task: TaskName,
    /// Folder of the checkpoint and its tokenizer.
    pub model: PathBuf,
    /// Token ids.
    #[serde(default)]
    pub rows: Vec<Vec<u32>>,
    /// One a row.
    #[serde(default)]
    pub labels: Vec<i32>,
    /// Indices of rows.
    #[serde(default)]
    pub batches: Vec<Vec<usize>>,
    /// Texts.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Tokens a text at most.
    #[serde(default)]
    pub max_length: usize,
}
