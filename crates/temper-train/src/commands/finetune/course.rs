//! Starting, resuming, replaying and finishing a prepared run.

use std::sync::Mutex;

use burn::train::Learner;
use serde_json::Value;
use temper_freeze::{FreezePlan, ParameterSample};
use temper_models::{Loaded, Model};

use super::finish::Finish;
use super::follow::Beginning;
use super::job::Job;
use super::refused::Refused;
use crate::device::allocator::release_freed_memory;
use crate::device::panics::caught;
use crate::run::record::{ResumedRecord, RunRecord};
use crate::settings::ReportTo;
use crate::signals;
use crate::terminal::{print_line, say};
use crate::training::{
    Checkpoint, Checkpoints, EvaluationLoader, Logs, RunParameters, RunStatus, Selection, Stepwise, Trained,
    WeightAverage, end_in_mlflow, stop_of_any, train,
};
use crate::{BURN_VERSION, RunFolder, RunName, TrainError, device::memory, model::adapters};

impl Job {
    /// Makes the folder of a new run, with run.toml.
    pub(super) fn create(&self, name: RunName<'_>, loaded: &Loaded) -> Result<RunFolder, TrainError> {
        let record = RunRecord {
            temper: env!("CARGO_PKG_VERSION"),
            burn: BURN_VERSION,
            vector_instructions: temper_kernels::cpu::vector_instructions(),
            new_parameters: loaded.new.clone(),
            dropped_tensors: loaded.dropped.clone(),
            request: self.request.clone(),
            model: self.local.resolved.clone(),
            dataset: self.splits.resolved.clone(),
            dataset_files: self.dataset_files.clone(),
        };
        RunFolder::create(name, |run| run.write_toml(&run.record(), &record))
    }

    pub(super) fn start(
        self,
        run: &RunFolder,
        loaded: Loaded,
        plan: FreezePlan,
        json: bool,
    ) -> Result<(), TrainError> {
        self.announce(run, &loaded);
        self.begin_together(run, &loaded.new, Beginning::New);
        self.train(run, loaded, plan, None, json)
    }

    /// Continues a run: from the end of its training, from its newest checkpoint, or else from the beginning.
    pub(super) fn resume(
        self,
        run: &RunFolder,
        recorded: &ResumedRecord,
        json: bool,
    ) -> Result<(), TrainError> {
        recorded.check(&self.local.resolved, self.splits.resolved.as_ref(), &self.dataset_files)?;
        self.gather_ranks()?;
        if let Some(notice) = recorded.other_machine() {
            say(&notice);
        }
        let checkpoints = self.checkpoints(run);
        if let Some(trained) = checkpoints.trained(say) {
            self.progress.line(&format!("resuming {} after its last step", run.path().display()));
            let loaded = self.new_model()?;
            let plan = self.plan(&loaded, &recorded.new_parameters)?;
            self.begin_together(run, &recorded.new_parameters, Beginning::Trained);
            return self.finish(run, plan, &trained, json);
        }
        let checkpoint = checkpoints.latest(say)?;
        let loaded = self.loaded(checkpoint.as_ref())?;
        let step = checkpoint.as_ref().map(|checkpoint| checkpoint.state.step);
        self.begin_together(
            run,
            &recorded.new_parameters,
            step.map_or(Beginning::New, Beginning::Checkpoint),
        );
        let from = match &checkpoint {
            Some(checkpoint) => format!("after step {}", checkpoint.state.step),
            None => "from the beginning: it has no checkpoint yet".into(),
        };
        self.progress.line(&format!("resuming {} {from}", run.path().display()));
        let plan = self.plan(&loaded, &recorded.new_parameters)?;
        self.train(run, loaded, plan, checkpoint, json)
    }

