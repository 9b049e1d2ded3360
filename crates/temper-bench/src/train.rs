//! Timed optimiser steps.

use anyhow::{Context, Result, bail};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde_json::Value;
use temper_freeze::{ClipFactor, FreezePlan, GradientSquares, OptimizerSettings};
use temper_kernels::VocabularyTargets;
use temper_models::{Mode, Model, TokenBatch};

use crate::Task;
use crate::batches::{classify, in_order, load, logits_answer, ready};
use crate::job::Job;
use crate::memory;

// As in bench_torch.py.
const LEARNING_RATE: f64 = 2e-5;
const MAX_GRAD_NORM: f32 = 1.0;
/// A token without a target.
const NO_TARGET: i32 = -100;

/// What a batch is trained towards.
enum Targets {
    /// `[rows]`
    Labels(Box<Tensor<1, Int>>),
    /// The token after each token.
    Tokens(VocabularyTargets),
}

impl Targets {
    fn new(job: &Job, rows: &[usize], device: &Device) -> Self {
        if !job.causal {
            let labels: Vec<i32> = rows.iter().map(|&row| job.labels[row]).collect();
            let labels = Tensor::from_data(TensorData::new(labels, [rows.len()]), device);
            return Self::Labels(Box::new(labels));
        }
        // Nothing follows the last token of a row.
        let next = |row: &usize| {
            let ids = job.rows[*row].iter().skip(1).map(|&id| id as i32);
            ids.chain([NO_TARGET]).collect::<Vec<_>>()
        };
        Self::Tokens(VocabularyTargets { ids: rows.iter().flat_map(next).collect(), smoothing: 0.0 })
    }

    /// The mean over the batch.
    ///
    /// # Shapes
    /// - output: `[1]`
    fn loss(&self, model: &Model, batch: &TokenBatch, mode: Mode) -> Result<Tensor<1>> {
        match self {
            Self::Labels(labels) => {
                let logits = classify(model, batch, mode)?;
                // [rows, labels] -> [rows] -> [1]
                Ok(temper_kernels::cross_entropy(logits, Tensor::clone(labels)).mean())
            }
            Self::Tokens(targets) => {
                let loss = model.vocabulary_loss(batch, targets, mode);
                let tokens = targets.ids.iter().filter(|&&id| id != NO_TARGET).count();
                Ok(loss.context("the checkpoint has no map to a vocabulary")? / tokens as f64)
            }
        }
    }
}

/// Optimiser steps on batches that are ready.
pub struct Train {
    model: Model,
    batches: Vec<TokenBatch>,
    targets: Vec<Targets>,
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
        let targets = |rows: &Vec<usize>| Targets::new(job, rows, &device.clone().inner());
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
    /// Logits, or the loss of each batch of a language model, whose logits are many.
    fn check(&self) -> Result<Value> {
        if self.targets.iter().any(|targets| matches!(targets, Targets::Tokens(_))) {
            let batches = self.batches.iter().zip(&self.targets);
            let loss = |(batch, targets): (&TokenBatch, &Targets)| {
                Ok(vec![targets.loss(&self.model, batch, Mode::Evaluate)?.into_scalar::<f32>()])
            };
            return Ok(logits_answer(&batches.map(loss).collect::<Result<Vec<_>>>()?));
        }
        Ok(logits_answer(&in_order(&self.model, &self.batches, &self.indices)?))
    }

    /// A step for each batch.
    fn run(mut self) -> Result<Self> {
        for (batch, targets) in self.batches.iter().zip(&self.targets) {
            let loss = targets.loss(&self.model, batch, Mode::train(self.steps))?;
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
        self.batches.first().map_or(Value::Null, |batch| memory::of(&batch.device()))
    }
}
