//! The batches of a split, for training and for evaluation.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use temper_data::{BatchSettings, Step, collate, plan_epoch, plan_evaluation};

use super::ahead::Ahead;
use super::learner::{MicroBatch, TrainingStep};
use super::trunk::SplitTrunk;
use crate::examples::Features;
use crate::ranks::Ranks;
use crate::tasks::{Draw, Task};

/// Some features in one batch.
fn batch(features: &Features, number: usize, indices: &[usize], trunk: Option<&SplitTrunk>) -> MicroBatch {
    MicroBatch {
        number,
        tokens: collate(&features.encoded, indices),
        targets: indices.iter().map(|&index| features.targets[index].clone()).collect(),
        trunk: trunk.cloned(),
    }
}

/// The batches of an evaluation, longest features first; several ranks take turns.
#[derive(Clone, Debug)]
pub struct EvaluationLoader {
    features: Features,
    plan: Arc<Vec<Vec<usize>>>,
    trunk: Option<SplitTrunk>,
    /// Those that share the batches.
    pub(super) ranks: Ranks,
}

impl EvaluationLoader {
    /// Batches of at most `tokens_per_batch` tokens.
    pub fn new(features: Features, tokens_per_batch: usize) -> Self {
        let plan = Arc::new(plan_evaluation(&features.lengths(), tokens_per_batch));
        Self { features, plan, trunk: None, ranks: Ranks::alone() }
    }

    /// The same, whose batches several ranks share.
    pub fn shared_by(self, ranks: &Ranks) -> Self {
        Self { ranks: ranks.clone(), ..self }
    }

    /// How many batches the rank with the most has.
    pub(super) fn rounds(&self) -> usize {
        self.plan.len().div_ceil(self.ranks.size())
    }

    /// The same with the output of frozen layers for its features.
    pub fn with_trunk(self, trunk: Option<SplitTrunk>) -> Self {
        Self { trunk, ..self }
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }
}

impl DataLoader<MicroBatch> for EvaluationLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<MicroBatch> + 'a> {
        Box::new(EvaluationBatches { loader: self, next: self.ranks.rank() })
    }

    fn num_items(&self) -> usize {
        self.features.len()
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<MicroBatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<MicroBatch>> {
        let plan = self.plan[start..end.min(self.plan.len())].to_vec();
        Arc::new(Self { plan: Arc::new(plan), ..self.clone() })
    }
}

struct EvaluationBatches<'a> {
    loader: &'a EvaluationLoader,
    next: usize,
}

impl Iterator for EvaluationBatches<'_> {
    type Item = Result<MicroBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let loader = self.loader;
        let indices = loader.plan.get(self.next)?;
        let batch = batch(&loader.features, self.next, indices, loader.trunk.as_ref());
        self.next += loader.ranks.size();
        Some(Ok(batch))
    }
}

impl DataLoaderIterator<MicroBatch> for EvaluationBatches<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.next.min(self.loader.plan.len()), self.loader.plan.len(), Some("batches".into()))
    }
}

/// Optimiser steps in one pass over the data; the last may be short.
pub fn steps_per_epoch(features: usize, features_per_step: usize) -> usize {
    features.div_ceil(features_per_step)
}

/// Optimiser steps, epoch after epoch, planned only from the seed.
#[derive(Clone, Debug)]
pub struct StepLoader {
    task: Arc<dyn Task>,
    features: Features,
    settings: BatchSettings,
    seed: u64,
    order_seed: u64,
    first_step: usize,
    total_steps: usize,
    trunk: Option<SplitTrunk>,
}

impl StepLoader {
    /// The steps from `first_step` (counted from 0) up to `total_steps`.
    pub fn new(
        task: Arc<dyn Task>,
        features: Features,
        settings: BatchSettings,
        seed: u64,
        total_steps: usize,
    ) -> Self {
        Self { task, features, settings, seed, order_seed: seed, first_step: 0, total_steps, trunk: None }
    }

    /// The same with an order of examples of another seed; dropout, and what a task draws, keep theirs.
    #[must_use]
    pub fn in_order_of(self, order_seed: u64) -> Self {
        Self { order_seed, ..self }
    }

    /// The same steps without the first ones.
    pub fn after(mut self, steps: usize) -> Self {
        self.first_step = steps;
        self
    }

