//! The model and the packed batches of a job.

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};
use temper_models::{HeadRequest, Loaded, Mode, Model, TokenBatch};

use crate::job::Job;

/// Loads the job's checkpoint with the head it has.
pub fn load(job: &Job, device: &Device) -> Result<Loaded> {
    let loaded = Model::load(&job.model, &HeadRequest::FromConfig, device)?;
    Ok(Loaded { model: loaded.model.with_precision(job.precision), ..loaded })
}

/// Loads the job's checkpoint to be used: its weights as the precision wants them.
pub fn load_for_use(job: &Job, device: &Device) -> Result<Loaded> {
    let loaded = load(job, device)?;
    Ok(Loaded { model: loaded.model.packed(), ..loaded })
}

/// Packs some rows of ids; all of them are first texts.
pub fn pack<'a>(rows: impl Iterator<Item = &'a Vec<u32>> + Clone, device: &Device) -> TokenBatch {
    let ids: Vec<u32> = rows.clone().flatten().copied().collect();
    let lengths: Vec<u32> = rows.map(|row| row.len() as u32).collect();
    TokenBatch::new(&ids, &vec![0; ids.len()], &lengths, device)
}

/// The job's batches, ready on the device.
pub fn ready(job: &Job, device: &Device) -> Vec<TokenBatch> {
    job.batches.iter().map(|batch| pack(batch.iter().map(|&row| &job.rows[row]), device)).collect()
}

/// The logits of a batch.
pub fn classify(model: &Model, batch: &TokenBatch, mode: Mode) -> Result<Tensor<2>> {
    model.classify(batch, mode).context("the checkpoint has no classification head")
}

/// The logits of a batch on the host, one vector for each row.
pub fn predict(model: &Model, batch: &TokenBatch) -> Result<Vec<Vec<f32>>> {
    let logits = classify(model, batch, Mode::Evaluate)?;
    let [_, labels] = logits.dims();
    let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
    Ok(values.chunks(labels).map(<[f32]>::to_vec).collect())
}

/// The logits of batches in the order of their rows.
pub fn in_order(model: &Model, batches: &[TokenBatch], indices: &[Vec<usize>]) -> Result<Vec<Vec<f32>>> {
    let mut logits: Vec<(usize, Vec<f32>)> = Vec::new();
    for (batch, rows) in batches.iter().zip(indices) {
        logits.extend(rows.iter().copied().zip(predict(model, batch)?));
    }
    logits.sort_by_key(|(row, _)| *row);
    Ok(logits.into_iter().map(|(_, logits)| logits).collect())
}

/// The answer that bench.py compares.
pub fn logits_answer(logits: &[Vec<f32>]) -> Value {
    json!({ "logits": logits })
}

/// The label with the highest logit; of equal ones the first.
pub fn label(logits: &[f32]) -> usize {
    let best = logits.iter().enumerate().rev().max_by(|left, right| left.1.total_cmp(right.1));
    best.map_or(0, |(label, _)| label)
}
