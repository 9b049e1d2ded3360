//! A model with its task, as burn-train's Learner takes it: one step of training, one of prediction.

use std::sync::Arc;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, ExecutionError, Tensor};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use temper_data::Batch;
use temper_freeze::{ClipFactor, GradientSquares};
use temper_models::{Mode, Model, Tape, TokenBatch};

use super::exchange::StepExchange;
use super::trunk::SplitTrunk;
use crate::examples::Target;
use crate::ranks::Ranks;
use crate::tasks::{Output, Task};

/// Offset of the dropout seeds of other devices' shares, beyond the micro-batches of one device.
const FIRST_SHARE: usize = 1 << 24;

/// A part of an optimiser step that fits the token budget.
#[derive(Clone, Debug)]
pub struct MicroBatch {
    /// Its number in the step, from which its dropout masks follow.
    pub number: usize,
    /// Packed token ids.
    pub tokens: Batch,
    /// One a sequence.
    pub targets: Vec<Target>,
    /// The output of frozen layers for the features of its split, if it is cached.
    pub trunk: Option<SplitTrunk>,
}

impl MicroBatch {
    /// Its first and its last features; with two or more features neither half is empty.
    pub(super) fn halves(self) -> [Self; 2] {
        let count = self.targets.len() / 2;
        let [first, last] = self.tokens.split_at(count);
        let mut targets = self.targets;
        let of_last = targets.split_off(count);
        [
            Self { number: self.number, tokens: first, targets, trunk: self.trunk.clone() },
            Self { number: self.number, tokens: last, targets: of_last, trunk: self.trunk },
        ]
    }

    /// The batch as a model reads it, with the output of its frozen layers for it if it is cached.
    fn to_device(&self, model: &Model, device: &Device) -> TokenBatch {
        let Batch { ids, type_ids, lengths, examples: features } = &self.tokens;
        let batch = TokenBatch::new(ids, type_ids, lengths, device);
        match &self.trunk {
            Some(trunk) => trunk.attach(model, batch, features, device),
            None => batch,
        }
    }
}

/// The input of one optimiser step.
#[derive(Clone, Debug)]
pub struct TrainingStep {
    /// Its parts; their gradients add up to those of one big batch.
    pub batches: Vec<MicroBatch>,
    /// Features in all parts.
    pub features: usize,
    /// The weights of their targets together: what the sum of their losses is divided by.
    pub weight: f64,
    /// Seed of the dropout masks.
    pub dropout_seed: u64,
    /// Index of this part, if several devices share the step.
    pub share: usize,
}

impl TrainingStep {
    /// Tokens of all parts.
    pub fn tokens(&self) -> usize {
        self.batches.iter().map(|batch| batch.tokens.tokens()).sum()
    }

    /// The parts that one of several ranks computes: each with the number and the weight that it has in the whole.
    pub(super) fn of_rank(mut self, ranks: &Ranks) -> Self {
        self.batches.retain(|batch| batch.number % ranks.size() == ranks.rank());
        self
    }
}

/// A step's mean loss and what it worked on.
#[derive(Clone, Debug)]
pub struct StepOutput {
    /// Mean over the targets, `[1]`, on the device and outside of autodiff: reading it waits for the device.
    pub loss: Tensor<1>,
    /// Features.
    pub features: usize,
    /// Tokens.
    pub tokens: usize,
    /// Index of this part, if several devices share the step.
    pub share: usize,
}

impl StepOutput {
    /// A step that has not started.
    pub(super) fn none(features: usize, device: &Device) -> Self {
        let loss = Tensor::zeros([1], &device.clone().inner());
        Self { loss, features, tokens: 0, share: 0 }
    }
}

impl ItemLazy for StepOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// A model's outputs for a batch, on the host.
#[derive(Debug)]
pub struct BatchOutputs {
    /// One a sequence.
    pub outputs: Vec<Output>,
    /// Each sequence's index in its split.
    pub features: Vec<usize>,
}

