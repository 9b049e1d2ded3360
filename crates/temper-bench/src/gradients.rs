//! Loss and gradients of a checkpoint on a device, compared with those that the CPU computes in f32.

use anyhow::{Context, Result, bail};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};
use temper_models::{HeadRequest, Mode, Model, Precision};

use crate::Task;
use crate::batches::pack;
use crate::job::Job;

/// A checkpoint, rows, and where they are computed.
pub struct Gradients {
    job: Job,
    device: Device,
}

impl Gradients {
    pub fn new(job: Job) -> Result<Self> {
        let device = job.device()?.autodiff();
        Ok(Self { job, device })
    }

    /// The mean square of the logits, and the gradient of every parameter that has one.
    fn compute(&self, device: &Device, precision: Precision) -> Result<(f32, Vec<Vec<f32>>)> {
        let loaded = Model::load(&self.job.model, &HeadRequest::FromConfig, device)?;
        let model = loaded.model.with_precision(precision);
        let batch = pack(self.job.rows.iter(), device);
        let logits = model.logits(&batch, Mode::Evaluate).context("the checkpoint has no head")?;
        let loss = logits.square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let mut values = Values { gradients: &gradients, found: Vec::new() };
        model.visit(&mut values);
        Ok((loss.into_scalar(), values.found))
    }
}

impl Task for Gradients {
    /// Both losses, and the largest distance between two gradients of a parameter relative to the largest norm.
    fn check(&self) -> Result<Value> {
        let (expected_loss, expected) = self.compute(&Device::flex().autodiff(), Precision::F32)?;
        let (loss, found) = self.compute(&self.device, self.job.precision)?;
        if found.len() != expected.len() {
            bail!("{} parameters have a gradient, {} on the CPU", found.len(), expected.len());
        }
        let largest_norm = expected.iter().map(|gradient| norm(gradient.iter().copied())).fold(0.0, f64::max);
        let distances = found.iter().zip(&expected).map(|(found, expected)| {
            norm(found.iter().zip(expected).map(|(found, expected)| found - expected))
        });
        // NaN is infinitely far away, not overlooked.
        let largest = distances.map(|distance| if distance.is_nan() { f64::INFINITY } else { distance });
        Ok(json!({
            "loss": loss,
            "expected_loss": expected_loss,
            "parameters": expected.len(),
            "largest": largest.fold(0.0, f64::max) / largest_norm,
        }))
    }

    fn run(self) -> Result<Self> {
        self.compute(&self.device, self.job.precision)?;
        Ok(self)
    }
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// The gradients of a module on the host, in its own order.
struct Values<'a> {
    gradients: &'a GradientsParams,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.push(gradient.into_data().iter::<f32>().collect());
        }
    }
}
