use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use temper_data::{BatchSettings, EncodedSet, Step, collate, plan_epoch, plan_evaluation};

use super::ahead::Ahead;
use super::learner::{MicroBatch, TrainingStep};
use super::trunk::SplitTrunk;
use crate::tasks::Task;

/// The encoded examples of a split with their targets.
#[derive(Clone, Debug)]
pub struct Examples<T: Task> {
    /// Token ids.
    pub encoded: Arc<EncodedSet>,
    /// One an example.
    pub targets: Arc<Vec<T::Target>>,
}

impl<T: Task> Examples<T> {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The first examples, `count` at most.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        let items = self.encoded.items[..count].to_vec();
        Self {
            encoded: Arc::new(EncodedSet::new(items, self.encoded.from_cache)),
            targets: Arc::new(self.targets[..count].to_vec()),
        }
    }

    fn batch(&self, indices: &[usize]) -> MicroBatch<T> {
        MicroBatch {
            tokens: collate(&self.encoded, indices),
            targets: indices.iter().map(|&index| self.targets[index].clone()).collect(),
            trunk: None,
        }
    }
}

/// The batches of an evaluation, longest examples first.
#[derive(Clone, Debug)]
pub struct EvaluationLoader<T: Task> {
    examples: Examples<T>,
    plan: Arc<Vec<Vec<usize>>>,
    trunk: Option<SplitTrunk>,
}

impl<T: Task> EvaluationLoader<T> {
    /// Batches of at most `tokens_per_batch` tokens.
    pub fn new(examples: Examples<T>, tokens_per_batch: usize) -> Self {
        let plan = Arc::new(plan_evaluation(&examples.encoded.lengths(), tokens_per_batch));
        Self { examples, plan, trunk: None }
    }

    /// The same with what frozen layers make of its examples.
    pub fn with_trunk(self, trunk: Option<SplitTrunk>) -> Self {
        Self { trunk, ..self }
    }

    /// What the examples should yield.
    pub fn targets(&self) -> &[T::Target] {
        &self.examples.targets
    }
}

impl<T: Task> DataLoader<MicroBatch<T>> for EvaluationLoader<T> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<MicroBatch<T>> + 'a> {
        Box::new(EvaluationBatches { loader: self, next: 0 })
    }

    fn num_items(&self) -> usize {
        self.examples.len()
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<MicroBatch<T>>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<MicroBatch<T>>> {
        let plan = self.plan[start..end.min(self.plan.len())].to_vec();
        Arc::new(Self { plan: Arc::new(plan), ..self.clone() })
    }
}

struct EvaluationBatches<'a, T: Task> {
    loader: &'a EvaluationLoader<T>,
    next: usize,
}

impl<T: Task> Iterator for EvaluationBatches<'_, T> {
    type Item = Result<MicroBatch<T>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let indices = self.loader.plan.get(self.next)?;
        self.next += 1;
        let batch = self.loader.examples.batch(indices);
        Some(Ok(MicroBatch { trunk: self.loader.trunk.clone(), ..batch }))
    }
}

impl<T: Task> DataLoaderIterator<MicroBatch<T>> for EvaluationBatches<'_, T> {
    fn progress(&self) -> Progress {
        Progress::new(self.next, self.loader.plan.len(), Some("batches".into()))
    }
}

/// Optimiser steps in one pass over the data; the last may be short.
pub fn steps_per_epoch(examples: usize, examples_per_step: usize) -> usize {
    examples.div_ceil(examples_per_step)
}

/// Optimiser steps, epoch after epoch, planned from the seed alone.
#[derive(Clone, Debug)]
pub struct StepLoader<T: Task> {
    examples: Examples<T>,
    settings: BatchSettings,
    seed: u64,
    first_step: usize,
    total_steps: usize,
    trunk: Option<SplitTrunk>,
}

impl<T: Task> StepLoader<T> {
    /// The steps from `first_step` (counted from 0) up to `total_steps`.
    pub fn new(examples: Examples<T>, settings: BatchSettings, seed: u64, total_steps: usize) -> Self {
        Self { examples, settings, seed, first_step: 0, total_steps, trunk: None }
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

    /// The same with what frozen layers make of its examples.
    pub fn with_trunk(self, trunk: Option<SplitTrunk>) -> Self {
        Self { trunk, ..self }
    }

    /// The same examples in micro-batches of other size.
    pub fn with_tokens_per_batch(mut self, tokens: usize) -> Self {
        self.settings.tokens_per_batch = tokens;
        self
    }

    /// Tokens of each example.
    pub fn lengths(&self) -> Vec<u32> {
        self.examples.encoded.lengths()
    }

    /// The steps of one epoch.
    pub fn plan(&self, epoch: usize) -> Vec<Step> {
        plan_epoch(&self.lengths(), &self.settings, self.seed, epoch as u64)
    }

    /// One step, ready to be computed.
    pub fn step(&self, plan: &Step, number: usize) -> TrainingStep<T> {
        TrainingStep {
            batches: plan.batches.iter().map(|indices| self.batch(indices)).collect(),
            examples: plan.examples(),
            dropout_seed: self.dropout_seed(number),
            share: 0,
        }
    }

    fn batch(&self, indices: &[usize]) -> MicroBatch<T> {
        MicroBatch { trunk: self.trunk.clone(), ..self.examples.batch(indices) }
    }

    /// Dropout depends on the seed and the step's number alone, so that a resumed run draws what
    /// an uninterrupted one would have drawn.
    fn dropout_seed(&self, number: usize) -> u64 {
        self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number as u64).wrapping_mul(0xd1b5_4a32_d192_ed03)
    }
}