    /// Computes steps of a run again, up to and with `until`, from a checkpoint or from the beginning. What it writes
    /// goes into `scratch`.
    pub(in crate::commands) fn replay(
        mut self,
        scratch: &RunFolder,
        recorded: &ResumedRecord,
        checkpoint: Option<Checkpoint>,
        until: usize,
    ) -> Result<(), TrainError> {
        recorded.check(&self.local.resolved, self.splits.resolved.as_ref(), &self.dataset_files)?;
        self.steps = self.steps.until(until);
        // What is computed again is no run of its own, and no step depends on an evaluation.
        self.request.settings.report_to = ReportTo::None;
        self.schedule.eval_every = usize::MAX;
        let loaded = self.loaded(checkpoint.as_ref())?;
        let plan = self.plan(&loaded, &recorded.new_parameters)?;
        self.train_to_the_end(scratch, loaded, &plan, checkpoint).map(drop)
    }

    /// The model of a checkpoint; without one, that of the beginning.
    pub(super) fn loaded(&self, checkpoint: Option<&Checkpoint>) -> Result<Loaded, TrainError> {
        match checkpoint {
            Some(checkpoint) => {
                let settings = &self.request.settings;
                Ok(self.in_precision(adapters::load(&checkpoint.dir, settings, &self.devices[0])?))
            }
            None => self.new_model(),
        }
    }

    pub(super) fn checkpoints(&self, run: &RunFolder) -> Checkpoints {
        Checkpoints::new(run.checkpoints(), self.request.settings.save_total_limit)
    }

    /// Trains to the end, and says in one error what a panic of Burn's would say in many.
    fn train(
        self,
        run: &RunFolder,
        loaded: Loaded,
        plan: FreezePlan,
        checkpoint: Option<Checkpoint>,
        json: bool,
    ) -> Result<(), TrainError> {
        let refused = Refused::new(&self.request, self.checkpoints(run), run)?;
        let outcome = caught(|| {
            let trained = self.train_to_the_end(run, loaded, &plan, checkpoint)?;
            self.finish(run, plan, &trained, json)
        });
        let outcome = outcome.unwrap_or_else(|refusal| Err(refused.error(refusal)));
        if let Err(error) = &outcome {
            let is_stopped = matches!(error, TrainError::Interrupted { .. });
            let status = if is_stopped { RunStatus::Killed } else { RunStatus::Failed };
            end_of(run, status, 0, &[]);
        }
        outcome
    }