impl ItemLazy for BatchOutputs {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// A model with its task, as burn-train's Learner takes it.
#[derive(Module, Debug)]
pub struct TaskModel {
    /// The model.
    pub model: Model,
    #[module(skip)]
    pub(super) task: Arc<dyn Task>,
    #[module(skip)]
    pub(super) exchange: StepExchange,
    #[module(skip)]
    pub(super) max_grad_norm: f64,
    #[module(skip)]
    pub(super) clip: ClipFactor,
    #[module(skip)]
    pub(super) frozen_dropout: bool,
    #[module(skip)]
    pub(super) checkpointing: bool,
}

impl TaskModel {
    /// Joins a model and a task.
    pub fn new(model: Model, task: Arc<dyn Task>) -> Self {
        let (exchange, clip) = (StepExchange::default(), ClipFactor::default());
        Self {
            model,
            task,
            exchange,
            max_grad_norm: f64::INFINITY,
            clip,
            frozen_dropout: true,
            checkpointing: false,
        }
    }

    /// Clips the common norm of all gradients, through the factor that the optimiser reads.
    pub fn with_clipping(self, max_grad_norm: f64, clip: &ClipFactor) -> Self {
        Self { max_grad_norm, clip: clip.clone(), ..self }
    }

    /// Whether layers that do not train drop out in training; by default they do.
    pub fn with_frozen_dropout(self, frozen_dropout: bool) -> Self {
        Self { frozen_dropout, ..self }
    }

    /// Whether layers are computed again in the backward pass; by default they keep what they compute.
    pub fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self { checkpointing, ..self }
    }
}

impl TrainStep for TaskModel {
    type Input = TrainingStep;
    type Output = StepOutput;

    fn step(&self, item: TrainingStep) -> TrainOutput<StepOutput> {
        let device = self.devices()[0].clone();
        let mode = match self.frozen_dropout {
            true => Mode::train(item.dropout_seed),
            false => Mode::train(item.dropout_seed).without_frozen_dropout(),
        };
        let mut output = StepOutput { share: item.share, ..StepOutput::none(item.features, &device) };
        let mut accumulator = GradientsAccumulator::new();
        // Parts that several devices compute draw masks of their own.
        let mode = if item.share == 0 { mode } else { mode.child(FIRST_SHARE + item.share) };
        for batch in &item.batches {
            // Backends without kernels of their own draw masks from the device's generator.
            device.seed(item.dropout_seed.wrapping_add(batch.number as u64));
            let tape = self.checkpointing.then(Tape::default);
            let tokens = batch.to_device(&self.model, &device);
            let tokens = self.task.with_decoder(tokens, &batch.targets, &device);
            let tokens = tape.iter().fold(tokens, TokenBatch::with_tape);
            let sum = self.task.loss(&self.model, &tokens, &batch.targets, mode.child(batch.number));
            let loss = sum / item.weight;
            output.loss = output.loss + loss.clone().inner();
            output.tokens += batch.tokens.tokens();
            let gradients = match tape {
                Some(tape) => tape.backward(loss, self),
                None => GradientsParams::from_grads(loss.backward(), self),
            };
            accumulator.accumulate(self, gradients);
        }
        TrainOutput { grads: accumulator.grads(), item: output }
    }

    fn optimize(self, optim: &mut ModuleOptimizer, rate: ModuleLearningRate, grads: GradientsParams) -> Self {
        let squares = GradientSquares::of(&self, &grads);
        // A clip factor of zero means that a gradient is NaN or infinite, and the optimiser skips the step.
        self.clip.set(squares.clip_factor(self.max_grad_norm as f32));
        let exchange = self.exchange.clone();
        let clip = self.clip.clone();
        let updated = clip.step(optim, rate, self, grads);
        exchange.put_squares(squares);
        if exchange.record_is_wanted() {
            exchange.put_record(optim.to_record());
        }
        match exchange.take_unfreezing() {
            Some(next) => next.plan.apply_at(updated, next.step),
            None => updated,
        }
    }
}

impl InferenceStep for TaskModel {
    type Input = MicroBatch;
    type Output = BatchOutputs;

    fn step(&self, item: MicroBatch) -> BatchOutputs {
        let device = self.devices()[0].clone();
        let tokens = item.to_device(&self.model, &device);
        let tokens = self.task.with_decoder(tokens, &item.targets, &device);
        let outputs = self.task.outputs(&self.model, &tokens, &item.targets);
        BatchOutputs { outputs, features: item.tokens.examples }
    }
}
