use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burn::tensor::Device;
use burn::train::{
    Learner, SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor, TrainLoader,
    TrainingComponents, TrainingStrategy, ValidLoader,
};
use indicatif::ProgressBar;
use temper_freeze::{FreezePlan, TrainingProof, trunk_depth};
use temper_models::ModelConfig;

use super::checkpoint::{CheckpointState, Checkpoints};
use super::evaluation::evaluate;
use super::exchange::Unfreezing;
use super::journal::{EvaluationRow, Journal, JournalRow, StepRow};
use super::learner::{TaskModel, TrainingStep};
use super::loader::{EvaluationLoader, StepLoader};
use super::parallel::Workers;
use super::progress::Progress;
use super::readings::{Reading, Unreads};
use super::renderer::Silent;
use super::trunk::Trunks;
use crate::TrainError;
use crate::tasks::Task;

/// The step after which the training proof is checked for the first time; the last is the other.
const FIRST_PROOF: usize = 3;

/// When what happens, in optimiser steps.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Length of the run.
    pub total_steps: usize,
    /// Steps in one pass over the data.
    pub steps_per_epoch: usize,
    /// Steps between two evaluations.
    pub eval_every: usize,
    /// Steps between two checkpoints.
    pub save_every: usize,
    /// Steps between two rows of metrics.jsonl.
    pub log_every: usize,
}

/// What follows a step.
struct Due {
    prove: bool,
    log: bool,
    evaluate: bool,
    save: bool,
}

impl Due {
    fn anything(&self) -> bool {
        self.prove || self.log || self.evaluate || self.save
    }
}

impl Schedule {
    /// What follows the step of that number, counted from 1; `unfreezes` if more trains from the next one on.
    fn due(&self, number: usize, unfreezes: bool, stopping: bool) -> Due {
        let is_last = number == self.total_steps;
        Due {
            prove: number == FIRST_PROOF || is_last || unfreezes,
            log: number.is_multiple_of(self.log_every) || is_last,
            evaluate: number.is_multiple_of(self.eval_every) || is_last,
            // After the last step the model itself is saved.
            save: !is_last && (stopping || number.is_multiple_of(self.save_every)),
        }
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps, times, best score.
    pub state: CheckpointState,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// Steps after which the proof was checked, since the run was last started.
    pub proofs: Vec<usize>,
}

/// burn-train's loop in optimiser steps: logs, evaluates, saves and proves as it goes.
pub struct Stepwise<T: Task> {
    /// When what happens.
    pub schedule: Schedule,
    /// The split that chooses the best model.
    pub validation: EvaluationLoader<T>,
    /// Written beside every saved model.
    pub config: ModelConfig,
    /// What should train.
    pub plan: FreezePlan,
    /// What frozen layers make of examples.
    pub trunks: Trunks,
    /// Where models are saved.
    pub checkpoints: Checkpoints,
    /// Where rows go.
    pub journal: Mutex<Journal>,
    /// What a person sees.
    pub progress: Progress,
    /// Where the run goes on from.
    pub resumed: CheckpointState,
    /// What computes the steps; the model lies on the first.
    pub devices: Vec<Device>,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    /// What became of the run.
    pub outcome: Mutex<Option<Result<Outcome, TrainError>>>,
}

/// Runs a learner under the strategy.
///
/// # Errors
/// Whatever ended the run early: [`TrainError::Diverged`], [`TrainError::ProofFailed`],
/// [`TrainError::File`].
pub fn train<T: Task>(
    learner: Learner<TaskModel<T>>,
    steps: StepLoader<T>,
    strategy: Stepwise<T>,
    dir: &Path,
) -> Result<(TaskModel<T>, Outcome), TrainError> {
    let strategy = Arc::new(strategy);
    let result = SupervisedTraining::new(dir, Arc::new(steps), Arc::new(strategy.validation.clone()))
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()))
        .with_application_logger(None)
        .renderer(Box::new(Silent))
        .launch(learner);
    if let Some(error) = result.error {
        return Err(TrainError::Learner(error.to_string()));
    }
    let outcome = strategy.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let outcome = outcome.unwrap_or_else(|| Err(TrainError::Learner("the strategy did not run".into())))?;
    Ok((result.model, outcome))
}

