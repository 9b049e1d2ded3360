//! The training loop: optimiser steps, and what follows each.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burn::optim::OptimizerRecord;
use burn::tensor::Device;
use burn::train::{
    Learner, SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor, TrainLoader,
    TrainingComponents, TrainingStrategy, ValidLoader,
};
use indicatif::ProgressBar;
use temper_files::Checksums;
use temper_freeze::{FreezePlan, TrainingProof, trunk_depth};
use temper_models::ModelConfig;

use super::averaging::WeightAverage;
use super::checkpoint::{CheckpointContent, CheckpointState, Checkpoints};
use super::exchange::Unfreezing;
use super::finite::first_not_finite;
use super::journal::{CheckpointRow, JournalRow};
use super::learner::{StepOutput, TaskModel, TrainingStep};
use super::loader::{EvaluationLoader, StepLoader};
use super::log_sums::{LogSums, RowPlace, losses_with};
use super::logs::Logs;
use super::parallel::Workers;
use super::progress::Progress;
use super::readings::{StepReading, Unreads};
use super::renderer::Silent;
use super::schedule::{Due, Schedule};
use super::selection::Selection;
use super::sharing::{Asked, compare_parameters, sum_step};
use super::trunk::Trunks;
use crate::TrainError;
use crate::ranks::Ranks;
use crate::signals::{Signals, Stop};
use crate::tasks::Examples;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps, times, best score.
    pub state: CheckpointState,
    /// Why it ended before its last step, with a checkpoint.
    pub stopped: Option<Stop>,
}

/// burn-train's loop in optimiser steps: logs, evaluates, saves and proves as it goes.
pub struct Stepwise {
    /// The steps at which things are due.
    pub schedule: Schedule,
    /// How the best model is chosen, and when training ends early.
    pub selection: Selection,
    /// The validation split, which chooses the best model.
    pub validation: EvaluationLoader,
    /// Its examples.
    pub examples: Arc<dyn Examples>,
    /// Written next to every saved model.
    pub config: ModelConfig,
    /// What should train.
    pub plan: FreezePlan,
    /// The output of frozen layers for each example.
    pub trunks: Trunks,
    /// Where models are saved.
    pub checkpoints: Checkpoints,
    /// Where rows go; nowhere on ranks other than the first.
    pub logs: Option<Mutex<Logs>>,
    /// The average of the weights so far, where one is kept: evaluated and saved in place of the weights.
    pub average: Mutex<Option<WeightAverage>>,
    /// Progress output.
    pub progress: Progress,
    /// Where the run continues from.
    pub resumed: CheckpointState,
    /// The hashes of the files of the checkpoint that it continues from.
    pub resumed_files: Option<Checksums>,
    /// The devices that compute the steps; the model is on the first.
    pub devices: Vec<Device>,
    /// The processes that share the run.
    pub ranks: Ranks,
    /// Signals that ask the run to save or to end.
    pub signals: &'static Signals,
    /// The result of the run.
    pub outcome: Mutex<Option<Result<Outcome, TrainError>>>,
}