    pub(super) fn train_to_the_end(
        &self,
        run: &RunFolder,
        loaded: Loaded,
        plan: &FreezePlan,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Trained, TrainError> {
        let signals = signals::listen();
        let _held = signals.save_itself();
        self.progress.line(&format!("strategy {}: {}", self.request.settings.strategy, plan.summary()));
        if let Some(late) = plan.late() {
            self.progress.line(&format!("note: {late}"));
        }
        let decision = self.trunk_decision(&loaded.model, plan)?;
        if let Some(hint) = &decision.hint {
            self.progress.line(hint);
        }
        let trunks = self.trunks(&decision, run.path())?;
        release_freed_memory();
        let (clip, mut optimizer) = self.optimizer(plan);
        let state = checkpoint.as_ref().map(|checkpoint| checkpoint.state.clone()).unwrap_or_default();
        let model = self.task_model(loaded.model, plan, state.step, &clip);
        match &checkpoint {
            Some(checkpoint) => optimizer = Checkpoints::restored(&checkpoint.dir, optimizer)?,
            None if self.ranks.is_first() => {
                let prediction = self.measure(&model, plan)?.divided_by(self.ranks.size());
                self.say(&prediction);
                run.write_json(&run.prediction(), &prediction)?;
            }
            None => {}
        }
        let settings = &self.request.settings;
        let average = self.average(&model.model, checkpoint.as_ref())?;
        let rates = settings.rates(self.schedule.total_steps).after(state.step);
        let learner = Learner::new(model, optimizer, rates);
        let strategy = Stepwise {
            schedule: self.schedule,
            selection: Selection::new(settings),
            validation: self.validation().with_trunk(trunks.validation.clone()),
            examples: self.splits.examples.clone(),
            config: loaded.config,
            plan: plan.clone(),
            trunks: trunks.clone(),
            checkpoints: self.checkpoints(run),
            logs: self.logs(run, state.step)?,
            average: Mutex::new(average),
            progress: self.progress,
            resumed: state.clone(),
            resumed_files: checkpoint.as_ref().map(|checkpoint| checkpoint.checksums.clone()),
            devices: self.devices.clone(),
            ranks: self.ranks.clone(),
            signals,
            outcome: Mutex::new(None),
        };
        self.ranks.meet();
        let steps = self.steps.clone().after(state.step).with_trunk(trunks.training.clone());
        let (model, outcome) = train(learner, steps, strategy, run.path())?;
        let device_memory_bytes = memory::of_device(&self.devices[0]);
        // The best checkpoint counts, not the last state.
        drop(model);
        let step = outcome.state.step;
        let trained = Trained { state: outcome.state, trunk_cache: trunks.report(), device_memory_bytes };
        let interrupted = |stop| TrainError::Interrupted { step, run: run.path().into(), stop };
        if let Some(stop) = outcome.stopped {
            return Err(interrupted(stop));
        }
        if self.ranks.is_first() {
            self.checkpoints(run).save_trained(&trained)?;
        }
        match stop_of_any(&self.ranks, signals) {
            Some(stop) => Err(interrupted(stop)),
            None => Ok(trained),
        }
    }

    /// Where rows go; nowhere on ranks other than the first.
    fn logs(&self, run: &RunFolder, steps_done: usize) -> Result<Option<Mutex<Logs>>, TrainError> {
        if !self.ranks.is_first() {
            return Ok(None);
        }
        let settings = &self.request.settings;
        let recorded = serde_json::to_value(settings).unwrap_or_default();
        let written = recorded.as_object().into_iter().flatten().filter_map(|(key, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((key.clone(), text.clone())),
            value => Some((key.clone(), value.to_string())),
        });
        let names = [("model", &self.request.model), ("dataset", &self.request.dataset)];
        let names = names.map(|(key, name)| (key.to_owned(), name.clone()));
        let name = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parameters = RunParameters { name, values: names.into_iter().chain(written).collect() };
        let logs = Logs::open(&run.journal(), steps_done, settings.report_to, &parameters)?;
        Ok(Some(Mutex::new(logs)))
    }

    /// The average of the weights that the run keeps, if it does: the one of the checkpoint, or a new one.
    fn average(
        &self,
        model: &Model,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<WeightAverage>, TrainError> {
        let Some(decay) = self.request.settings.ema_decay else { return Ok(None) };
        Ok(Some(match checkpoint {
            Some(checkpoint) => WeightAverage::restored(&checkpoint.dir, model, decay)?,
            None => WeightAverage::new(model, decay),
        }))
    }

    fn validation(&self) -> EvaluationLoader {
        let settings = &self.request.settings;
        EvaluationLoader::new(self.splits.validation.clone(), settings.tokens_per_batch())
            .shared_by(&self.ranks)
    }

    fn finish(
        &self,
        run: &RunFolder,
        plan: FreezePlan,
        trained: &Trained,
        json: bool,
    ) -> Result<(), TrainError> {
        release_freed_memory();
        // The model of the beginning, again: only samples of it are kept, and the best is loaded after it is gone.
        let start = ParameterSample::of(&self.new_model()?.model);
        let finish = Finish {
            run,
            request: &self.request,
            local: &self.local,
            tokenizer: &self.tokenizer,
            splits: &self.splits,
            progress: self.progress,
            start,
            ranks: &self.ranks,
        };
        let results = finish.write(&plan, trained, &self.checkpoints(run))?;
        end_of(run, RunStatus::Finished, results.steps, &results.test.metrics);
        if json {
            let text = serde_json::to_string(&results);
            print_line(&text.map_err(|error| TrainError::file(run.results(), error))?)?;
        }
        Ok(())
    }
}

/// Tells MLflow how the run ended, where it is there.
fn end_of(run: &RunFolder, status: RunStatus, step: usize, scores: &[(String, f64)]) {
    let scalars: Vec<(String, f64)> =
        scores.iter().map(|(name, value)| (format!("test/{name}"), *value)).collect();
    if let Err(error) = end_in_mlflow(run.path(), status, step, &scalars) {
        say(&format!("note: {error}"));
    }
}
