//! candle's side of the benchmark: BERT's forward pass with pooler and classifier, on the weights
//! and ids that Temper and PyTorch get. Speaks the protocol of xtask/reference/bench_worker.py.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear};
use candle_transformers::models::bert::{BertModel, Config};
use serde_json::{Value, json};

/// The classifier of transformers' BertForSequenceClassification.
struct Classifier {
    backbone: BertModel,
    pooler: Linear,
    head: Linear,
}

impl Classifier {
    fn load(dir: &Path) -> Result<Self> {
        let text = std::fs::read(dir.join("config.json")).context("config.json cannot be read")?;
        let config: Config = serde_json::from_slice(&text)?;
        let weights = std::fs::read(dir.join("model.safetensors")).context("no weights")?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        let (hidden, labels) = (config.hidden_size, 2);
        Ok(Self {
            pooler: linear(hidden, hidden, weights.pp("bert.pooler.dense"))?,
            head: linear(hidden, labels, weights.pp("classifier"))?,
            backbone: BertModel::load(weights, &config)?,
        })
    }

    /// `[rows, seq]` to `[rows, labels]`.
    fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let hidden = self.backbone.forward(&batch.ids, &batch.type_ids, Some(&batch.mask))?;
        let first = hidden.narrow(1, 0, 1)?.squeeze(1)?;
        Ok(self.head.forward(&self.pooler.forward(&first)?.tanh()?)?)
    }
}

/// Rows padded to the longest, as candle wants them.
struct Batch {
    ids: Tensor,
    type_ids: Tensor,
    mask: Tensor,
}

impl Batch {
    fn new(rows: &[&Vec<u32>]) -> Result<Self> {
        let seq = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let padded = |value: fn(u32) -> u32| -> Vec<u32> {
            let padding = |row: &Vec<u32>| vec![0; seq - row.len()];
            rows.iter().flat_map(|row| row.iter().map(|&id| value(id)).chain(padding(row))).collect()
        };
        let ids = Tensor::from_vec(padded(|id| id), (rows.len(), seq), &Device::Cpu)?;
        let mask = Tensor::from_vec(padded(|_| 1), (rows.len(), seq), &Device::Cpu)?;
        Ok(Self { type_ids: ids.zeros_like()?, ids, mask })
    }
}

fn batches(job: &Value) -> Result<Vec<(Vec<usize>, Batch)>> {
    let rows: Vec<Vec<u32>> = serde_json::from_value(job["rows"].clone())?;
    let indices: Vec<Vec<usize>> = serde_json::from_value(job["batches"].clone())?;
    let batch = |indices: Vec<usize>| {
        let chosen: Vec<&Vec<u32>> = indices.iter().map(|&index| &rows[index]).collect();
        Ok((indices, Batch::new(&chosen)?))
    };
    indices.into_iter().map(batch).collect()
}

/// Logits in the order of the job's rows.
fn check(model: &Classifier, batches: &[(Vec<usize>, Batch)]) -> Result<Value> {
    let mut logits: Vec<(usize, Vec<f32>)> = Vec::new();
    for (indices, batch) in batches {
        logits.extend(indices.iter().copied().zip(model.forward(batch)?.to_vec2()?));
    }
    logits.sort_by_key(|(index, _)| *index);
    Ok(json!({ "logits": logits.into_iter().map(|(_, row)| row).collect::<Vec<_>>() }))
}

fn run(model: &Classifier, batches: &[(Vec<usize>, Batch)], repeat: u64) -> Result<Value> {
    let started = Instant::now();
    for _ in 0..repeat {
        for (_, batch) in batches {
            // Read back, so that nothing is left undone.
            model.forward(batch)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        }
    }
    Ok(json!({ "seconds": started.elapsed().as_secs_f64() }))
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("usage: candle-bench JOB.json")?;
    let job: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let model = Classifier::load(Path::new(job["model"].as_str().context("the job names no model")?))?;
    let batches = batches(&job)?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match request["repeat"].as_u64() {
            Some(repeat) => run(&model, &batches, repeat)?,
            None => check(&model, &batches)?,
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