    /// The same steps without those after that number.
    pub fn until(mut self, steps: usize) -> Self {
        self.total_steps = self.total_steps.min(steps);
        self
    }

    /// The same with the output of frozen layers for its features.
    pub fn with_trunk(self, trunk: Option<SplitTrunk>) -> Self {
        Self { trunk, ..self }
    }

    /// The same features in micro-batches of other size.
    pub fn with_tokens_per_batch(mut self, tokens: usize) -> Self {
        self.settings.tokens_per_batch = tokens;
        self
    }

    /// Tokens of each feature.
    pub fn lengths(&self) -> Vec<u32> {
        self.features.lengths()
    }

    /// Optimiser steps in one pass over the data.
    pub fn steps_per_epoch(&self) -> usize {
        steps_per_epoch(self.features.len(), self.settings.examples_per_step)
    }

    /// The steps of one epoch.
    pub fn plan(&self, epoch: usize) -> Vec<Step> {
        plan_epoch(&self.lengths(), &self.settings, self.order_seed, epoch as u64)
    }

    /// One step, ready to be computed; `number` is counted from 0 over all epochs.
    pub fn step(&self, plan: &Step, number: usize) -> TrainingStep {
        let epoch = (number / self.steps_per_epoch().max(1)) as u64;
        let mut drawn_weight = None;
        let drawn = |(number, indices): (usize, &Vec<usize>)| {
            let mut batch = batch(&self.features, number, indices, self.trunk.as_ref());
            let draw = Draw { seed: self.seed, epoch };
            if let Some(weight) = self.task.redraw(&mut batch.tokens, &mut batch.targets, draw) {
                drawn_weight = Some(drawn_weight.unwrap_or(0.0) + weight);
            }
            batch
        };
        let batches = plan.batches.iter().enumerate().map(drawn).collect();
        let planned = || self.features.weight(plan.batches.iter().flatten().copied());
        TrainingStep {
            batches,
            features: plan.examples(),
            weight: drawn_weight.map_or_else(planned, |weight: f64| weight.max(1.0)),
            dropout_seed: self.dropout_seed(number),
            share: 0,
        }
    }

    /// Dropout depends only on the seed and the step's number, so that a resumed run draws what
    /// an uninterrupted one would have drawn.
    fn dropout_seed(&self, number: usize) -> u64 {
        self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number as u64).wrapping_mul(0xd1b5_4a32_d192_ed03)
    }
}

impl DataLoader<TrainingStep> for StepLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainingStep> + 'a> {
        let steps = Steps { loader: self.clone(), next: self.first_step, epoch: None };
        Box::new(StepsAhead { steps: Ahead::new(steps), done: self.first_step, total: self.total_steps })
    }

    fn num_items(&self) -> usize {
        self.total_steps - self.first_step
    }

    // Steps are host data until the model computes them.
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<TrainingStep>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainingStep>> {
        let first_step = self.first_step + start;
        let total_steps = (self.first_step + end).min(self.total_steps);
        Arc::new(Self { first_step, total_steps, ..self.clone() })
    }
}

/// Steps, made when they are asked for.
#[derive(Clone)]
struct Steps {
    loader: StepLoader,
    next: usize,
    epoch: Option<(usize, Vec<Step>)>,
}

impl Iterator for Steps {
    type Item = TrainingStep;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.loader.total_steps {
            return None;
        }
        let steps_per_epoch = self.loader.steps_per_epoch();
        let (epoch, index) = (self.next / steps_per_epoch, self.next % steps_per_epoch);
        if self.epoch.as_ref().is_none_or(|(planned, _)| *planned != epoch) {
            self.epoch = Some((epoch, self.loader.plan(epoch)));
        }
        let (_, steps) = self.epoch.as_ref()?;
        let step = self.loader.step(&steps[index], self.next);
        self.next += 1;
        Some(step)
    }
}

/// The same steps, made while others are computed.
struct StepsAhead {
    steps: Ahead<Steps>,
    done: usize,
    total: usize,
}

impl Iterator for StepsAhead {
    type Item = Result<TrainingStep, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        self.done += 1;
        Some(Ok(step))
    }
}

impl DataLoaderIterator<TrainingStep> for StepsAhead {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.total, Some("steps".into()))
    }
}