impl<T: Task> SupervisedLearningStrategy<TaskModel<T>> for Stepwise<T> {
    fn fit(
        &self,
        components: TrainingComponents<TaskModel<T>>,
        mut learner: Learner<TaskModel<T>>,
        steps: TrainLoader<TaskModel<T>>,
        _validation: ValidLoader<TaskModel<T>>,
        _starting_epoch: usize,
    ) -> (TaskModel<T>, SupervisedTrainingEventProcessor<TaskModel<T>>) {
        let outcome = self.run(&mut learner, &steps);
        *self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
        (learner.model(), components.event_processor)
    }
}

impl<T: Task> Stepwise<T> {
    fn run(
        &self,
        learner: &mut Learner<TaskModel<T>>,
        steps: &TrainLoader<TaskModel<T>>,
    ) -> Result<Outcome, TrainError> {
        let total_steps = self.schedule.total_steps;
        let mut state = self.resumed.clone();
        let mut proof = TrainingProof::begin(&learner.model());
        let mut proofs = Vec::new();
        let mut window = Window { started_at: state.training_seconds, ..Window::default() };
        let mut unread = Unreads::default();
        let workers = (self.devices.len() > 1).then(|| Workers::new(&self.devices));
        let bar = self.progress.training(state.step, total_steps);
        self.prepare_trunks(learner, state.step);
        for step in steps.iter() {
            let step = step.map_err(|error| TrainError::Learner(error.to_string()))?;
            let stopping = self.stop.load(Ordering::Relaxed);
            let unfreezes = self.plan.unfreezes_at(state.step + 1);
            let due = self.schedule.due(state.step + 1, unfreezes, stopping);
            if unfreezes {
                let unfreezing = Unfreezing { plan: self.plan.clone(), step: state.step + 1 };
                learner.model().exchange.unfreeze(unfreezing);
            }
            if due.save {
                learner.model().exchange.ask_for_record();
            }
            self.step(learner, workers.as_ref(), step, &mut state, &mut unread)?;
            if due.anything() || unread.is_full() {
                self.read(&mut unread, &mut state, &mut window, &mut proof)?;
            }
            bar.set_position(state.step as u64);
            if due.prove {
                self.prove(&proof, &learner.model(), state.step)?;
                proofs.push(state.step);
            }
            if unfreezes {
                self.prepare_trunks(learner, state.step);
                let trained = self.plan.trainable_in(state.step);
                self.progress.line_above(
                    &bar,
                    &format!("unfreezing after step {}: {trained} parameters train now", state.step),
                );
            }
            if due.log {
                self.log(&mut window, &state, learner.lr_current().base(), &bar)?;
            }
            if due.evaluate {
                self.evaluate(&learner.model(), &mut state, &bar)?;
            }
            if due.save
                && let Some(record) = learner.model().exchange.take_record()
            {
                self.checkpoints.save(&learner.model().model, &self.config, record, &state)?;
            }
            if stopping && state.step < total_steps {
                bar.abandon();
                return Ok(Outcome { state, interrupted: true, proofs });
            }
        }
        bar.finish_and_clear();
        Ok(Outcome { state, interrupted: false, proofs })
    }

    /// One optimiser step; a GPU may still be at it afterwards.
    fn step(
        &self,
        learner: &mut Learner<TaskModel<T>>,
        workers: Option<&Workers<T>>,
        step: TrainingStep<T>,
        state: &mut CheckpointState,
        unread: &mut Unreads,
    ) -> Result<(), TrainError> {
        let started = Instant::now();
        let output = match workers {
            Some(workers) => workers.train_step(&learner.model(), step),
            None => learner.train_step(step),
        };
        learner.lr_step();
        learner.optimizer_step(output.grads);
        state.step += 1;
        state.training_seconds += started.elapsed().as_secs_f64();
        state.tokens += output.item.tokens;
        unread.add(state.step, output.item, learner.model().exchange.take_squares());
        self.trunks.check()
    }

    /// Waits for the steps so far; all their losses and gradients are finite.
    fn read(
        &self,
        unread: &mut Unreads,
        state: &mut CheckpointState,
        window: &mut Window,
        proof: &mut TrainingProof,
    ) -> Result<(), TrainError> {
        let started = Instant::now();
        let readings = unread.read();
        state.training_seconds += started.elapsed().as_secs_f64();
        for reading in readings {
            self.check_finite(&reading)?;
            proof.observe(&reading.norms);
            window.add(&reading);
        }
        Ok(())
    }

