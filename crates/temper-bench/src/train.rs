//! Timed optimiser steps.

use anyhow::{Result, bail};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor, TensorData};
use serde_json::{Value, json};
use temper_freeze::{ClipFactor, FreezePlan, GradientSquares, OptimizerSettings};
use temper_models::{Mode, Model, TokenBatch};

use crate::Task;
use crate::batches::{classify, in_order, load, logits_answer, ready};
use crate::job::Job;

// As in bench_torch.py.
const LEARNING_RATE: f64 = 2e-5;
const MAX_GRAD_NORM: f32 = 1.0;

/// Optimiser steps on batches that are ready.
pub struct Train {
    model: Model,
    batches: Vec<TokenBatch>,
    targets: Vec<Tensor<1, Int>>,
    indices: Vec<Vec<usize>>,
    optimizer: ModuleOptimizer,
    clip: ClipFactor,
    steps: u64,
    /// Of the steps since losses were last read.
    losses: Vec<Tensor<1>>,
}

impl Train {
    pub fn new(job: &Job) -> Result<Self> {
        let device = job.device()?.autodiff();
        let loaded = load(job, &device)?;
        let plan = FreezePlan::new(&"all".parse()?, &loaded.model.parameters(), &loaded.new)?;
        let clip = ClipFactor::default();
        let targets = |rows: &Vec<usize>| {
            let labels: Vec<i32> = rows.iter().map(|&row| job.labels[row]).collect();
            Tensor::from_data(TensorData::new(labels, [rows.len()]), &device.clone().inner())
        };
        Ok(Self {
            model: plan.apply(loaded.model),
            batches: ready(job, &device),
            targets: job.batches.iter().map(targets).collect(),
            indices: job.batches.clone(),
            optimizer: OptimizerSettings::default().init(&plan, &clip),
            clip,
            steps: 0,
            losses: Vec::new(),
        })
    }
}

impl Task for Train {
    fn check(&self) -> Result<Value> {
        Ok(logits_answer(&in_order(&self.model, &self.batches, &self.indices)?))
    }

    /// A step for each batch.
    fn run(mut self) -> Result<Self> {
        for (batch, targets) in self.batches.iter().zip(&self.targets) {
            let logits = classify(&self.model, batch, Mode::train(self.steps))?;
            // [rows, labels] -> [rows] -> [1]
            let loss = temper_kernels::cross_entropy(logits, targets.clone()).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
            self.clip.set(GradientSquares::of(&self.model, &gradients).clip_factor(MAX_GRAD_NORM));
            self.model = self.clip.step(&mut self.optimizer, LEARNING_RATE, self.model, gradients);
            self.steps += 1;
            self.losses.push(loss.inner());
        }
        Ok(self)
    }

    /// Reads every loss, as a run does after some steps: a GPU has computed them all by then.
    fn finish(&mut self) -> Result<()> {
        match self.losses.drain(..).map(|loss| loss.into_scalar::<f32>()).find(|loss| !loss.is_finite()) {
            None => Ok(()),
            Some(loss) => bail!("a loss is {loss}"),
        }
    }

    fn memory(&self) -> Value {
        let usage = self.batches.first().and_then(|batch| batch.device().memory_pool_usage());
        json!(usage.map(|usage| json!({ "in_use": usage.bytes_in_use, "reserved": usage.bytes_reserved })))
    }
}
