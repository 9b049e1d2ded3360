//! A run: prepared, started or resumed, trained.

use std::path::Path;
use std::sync::Mutex;

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn::train::Learner;
use temper_data::{BatchSettings, TextTokenizer};
use temper_freeze::{AdamWSettings, ClipFactor, FreezePlan, LinearWarmup, RunLength, Strategy};
use temper_models::{Loaded, Model, is_adapter};

use super::devices;
use super::finish::Finish;
use super::refused::Refused;
use super::too_long;
use crate::memory;
use crate::panics::caught;
use crate::record::{ResumedRecord, RunRecord, RunRequest};
use crate::settings::{Preset, Settings};
use crate::signals;
use crate::sources::{ReadFile, files_of};
use crate::tasks::Task;
use crate::terminal::{print_line, say};
use crate::training::{
    Checkpoint, Checkpoints, EvaluationLoader, Journal, Progress, Schedule, StepLoader, Stepwise, TaskModel,
    Trained, steps_per_epoch, train,
};
use crate::{BURN_VERSION, LocalModel, RunFolder, RunName, Split, Splits, TrainError, adapters, precision};

/// A run whose files are there and whose data is encoded.
pub(in crate::commands) struct Job<T: Task> {
    pub(in crate::commands) request: RunRequest,
    pub(in crate::commands) progress: Progress,
    local: LocalModel,
    tokenizer: TextTokenizer,
    /// The files of a dataset that is a path.
    dataset_files: Vec<ReadFile>,
    pub(super) task: T,
    pub(in crate::commands) splits: Splits<T>,
    /// What computes; models are loaded onto the first.
    pub(super) devices: Vec<Device>,
    pub(super) steps: StepLoader<T>,
    pub(super) schedule: Schedule,
}

