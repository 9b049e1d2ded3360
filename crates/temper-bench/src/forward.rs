//! Timed forward passes.

use std::hint::black_box;

use anyhow::Result;
use serde_json::Value;
use temper_models::{Model, TokenBatch};

use crate::Task;
use crate::batches::{in_order, label, load_for_use, logits_answer, predict, ready};
use crate::job::Job;

/// Logits of batches that are ready.
pub struct Forward {
    model: Model,
    batches: Vec<TokenBatch>,
    indices: Vec<Vec<usize>>,
}

impl Forward {
    pub fn new(job: &Job) -> Result<Self> {
        let device = job.device()?;
        Ok(Self {
            model: load_for_use(job, &device)?.model,
            batches: ready(job, &device),
            indices: job.batches.clone(),
        })
    }
}

impl Task for Forward {
    fn check(&self) -> Result<Value> {
        Ok(logits_answer(&in_order(&self.model, &self.batches, &self.indices)?))
    }

    fn run(self) -> Result<Self> {
        for batch in &self.batches {
            for logits in predict(&self.model, batch)? {
                black_box(label(&logits));
            }
        }
        Ok(self)
    }
}