    /// Keeps what the layers make that are frozen in that step, counted from 0, and no others.
    fn prepare_trunks(&self, learner: &Learner<TaskModel<T>>, step: usize) {
        let depth = trunk_depth(&self.plan, step);
        for line in self.trunks.at_depth(&learner.model().model, depth) {
            self.progress.line(&line);
        }
    }

    fn check_finite(&self, reading: &Reading) -> Result<(), TrainError> {
        let step = reading.step;
        if !reading.loss.is_finite() {
            return Err(TrainError::Diverged { step, what: "the loss".into() });
        }
        match reading.norms.each.iter().find(|(_, norm)| !norm.is_finite()) {
            None => Ok(()),
            Some(&(id, _)) => {
                let path = self.plan.path_of(id).unwrap_or("a parameter");
                Err(TrainError::Diverged { step, what: format!("the gradient of {path}") })
            }
        }
    }

    fn prove(&self, proof: &TrainingProof, model: &TaskModel<T>, step: usize) -> Result<(), TrainError> {
        let violations = if step == self.schedule.total_steps {
            proof.violations(model, &self.plan, step)
        } else {
            proof.early_violations(model, &self.plan, step)
        };
        if violations.is_empty() { Ok(()) } else { Err(TrainError::ProofFailed { step, violations }) }
    }

    fn epoch(&self, step: usize) -> f64 {
        step as f64 / self.schedule.steps_per_epoch as f64
    }

    fn write(&self, row: JournalRow) -> Result<(), TrainError> {
        self.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(&row)
    }

    fn log(
        &self,
        window: &mut Window,
        state: &CheckpointState,
        rate: f64,
        bar: &ProgressBar,
    ) -> Result<(), TrainError> {
        let next = Window { started_at: state.training_seconds, ..Window::default() };
        let (step, seconds) = (state.step, state.training_seconds);
        let row = std::mem::replace(window, next).row(step, self.epoch(step), rate, seconds);
        let text = format!(
            "loss {:.4}  lr {:.2e}  grad norm {:.2}  {:.0} tokens/s",
            row.loss, row.learning_rate, row.grad_norm, row.tokens_per_second
        );
        bar.set_message(text.clone());
        self.progress.line_above(bar, &format!("step {step}/{}  {text}", self.schedule.total_steps));
        self.write(JournalRow::Train(row))
    }

    fn evaluate(
        &self,
        model: &TaskModel<T>,
        state: &mut CheckpointState,
        bar: &ProgressBar,
    ) -> Result<(), TrainError> {
        let scores = evaluate(model, &self.validation, &self.progress).scores;
        self.trunks.check()?;
        let best = state.best.is_none_or(|(before, _)| scores.headline() > before);
        if best {
            self.checkpoints.save_best(&model.model, &self.config)?;
            state.best = Some((scores.headline(), state.step));
        }
        let metrics: Vec<String> =
            scores.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        let mark = if best { "  (best so far)" } else { "" };
        self.progress.line_above(bar, &format!("validation: {}{mark}", metrics.join("  ")));
        self.write(JournalRow::Eval(EvaluationRow {
            step: state.step,
            epoch: self.epoch(state.step),
            metrics: scores.metrics.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            best,
        }))
    }
}

/// Sums since the last logged row.
#[derive(Default)]
struct Window {
    steps: usize,
    loss: f64,
    grad_norm: f64,
    tokens: usize,
    /// Seconds of training before it.
    started_at: f64,
}

impl Window {
    fn add(&mut self, reading: &Reading) {
        self.steps += 1;
        self.loss += reading.loss;
        self.grad_norm += f64::from(reading.norms.total);
        self.tokens += reading.tokens;
    }

    fn row(self, step: usize, epoch: f64, learning_rate: f64, training_seconds: f64) -> StepRow {
        let seconds = training_seconds - self.started_at;
        let steps = self.steps.max(1) as f64;
        StepRow {
            step,
            epoch,
            loss: self.loss / steps,
            learning_rate,
            grad_norm: self.grad_norm / steps,
            tokens_per_second: self.tokens as f64 / seconds.max(1e-9),
        }
    }
}
