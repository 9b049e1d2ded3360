use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::ExecutionError;
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use temper_data::Batch;
use temper_freeze::{clip_global_norm, gradient_norms};
use temper_models::{Mode, Model, TokenBatch};

use super::exchange::StepExchange;
use crate::tasks::Task;

/// A part of an optimiser step that fits the token budget.
#[derive(Clone, Debug)]
pub struct MicroBatch<T: Task> {
    /// Padded token ids.
    pub tokens: Batch,
    /// One a row.
    pub targets: Vec<T::Target>,
}

impl<T: Task> MicroBatch<T> {
    fn to_device(&self, device: &burn::tensor::Device) -> TokenBatch {
        let Batch { ids, type_ids, lengths, seq, .. } = &self.tokens;
        TokenBatch::new(ids, type_ids, lengths, *seq, device)
    }
}

/// Everything that one optimiser step computes on.
#[derive(Clone, Debug)]
pub struct TrainingStep<T: Task> {
    /// Its parts; their gradients add up to those of one big batch.
    pub batches: Vec<MicroBatch<T>>,
    /// Examples in all parts.
    pub examples: usize,
    /// Seed of the dropout masks.
    pub dropout_seed: u64,
}

/// A step's mean loss and what it worked on.
#[derive(Clone, Copy, Debug)]
pub struct StepOutput {
    /// Mean over the examples.
    pub loss: f64,
    /// Examples.
    pub examples: usize,
    /// Tokens, padding excluded.
    pub tokens: usize,
    /// Tokens, padding included.
    pub padded_tokens: usize,
}

impl ItemLazy for StepOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// The predictions of a batch, on the host.
#[derive(Debug)]
pub struct BatchPredictions<T: Task> {
    /// One a row.
    pub predictions: Vec<T::Prediction>,
    /// Each row's index in its split.
    pub examples: Vec<usize>,
}

impl<T: Task> ItemLazy for BatchPredictions<T> {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// A model with its task, as burn-train's Learner takes it.
#[derive(Module, Debug)]
pub struct TaskModel<T: Task> {
    /// The model.
    pub model: Model,
    #[module(skip)]
    pub(super) task: T,
    #[module(skip)]
    pub(super) exchange: StepExchange,
    #[module(skip)]
    pub(super) max_grad_norm: f64,
}

impl<T: Task> TaskModel<T> {
    /// Joins a model and a task.
    pub fn new(model: Model, task: T, max_grad_norm: f64) -> Self {
        Self { model, task, exchange: StepExchange::default(), max_grad_norm }
    }
}

impl<T: Task> TrainStep for TaskModel<T> {
    type Input = TrainingStep<T>;
    type Output = StepOutput;

    fn step(&self, item: TrainingStep<T>) -> TrainOutput<StepOutput> {
        let device = self.devices()[0].clone();
        device.seed(item.dropout_seed);
        let mut output = StepOutput { loss: 0.0, examples: item.examples, tokens: 0, padded_tokens: 0 };
        let mut accumulator = GradientsAccumulator::new();
        for batch in &item.batches {
            let tokens = batch.to_device(&device);
            let sum = self.task.loss(&self.model, &tokens, &batch.targets, Mode::Train);
            let loss = sum / item.examples as f64;
            output.loss += f64::from(loss.clone().into_scalar::<f32>());
            output.tokens += batch.tokens.lengths.iter().sum::<u32>() as usize;
            output.padded_tokens += batch.tokens.rows * batch.tokens.seq;
            accumulator.accumulate(self, GradientsParams::from_grads(loss.backward(), self));
        }
        TrainOutput { grads: accumulator.grads(), item: output }
    }

    fn optimize(self, optim: &mut ModuleOptimizer, rate: ModuleLearningRate, grads: GradientsParams) -> Self {
        let norms = gradient_norms(&self, &grads);
        let grads = clip_global_norm(&self, grads, &norms, self.max_grad_norm as f32);
        let exchange = self.exchange.clone();
        // A step on gradients that are no numbers would spoil the parameters for good.
        let updated = if norms.total.is_finite() { optim.step(rate, self, grads) } else { self };
        exchange.put_norms(norms);
        if exchange.record_is_wanted() {
            exchange.put_record(optim.to_record());
        }
        updated
    }
}

impl<T: Task> InferenceStep for TaskModel<T> {
    type Input = MicroBatch<T>;
    type Output = BatchPredictions<T>;

    fn step(&self, item: MicroBatch<T>) -> BatchPredictions<T> {
        let device = self.devices()[0].clone();
        let predictions = self.task.predict(&self.model, &item.to_device(&device));
        BatchPredictions { predictions, examples: item.tokens.examples }
    }
}