impl<T: Task> DataLoader<TrainingStep<T>> for StepLoader<T> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainingStep<T>> + 'a> {
        let steps = Steps { loader: self.clone(), next: self.first_step, epoch: None };
        Box::new(StepsAhead { steps: Ahead::new(steps), done: self.first_step, total: self.total_steps })
    }

    fn num_items(&self) -> usize {
        self.total_steps - self.first_step
    }

    // Steps are host data until the model computes them.
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<TrainingStep<T>>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainingStep<T>>> {
        let first_step = self.first_step + start;
        let total_steps = (self.first_step + end).min(self.total_steps);
        Arc::new(Self { first_step, total_steps, ..self.clone() })
    }
}

/// Steps, made when they are asked for.
#[derive(Clone)]
struct Steps<T: Task> {
    loader: StepLoader<T>,
    next: usize,
    epoch: Option<(usize, Vec<Step>)>,
}

impl<T: Task> Iterator for Steps<T> {
    type Item = TrainingStep<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.loader.total_steps {
            return None;
        }
        let examples_per_step = self.loader.settings.examples_per_step;
        let steps_per_epoch = steps_per_epoch(self.loader.examples.len(), examples_per_step);
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
struct StepsAhead<T: Task> {
    steps: Ahead<Steps<T>>,
    done: usize,
    total: usize,
}

impl<T: Task> Iterator for StepsAhead<T> {
    type Item = Result<TrainingStep<T>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        self.done += 1;
        Some(Ok(step))
    }
}

impl<T: Task> DataLoaderIterator<TrainingStep<T>> for StepsAhead<T> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.total, Some("steps".into()))
    }
}

#[cfg(test)]
mod tests {
    use temper_data::Encoded;

    use super::*;
    use crate::tasks::TextClassification;

    /// Examples that differ in length and content.
    fn loader() -> StepLoader<TextClassification> {
        let item = |example: u32| Encoded {
            ids: (0..=example % 5).map(|place| 10 * example + place).collect(),
            type_ids: vec![0; example as usize % 5 + 1],
            tokens_lost: 0,
            lost_is_estimate: false,
        };
        let encoded = Arc::new(EncodedSet::new((0..23).map(item).collect(), false));
        let examples = Examples { encoded, targets: Arc::new((0..23).collect()) };
        let settings = BatchSettings { examples_per_step: 4, tokens_per_batch: 6, shuffle: true };
        StepLoader::new(examples, settings, 42, 17)
    }

    /// Token ids and targets of each micro-batch, and the seed of the masks.
    type Content = (Vec<(Vec<u32>, Vec<usize>)>, u64);

    fn content(step: &TrainingStep<TextClassification>) -> Content {
        let batches = step.batches.iter().map(|batch| (batch.tokens.ids.clone(), batch.targets.clone()));
        (batches.collect(), step.dropout_seed)
    }

    #[test]
    fn steps_made_ahead_are_those_of_the_plan() {
        let loader = loader();
        // Six steps an epoch: nearly three epochs.
        let plan: Vec<Step> = (0..3).flat_map(|epoch| loader.plan(epoch)).collect();
        let planned =
            plan.iter().enumerate().take(17).map(|(number, step)| content(&loader.step(step, number)));
        let planned: Vec<_> = planned.collect();
        for first in [0, 5, 6, 16] {
            let loader = loader.clone().after(first);
            let mut steps = loader.iter();
            let made: Vec<_> = steps.by_ref().map(|step| content(&step.unwrap())).collect();
            assert_eq!(made, planned[first..]);
            assert_eq!(steps.progress().items_processed, 17);
        }
    }

    #[test]
    fn an_iteration_that_is_left_early_disturbs_no_other() {
        let loader = loader();
        let first = || content(&loader.iter().next().unwrap().unwrap());
        assert_eq!(first(), first());
        assert_eq!(loader.iter().count(), 17);
    }
}
