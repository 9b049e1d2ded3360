//! What a benchmark process is asked to do.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use burn::tensor::Device;
use serde::Deserialize;
use temper_models::Precision;
use temper_train::Backend;

/// What is to be done.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskName {
    /// Logits of batches that are ready.
    Forward,
    /// Optimiser steps on batches that are ready.
    Train,
    /// Gradients of one batch, compared with the CPU's.
    Gradients,
    /// Products of matrices by one of the strategies there are.
    #[cfg(feature = "cuda")]
    Products,
    /// Texts to ids.
    Tokenize,
    /// Texts to labels.
    Predict,
    /// Tokens after a prompt.
    Generate,
}

/// A job as xtask/reference/bench_jobs.py writes it; a task reads only the fields it needs.
#[derive(Deserialize)]
pub struct Job {
    /// What is to be done.
    pub task: TaskName,
    /// Folder of the checkpoint and its tokenizer.
    #[serde(default)]
    pub model: PathBuf,
    /// Token ids.
    #[serde(default)]
    pub rows: Vec<Vec<u32>>,
    /// One a row.
    #[serde(default)]
    pub labels: Vec<i32>,
    /// Whether a language model is trained, on the rows themselves.
    #[serde(default)]
    pub causal: bool,
    /// Indices of rows.
    #[serde(default)]
    pub batches: Vec<Vec<usize>>,
    /// Texts.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Tokens a text at most.
    #[serde(default)]
    pub max_length: usize,
    /// Tokens to generate after the first row.
    #[serde(default)]
    pub new_tokens: usize,
    /// Batch, rows, inner size and columns of products.
    #[cfg(feature = "cuda")]
    #[serde(default)]
    pub shapes: Vec<[usize; 4]>,
    /// How products are computed.
    #[cfg(feature = "cuda")]
    #[serde(default)]
    pub strategy: String,
    /// flex, ndarray, cuda or cuda:N; flex if absent.
    #[serde(default = "flex")]
    pub backend: String,
    /// What matrix products compute in; f32 if absent.
    #[serde(default)]
    pub precision: Precision,
}

fn flex() -> String {
    Backend::Flex.to_string()
}

impl Job {
    /// Where the job computes, without autodiff.
    ///
    /// # Errors
    /// A backend that this binary lacks, or a GPU that is not there.
    pub fn device(&self) -> Result<Device> {
        let backend: Backend = self.backend.parse().map_err(|error: String| anyhow!(error))?;
        Ok(backend.device()?)
    }
}