impl<T: Task> Job<T> {
    pub(in crate::commands) fn prepare(request: RunRequest, progress: Progress) -> Result<Self, TrainError> {
        // A record of before there was this setting names none.
        let request = request.resolved()?;
        let devices = devices::of(&request)?;
        let _: Strategy = request.settings.strategy.parse()?;
        // A wrong name is found before a model is downloaded for it.
        if !Path::new(&request.dataset).exists() {
            temper_data::find_card(&request.dataset, &request.sources.card_directories())?;
        }
        let hub = request.sources.hub(progress.is_quiet());
        let local = LocalModel::find(&hub, &request.model)?;
        if let Some(notice) = local.resolved.notice() {
            say(&notice);
        }
        // Sizes come from the configuration, before the weights are read.
        let bounds = temper_models::ModelConfig::read(&local.dir)?.bounds();
        if request.settings.max_seq_length > bounds.max_positions {
            return Err(too_long(request.settings.max_seq_length, bounds.max_positions));
        }
        let tokenizer = local.tokenizer(bounds.vocab_size)?;
        let dataset_files = files_of(Path::new(&request.dataset))?;
        let (task, splits) = T::load(&hub, &request, &tokenizer, &Split::ALL)?;
        if let Some(notice) = splits.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
            say(&notice);
        }
        let schedule = schedule(&request.settings, splits.train.examples.len());
        adapters::check_steps(&request.settings, schedule.total_steps)?;
        let steps = StepLoader::new(
            splits.train.examples.clone(),
            batch_settings(&request.settings),
            request.settings.seed,
            schedule.total_steps,
        );
        Ok(Self {
            request,
            progress,
            local,
            tokenizer,
            dataset_files,
            task,
            splits,
            devices,
            steps,
            schedule,
        })
    }

    pub(in crate::commands) fn new_model(&self) -> Result<Loaded, TrainError> {
        let head = self.task.head(&self.request.settings);
        let loaded = Model::load(&self.local.dir, &head, &self.devices[0])?;
        let loaded = self.in_precision(adapters::with_adapters(loaded, &self.request.settings)?);
        devices::check_masks(&self.request, &loaded.model)?;
        Ok(loaded)
    }

    fn in_precision(&self, loaded: Loaded) -> Loaded {
        Loaded { model: loaded.model.with_precision(self.request.settings.precision.named()), ..loaded }
    }

    pub(in crate::commands) fn plan(
        &self,
        loaded: &Loaded,
        new: &[String],
    ) -> Result<FreezePlan, TrainError> {
        let settings = &self.request.settings;
        let plan = FreezePlan::new(&settings.strategy.parse()?, &loaded.model.parameters(), new)?;
        let Schedule { total_steps, steps_per_epoch, .. } = self.schedule;
        Ok(plan.with_layer_decay(settings.layer_decay)?.over(RunLength { total_steps, steps_per_epoch }))
    }

    /// Makes the folder of a new run, with run.toml.
    pub(super) fn create(
        &self,
        name: RunName<'_>,
        new_parameters: &[String],
    ) -> Result<RunFolder, TrainError> {
        let record = RunRecord {
            temper: env!("CARGO_PKG_VERSION"),
            burn: BURN_VERSION,
            new_parameters: new_parameters.to_vec(),
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
        self.train(run, loaded, plan, None, json)
    }

    /// Goes on with a run: from the end of its training, from its newest checkpoint, or else from the beginning.
    pub(super) fn resume(
        self,
        run: &RunFolder,
        recorded: &ResumedRecord,
        json: bool,
    ) -> Result<(), TrainError> {
        recorded.check(&self.local.resolved, self.splits.resolved.as_ref(), &self.dataset_files)?;
        if let Some(notice) = recorded.other_version() {
            say(&notice);
        }
        let checkpoints = self.checkpoints(run);
        if let Some(trained) = checkpoints.trained(say) {
            self.progress.line(&format!("resuming {} after its last step", run.path().display()));
            let loaded = self.new_model()?;
            let plan = self.plan(&loaded, &recorded.new_parameters)?;
            return self.finish(run, plan, &trained, json);
        }
        let checkpoint = checkpoints.latest(say)?;
        let loaded = match &checkpoint {
            Some(checkpoint) => {
                let settings = &self.request.settings;
                self.in_precision(adapters::load(&checkpoint.dir, settings, &self.devices[0])?)
            }
            None => self.new_model()?,
        };
        let from = match &checkpoint {
            Some(checkpoint) => format!("after step {}", checkpoint.state.step),
            None => "from the beginning: it has no checkpoint yet".into(),
        };
        self.progress.line(&format!("resuming {} {from}", run.path().display()));
        let plan = self.plan(&loaded, &recorded.new_parameters)?;
        self.train(run, loaded, plan, checkpoint, json)
    }

    fn checkpoints(&self, run: &RunFolder) -> Checkpoints {
        Checkpoints::new(run.checkpoints(), self.request.settings.save_total_limit)
    }

    /// What is about to happen, for how long, and how to get the full job.
    fn announce(&self, run: &RunFolder, loaded: &Loaded) {
        let settings = &self.request.settings;
        let say = |text: &str| self.progress.line(text);
        say(&format!(
            "fine-tuning {} on {} ({} backend) -> {}",
            self.local.resolved.id,
            self.splits.name,
            self.request.backend,
            run.path().display()
        ));
        let backend = self.request.backend.parse().ok();
        if let Some(notice) =
            backend.and_then(|backend| precision::notice(settings.precision.named(), backend))
        {
            say(&notice);
        }
        let (used, full) = (self.splits.train.examples.len(), self.splits.report.full_train_rows);
        if self.request.preset == Preset::Cpu {
            say(&format!(
                "preset cpu: {used} of {full} training examples, {} epoch(s); the full job is --preset full",
                settings.num_train_epochs
            ));
        }
        if let Some(notice) = adapters::notice(settings) {
            say(&notice);
        }
        say(&self.splits.report.to_string());
        let table = loaded.model.parameters();
        let of_model = table.parameters.iter().filter(|parameter| !is_adapter(&parameter.path)).count();
        let kept = of_model - loaded.new.len();
        say(&format!("parameters taken from {}: {kept}", self.local.resolved.id));
        say(&format!("new parameters, drawn at random: {}", loaded.new.join(", ")));
        if !loaded.dropped.is_empty() {
            say(&format!("stored tensors without use here: {}", loaded.dropped.join(", ")));
        }
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
        outcome.unwrap_or_else(|refusal| Err(refused.error(refusal)))
    }

    fn train_to_the_end(
        &self,
        run: &RunFolder,
        loaded: Loaded,
        plan: &FreezePlan,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Trained, TrainError> {
        let signals = signals::listen();
        let _held = signals.save_itself();
        self.progress.line(&format!("strategy {}: {}", self.request.settings.strategy, plan.summary()));
        let decision = self.trunk_decision(&loaded.model, plan)?;
        if let Some(hint) = &decision.hint {
            self.progress.line(hint);
        }
        let trunks = self.trunks(&decision, run.path())?;
        let (clip, mut optimizer) = self.optimizer(plan);
        let state = checkpoint.as_ref().map(|checkpoint| checkpoint.state.clone()).unwrap_or_default();
        let model = self.task_model(loaded.model, plan, state.step, &clip);
        match &checkpoint {
            Some(checkpoint) => optimizer = optimizer.load_record(Checkpoints::optimizer(&checkpoint.dir)?),
            None => {
                let prediction = self.measure(&model, plan)?;
                self.say(&prediction);
                run.write_json(&run.prediction(), &prediction)?;
            }
        }
        let learner = Learner::new(model, optimizer, self.rates().after(state.step));
        let strategy = Stepwise {
            schedule: self.schedule,
            validation: self.validation().with_trunk(trunks.validation.clone()),
            config: loaded.config,
            plan: plan.clone(),
            trunks: trunks.clone(),
            checkpoints: self.checkpoints(run),
            journal: Mutex::new(Journal::open(&run.journal(), state.step)?),
            progress: self.progress,
            resumed: state.clone(),
            devices: self.devices.clone(),
            signals,
            outcome: Mutex::new(None),
        };
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
        self.checkpoints(run).save_trained(&trained)?;
        match signals.stop() {
            Some(stop) => Err(interrupted(stop)),
            None => Ok(trained),
        }
    }

    fn validation(&self) -> EvaluationLoader<T> {
        let settings = &self.request.settings;
        EvaluationLoader::new(self.splits.validation.examples.clone(), settings.tokens_per_batch())
    }

    fn finish(
        &self,
        run: &RunFolder,
        plan: FreezePlan,
        trained: &Trained,
        json: bool,
    ) -> Result<(), TrainError> {
        let finish = Finish {
            run,
            request: &self.request,
            local: &self.local,
            tokenizer: &self.tokenizer,
            task: &self.task,
            splits: &self.splits,
            progress: self.progress,
        };
        let results = finish.write(&plan, trained, &self.checkpoints(run))?;
        if json {
            let text = serde_json::to_string(&results);
            print_line(&text.map_err(|error| TrainError::file(run.results(), error))?)?;
        }
        Ok(())
    }

    /// A model whose parameters train as the plan says in that step.
    pub(in crate::commands) fn task_model(
        &self,
        model: Model,
        plan: &FreezePlan,
        step: usize,
        clip: &ClipFactor,
    ) -> TaskModel<T> {
        TaskModel::new(plan.apply_at(model, step), self.task.clone())
            .with_clipping(self.request.settings.max_grad_norm, clip)
            .with_frozen_dropout(self.request.settings.frozen_dropout)
            .with_checkpointing(self.request.settings.gradient_checkpointing)
    }

    /// A fresh optimiser, and the factor through which its gradients are clipped.
    pub(in crate::commands) fn optimizer(&self, plan: &FreezePlan) -> (ClipFactor, ModuleOptimizer) {
        let clip = ClipFactor::default();
        let weight_decay = self.request.settings.weight_decay;
        let adamw = AdamWSettings { weight_decay, ..AdamWSettings::default() };
        (clip.clone(), adamw.init(plan, &clip))
    }

    fn rates(&self) -> LinearWarmup {
        let settings = &self.request.settings;
        let total = self.schedule.total_steps;
        // At least one step must run at a rate above zero.
        let warmup = ((settings.warmup_ratio * total as f64).ceil() as usize).min(total - 1);
        LinearWarmup::new(settings.learning_rate, warmup, total)
    }
}

fn schedule(settings: &Settings, examples: usize) -> Schedule {
    let steps_per_epoch = steps_per_epoch(examples, settings.examples_per_step());
    Schedule {
        total_steps: settings.max_steps.unwrap_or(settings.num_train_epochs * steps_per_epoch),
        steps_per_epoch,
        eval_every: settings.eval_steps.unwrap_or(steps_per_epoch),
        save_every: settings.save_steps.unwrap_or(steps_per_epoch),
        log_every: settings.logging_steps,
    }
}

fn batch_settings(settings: &Settings) -> BatchSettings {
    BatchSettings {
        examples_per_step: settings.examples_per_step(),
        tokens_per_batch: settings.tokens_per_batch(),
        ..BatchSettings::default()
    }
}
