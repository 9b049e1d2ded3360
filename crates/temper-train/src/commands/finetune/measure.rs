//! Estimates the cost of a run from one measured step.

use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::train::{InferenceStep, TrainStep};
use temper_data::Step;
use temper_freeze::{FreezePlan, TrunkPlace, trunk_depth};

use super::job::Job;
use crate::TrainError;
use crate::device::memory::{self, peak_of_process};
use crate::run::Estimate;
use crate::settings::{Preset, Settings};
use crate::training::{EvaluationLoader, StepLoader, TaskModel, TrainingStep};

/// Steps that are measured; the first pages memory in.
const ROUNDS: usize = 3;
/// How often a step is measured whose states are kept: the first time fills the cache, the next ones check it.
const KEPT_ROUNDS: usize = 6;
/// Bytes of a parameter, and of the two moments that AdamW keeps of one that trains.
pub(super) const PARAMETER: u64 = 4;
pub(super) const MOMENTS: u64 = 8;

/// The seconds of a step.
struct StepTime {
    total: f64,
    /// Those of the optimiser.
    update: f64,
}

/// What a token costs.
#[derive(Clone, Copy)]
struct Pace {
    /// Seconds of a token.
    token: f64,
    /// Seconds of the update, which a step has once.
    update: f64,
}

/// A step that starts from kept states.
struct Kept {
    /// Seconds a token.
    pace: f64,
    /// Bytes of the states of all examples.
    bytes: u64,
    /// Those of them that are in memory.
    in_memory: u64,
}

impl Job {
    /// Measures the first step of a model, prepared for a plan, and works out the run from it.
    ///
    /// A gradual strategy is measured at its beginning and at its end; the run is taken to cost the mean. With a
    /// trunk cache, every pass over the data after the first is taken to cost what the step costs once its
    /// states are kept.
    ///
    /// # Errors
    /// [`TrainError::Usage`] if `--trunk-cache` demands a cache that would give wrong outputs.
    pub(in crate::commands) fn measure(
        &self,
        model: &TaskModel,
        plan: &FreezePlan,
    ) -> Result<Estimate, TrainError> {
        // Forward only, before anything trains: the end of the run needs as much.
        let evaluation_pace = self.evaluation_pace(model);
        let forward_peak = peak_of_process();
        let several = || self.steps.plan(0).into_iter().enumerate().take(ROUNDS);
        let mut pace = self.training_pace(model, plan, &self.steps, several());
        let last = self.schedule.total_steps - 1;
        if plan.trainable_in(last) > plan.trainable_in(0) {
            let end = self.training_pace(&plan.apply_at(model.clone(), last), plan, &self.steps, several());
            pace = Pace { token: (pace.token + end.token) / 2.0, update: (pace.update + end.update) / 2.0 };
        }
        let Pace { token: pace, update: update_seconds } = pace;
        let kept = self.kept_trunk(model, plan)?;
        let report = &self.splits.report;
        let tokens = |split: usize| report.splits.get(split).map_or(0, |split| split.tokens_total) as f64;
        let epochs = self.schedule.total_steps as f64 / self.schedule.steps_per_epoch as f64;
        let later = kept.as_ref().map_or(pace, |kept| kept.pace);
        let evaluations = self.schedule.total_steps.div_ceil(self.schedule.eval_every) as f64;
        Ok(Estimate {
            strategy: self.request.settings.strategy.clone(),
            trainable_parameters: plan.trainable(),
            steps: self.schedule.total_steps,
            seconds_per_token: pace,
            update_seconds,
            training_seconds: tokens(0) * (pace * epochs.min(1.0) + later * (epochs - 1.0).max(0.0)),
            evaluation_seconds: evaluation_pace * (evaluations * tokens(1) + tokens(2)),
            peak_memory_bytes: peak_of_process().zip(forward_peak).map(|(training, forward)| {
                let average =
                    self.request.settings.ema_decay.map_or(0, |_| PARAMETER * plan.trainable() as u64);
                (training + average).max(at_the_end(forward, plan))
                    + kept.as_ref().map_or(0, |kept| kept.in_memory)
            }),
            device_memory_bytes: memory::of_device(&self.devices[0]),
            padding_percent: 0.0,
            truncated_percent: report.splits.first().map_or(0.0, |train| train.truncated_percent),
            trunk_cache_bytes: kept.map(|kept| kept.bytes),
            disk_bytes: self.disk_bytes(plan),
        })
    }