/// Runs a learner under the strategy.
///
/// # Errors
/// Whatever ended the run early: [`TrainError::Diverged`], [`TrainError::ProofFailed`],
/// [`TrainError::File`].
pub fn train(
    learner: Learner<TaskModel>,
    steps: StepLoader,
    strategy: Stepwise,
    dir: &Path,
) -> Result<(TaskModel, Outcome), TrainError> {
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

impl SupervisedLearningStrategy<TaskModel> for Stepwise {
    fn fit(
        &self,
        components: TrainingComponents<TaskModel>,
        mut learner: Learner<TaskModel>,
        steps: TrainLoader<TaskModel>,
        _validation: ValidLoader<TaskModel>,
        _starting_epoch: usize,
    ) -> (TaskModel, SupervisedTrainingEventProcessor<TaskModel>) {
        let outcome = self.run(&mut learner, &steps);
        *self.outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
        (learner.model(), components.event_processor)
    }
}

/// What changes from step to step.
pub(super) struct Running {
    pub(super) state: CheckpointState,
    /// Rank 0 proves.
    proof: Option<TrainingProof>,
    unread: Unreads,
    workers: Option<Workers>,
    pub(super) average: Option<WeightAverage>,
    pub(super) bar: ProgressBar,
}

impl Stepwise {
    fn run(
        &self,
        learner: &mut Learner<TaskModel>,
        steps: &TrainLoader<TaskModel>,
    ) -> Result<Outcome, TrainError> {
        let mut run = Running {
            state: self.resumed.clone(),
            proof: self.ranks.is_first().then(|| TrainingProof::begin(&learner.model())),
            unread: Unreads::default(),
            workers: (self.devices.len() > 1).then(|| Workers::new(&self.devices)),
            average: self.average.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(),
            bar: self.progress.training(self.resumed.step, self.schedule.total_steps),
        };
        run.state.continue_on(self.ranks.size());
        self.prepare_trunks(learner, run.state.step);
        if run.state.step == 0 && self.selection.metric.is_some() {
            self.check_metric(&learner.model())?;
        }
        if run.state.evaluation_due {
            let stopped = self.evaluate(&learner.model(), &mut run)?;
            if stopped.is_some() {
                return Ok(Outcome { state: run.state, stopped });
            }
            self.write_checkpoint_row(&run.state)?;
        }
        for step in steps.iter() {
            if self.selection.is_out_of_patience(&run.state) {
                self.end_early(learner, &mut run)?;
                break;
            }
            let step = step.map_err(|error| TrainError::Learner(error.to_string()))?;
            let due = self.step(learner, step, &mut run)?;
            if due.anything() || run.unread.is_full() {
                self.read(&mut run)?;
            }
            run.bar.set_position(run.state.step as u64);
            let stopped = self.follow_up(learner, &due, &mut run)?;
            if stopped.is_some() {
                run.bar.abandon();
                return Ok(Outcome { state: run.state, stopped });
            }
        }
        run.bar.finish_and_clear();
        // What follows says that training has ended: then every row has to be there.
        self.sync_journal()?;
        Ok(Outcome { state: run.state, stopped: None })
    }

    fn due(&self, number: usize, asked: Asked) -> Due {
        let due = self.schedule.due(number, self.plan.unfreezes_at(number));
        Due { save_asked: asked.save, stop: asked.stop, ..due }
    }

    /// Requests, before the update of a step, what else it has to do.
    fn prepare_step(&self, learner: &Learner<TaskModel>, due: &Due, number: usize) {
        let exchange = learner.model().exchange;
        if due.unfreezes {
            exchange.unfreeze(Unfreezing { plan: self.plan.clone(), step: number });
        }
        // An evaluation takes long. A signal in it needs the optimiser's state, too.
        if due.saves() || due.evaluate {
            exchange.ask_for_record();
        }
    }

    /// What is due after a step; why the run ends here, if it does.
    fn follow_up(
        &self,
        learner: &Learner<TaskModel>,
        due: &Due,
        run: &mut Running,
    ) -> Result<Option<Stop>, TrainError> {
        let model = learner.model();
        let record = model.exchange.take_record();
        if due.evaluate || due.saves() {
            self.check_parameters(&model, run.state.step)?;
        }
        if due.prove {
            self.prove(run, &model, run.state.step == self.schedule.total_steps)?;
        }
        if due.unfreezes {
            self.prepare_trunks(learner, run.state.step);
            let trained = self.plan.trainable_in(run.state.step);
            self.progress.line_above(
                &run.bar,
                &format!("unfreezing after step {}: {trained} parameters train now", run.state.step),
            );
        }
        if due.log {
            self.log(run, learner.lr_current().base())?;
        }
        let mut interrupted = None;
        if due.evaluate {
            interrupted = self.evaluate(&model, run)?;
            run.state.evaluation_due = interrupted.is_some();
        }
        // A run that ends early has no checkpoint of its last step either.
        let is_last = run.state.step == self.schedule.total_steps
            || !run.state.evaluation_due && self.selection.is_out_of_patience(&run.state);
        let stops = interrupted.or(due.stop.filter(|_| !is_last));
        if let Some(record) = record
            && ((due.save || due.save_asked) && !is_last || stops.is_some())
        {
            self.save(&model, record, run, due.save)?;
        }
        Ok(stops)
    }

    /// The row of the checkpoint that the run continues from, where the evaluation before it was interrupted: rows come in
    /// the order of a run that nothing stops.
    fn write_checkpoint_row(&self, state: &CheckpointState) -> Result<(), TrainError> {
        match &self.resumed_files {
            Some(files) if self.schedule.due(state.step, false).save => {
                self.write(JournalRow::Checkpoint(CheckpointRow::new(state, files)))
            }
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint, for which all ranks have the same parameters. One that every run of these settings has gets a
    /// row of metrics.jsonl, after that of an evaluation of the same step.
    fn save(
        &self,
        model: &TaskModel,
        record: OptimizerRecord,
        run: &Running,
        is_scheduled: bool,
    ) -> Result<(), TrainError> {
        let state = &run.state;
        compare_parameters(&self.ranks, model, &format!("step {}", state.step))?;
        if !self.ranks.is_first() {
            return Ok(());
        }
        let content = CheckpointContent {
            model: &model.model,
            config: &self.config,
            optimizer: record,
            average: run.average.as_ref(),
            state,
        };
        self.checkpoints.save(content, |checksums| {
            if is_scheduled && !state.evaluation_due {
                self.write(JournalRow::Checkpoint(CheckpointRow::new(state, checksums)))?;
            }
            self.sync_journal()
        })
    }

    fn sync_journal(&self) -> Result<(), TrainError> {
        let Some(logs) = &self.logs else { return Ok(()) };
        logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).sync()
    }

    /// One optimiser step, and what is due after it; a GPU may still be computing it afterwards.
    fn step(
        &self,
        learner: &mut Learner<TaskModel>,
        step: TrainingStep,
        run: &mut Running,
    ) -> Result<Due, TrainError> {
        let started = Instant::now();
        let tokens = step.tokens();
        let step = step.of_rank(&self.ranks);
        let output = match &run.workers {
            Some(workers) => workers.train_step(&learner.model(), step),
            None => learner.train_step(step),
        };
        let (output, asked) = sum_step(&self.ranks, &learner.model(), output, Asked::here(self.signals));
        let due = self.due(run.state.step + 1, asked);
        self.prepare_step(learner, &due, run.state.step + 1);
        learner.lr_step();
        learner.optimizer_step(output.grads);
        run.state.step += 1;
        let average = run.average.take();
        run.average = average.map(|average| average.update(&learner.model().model, run.state.step));
        run.state.training_seconds += started.elapsed().as_secs_f64();
        run.state.tokens += tokens;
        let squares = learner.model().exchange.take_squares();
        if self.ranks.is_first() {
            run.unread.add(run.state.step, StepOutput { tokens, ..output.item }, squares);
        }
        self.trunks.check()?;
        Ok(due)
    }

    /// Waits for the steps so far; all their losses and gradients are finite.
    fn read(&self, run: &mut Running) -> Result<(), TrainError> {
        let started = Instant::now();
        let readings = run.unread.read();
        run.state.training_seconds += started.elapsed().as_secs_f64();
        for reading in readings {
            self.check_finite(&reading)?;
            run.proof.iter_mut().for_each(|proof| proof.observe(&reading.norms));
            run.state.log_sums.add(&reading);
            run.state.losses = losses_with(&run.state.losses, reading.loss);
        }
        Ok(())
    }

    /// Prepares the trunk caches for the layers that are frozen in that step, counted from 0.
    fn prepare_trunks(&self, learner: &Learner<TaskModel>, step: usize) {
        let depth = trunk_depth(&self.plan, step);
        for line in self.trunks.at_depth(&learner.model().model, depth) {
            self.progress.line(&line);
        }
    }

    fn check_finite(&self, reading: &StepReading) -> Result<(), TrainError> {
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

    /// Checks parameters, because no later loss would show the last step's update. Those of other ranks are the same.
    fn check_parameters(&self, model: &TaskModel, step: usize) -> Result<(), TrainError> {
        if !self.ranks.is_first() {
            return Ok(());
        }
        match first_not_finite(&model.model) {
            None => Ok(()),
            Some(path) => Err(TrainError::Diverged { step, what: format!("the parameter {path}") }),
        }
    }

    fn prove(&self, run: &mut Running, model: &TaskModel, is_last: bool) -> Result<(), TrainError> {
        let Some(proof) = &run.proof else { return Ok(()) };
        let step = run.state.step;
        let violations = match is_last {
            true => proof.violations(model, &self.plan, step),
            false => proof.early_violations(model, &self.plan, step),
        };
        if !violations.is_empty() {
            return Err(TrainError::ProofFailed { step, violations });
        }
        if run.state.proofs.last() != Some(&step) {
            run.state.proofs.push(step);
        }
        Ok(())
    }

    /// Does what is due after the last step when training ends early.
    fn end_early(&self, learner: &Learner<TaskModel>, run: &mut Running) -> Result<(), TrainError> {
        let step = run.state.step;
        self.prove(run, &learner.model(), true)?;
        if !self.schedule.due(step, false).log {
            self.log(run, learner.lr_current().base())?;
        }
        let (evaluations, total) = (run.state.evaluations_without_gain, self.schedule.total_steps);
        let text = format!(
            "training ends after step {step} of {total}: {evaluations} evaluations in a row without an improvement"
        );
        self.progress.line_above(&run.bar, &text);
        Ok(())
    }

    pub(super) fn epoch(&self, step: usize) -> f64 {
        step as f64 / self.schedule.steps_per_epoch as f64
    }

    pub(super) fn write(&self, row: JournalRow) -> Result<(), TrainError> {
        let Some(logs) = &self.logs else { return Ok(()) };
        logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(&row)
    }

    fn log(&self, run: &mut Running, learning_rate: f64) -> Result<(), TrainError> {
        let (step, seconds) = (run.state.step, run.state.training_seconds);
        let sums = std::mem::replace(&mut run.state.log_sums, LogSums::starting(seconds));
        let row =
            sums.row(RowPlace { step, epoch: self.epoch(step), learning_rate }, seconds, &run.state.losses);
        let text = format!(
            "loss {:.4}  lr {:.2e}  grad norm {:.2}  {:.0} tokens/s",
            row.loss, row.learning_rate, row.grad_norm, row.tokens_per_second
        );
        run.bar.set_message(text.clone());
        self.progress.line_above(&run.bar, &format!("step {step}/{}  {text}", self.schedule.total_steps));
        self.write(JournalRow::Train(row))
    }
}