    /// The pace of the fastest of a few steps, which is what a run settles at.
    ///
    /// The optimiser is kept from step to step: its moments are there while the next step needs the most memory.
    fn training_pace(
        &self,
        model: &TaskModel,
        plan: &FreezePlan,
        steps: &StepLoader,
        numbered: impl Iterator<Item = (usize, Step)>,
    ) -> Pace {
        let (_, mut optimizer) = self.optimizer(plan);
        let paces = numbered.map(|(number, step)| {
            let step = steps.step(&step, number);
            let tokens = step.tokens();
            let StepTime { total, update } = self.one_step(model, &mut optimizer, step);
            Pace { token: total / tokens as f64, update }
        });
        let none = Pace { token: f64::INFINITY, update: f64::INFINITY };
        paces.fold(none, |least, next| Pace {
            token: least.token.min(next.token),
            update: least.update.min(next.update),
        })
    }

    /// The cost of a step whose states the trunk cache holds; nothing without a cache.
    fn kept_trunk(&self, model: &TaskModel, plan: &FreezePlan) -> Result<Option<Kept>, TrainError> {
        let decision = self.trunk_decision(&model.model, plan)?;
        let trunks = self.trunks(&decision, &std::env::temp_dir())?;
        trunks.at_depth(&model.model, trunk_depth(plan, 0));
        let steps = self.steps.clone().with_trunk(trunks.training.clone());
        let pace = match trunks.training {
            Some(_) => {
                let first = steps.plan(0).into_iter().next().map(|step| (0, step));
                let again = first.into_iter().cycle().take(KEPT_ROUNDS);
                self.training_pace(model, plan, &steps, again).token
            }
            None => return Ok(None),
        };
        let report = trunks.report().and_then(|reports| reports.training);
        Ok(report.filter(|report| report.place != TrunkPlace::Off).map(|report| Kept {
            pace,
            bytes: report.bytes,
            in_memory: if report.place == TrunkPlace::Memory { report.bytes } else { 0 },
        }))
    }

    /// A step with its optimiser.
    fn one_step(&self, model: &TaskModel, optimizer: &mut ModuleOptimizer, step: TrainingStep) -> StepTime {
        let model = model.clone();
        let started = Instant::now();
        let output = TrainStep::step(&model, step);
        // A GPU may still be at it; what goes wrong there shows in the run.
        let _ = self.devices[0].sync();
        let computed = started.elapsed();
        let _ = model.optimize(optimizer, self.request.settings.learning_rate.into(), output.grads);
        let _ = self.devices[0].sync();
        let total = started.elapsed();
        StepTime { total: total.as_secs_f64(), update: (total - computed).as_secs_f64() }
    }

    fn evaluation_pace(&self, model: &TaskModel) -> f64 {
        let features = self.splits.validation.clone();
        let loader = EvaluationLoader::new(features, self.request.settings.tokens_per_batch());
        let Some(Ok(batch)) = loader.iter().next() else { return 0.0 };
        let model = model.valid();
        let tokens = batch.tokens.tokens();
        let started = Instant::now();
        let _ = InferenceStep::step(&model, batch);
        started.elapsed().as_secs_f64() / tokens as f64
    }

    /// The best model, the final one, and the checkpoints that are kept with the moments of what trains.
    fn disk_bytes(&self, plan: &FreezePlan) -> u64 {
        let model = PARAMETER * plan.total() as u64;
        let checkpoint = model + MOMENTS * plan.trainable() as u64;
        let saved = (self.schedule.total_steps - 1) / self.schedule.save_every;
        let kept = saved.min(self.request.settings.save_total_limit) as u64;
        2 * model + kept * checkpoint
    }

    /// Says what to expect.
    pub(super) fn say(&self, prediction: &Estimate) {
        let full_epochs = Settings::default().num_train_epochs;
        let full = match self.request.preset {
            Preset::Full => String::new(),
            Preset::Cpu => {
                let tokens = self.splits.full_train_tokens as f64 * full_epochs as f64;
                format!(
                    "; the full job ({} examples, {full_epochs} epochs) about {}",
                    self.splits.report.full_train_rows,
                    duration(prediction.seconds_per_token * tokens)
                )
            }
        };
        self.progress.line(&format!(
            "{} optimiser steps; training will take about {}{full}",
            prediction.steps,
            duration(prediction.training_seconds)
        ));
    }
}

/// The memory at the end of a run, where a forward pass took `forward`: the best model is there three times
/// more, loaded, as a file and loaded again.
fn at_the_end(forward: u64, plan: &FreezePlan) -> u64 {
    forward + 3 * PARAMETER * plan.total() as u64
}

/// A duration for people.
pub(in crate::commands) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
