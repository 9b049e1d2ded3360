use std::path::Path;
use std::sync::Mutex;

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn::train::Learner;
use temper_data::{BatchSettings, TextTokenizer};
use temper_freeze::{AdamWSettings, ClipFactor, FreezePlan, LinearWarmup, RunLength, Strategy};
use temper_models::{Loaded, Model, ModelConfig, is_adapter};

use super::devices;
use super::finish::{Finish, Summary};
use super::interrupt::on_interrupt;
use super::refused::Refused;
use super::too_long;
use crate::memory;
use crate::panics::caught;
use crate::record::{ResumedRecord, RunRecord, RunRequest};
use crate::settings::{Preset, Settings};
use crate::tasks::Task;
use crate::training::{
    CheckpointState, Checkpoints, EvaluationLoader, Journal, Progress, Schedule, StepLoader, Stepwise,
    TaskModel, steps_per_epoch, train,
};
use crate::{LocalModel, RunFolder, Split, Splits, TrainError, adapters, padding, precision};

/// A run whose files are there and whose data is encoded.
pub(in crate::commands) struct Job<T: Task> {
    pub(in crate::commands) request: RunRequest,
    pub(in crate::commands) progress: Progress,
    local: LocalModel,
    /// The model's configuration, with the padding token that its tokenizer has.
    config: ModelConfig,
    tokenizer: TextTokenizer,
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
            eprintln!("{notice}");
        }
        // Sizes come from the configuration, before the weights are read.
        let config = ModelConfig::read(&local.dir)?;
        let bounds = config.bounds();
        if request.settings.max_seq_length > bounds.max_positions {
            return Err(too_long(request.settings.max_seq_length, bounds.max_positions));
        }
        let tokenizer = local.tokenizer(bounds.vocab_size)?;
        let config = padding::settled(config, &tokenizer)?;
        let (task, splits) = T::load(&hub, &request, &tokenizer, &Split::ALL)?;
        if let Some(notice) = splits.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
            eprintln!("{notice}");
        }
        let schedule = schedule(&request.settings, splits.train.examples.len());
        adapters::check_steps(&request.settings, schedule.total_steps)?;
        let steps = StepLoader::new(
            splits.train.examples.clone(),
            batch_settings(&request.settings),
            request.settings.seed,
            schedule.total_steps,
        );
        Ok(Self { request, progress, local, config, tokenizer, task, splits, devices, steps, schedule })
    }

    pub(in crate::commands) fn new_model(&self) -> Result<Loaded, TrainError> {
        let head = self.task.head(&self.request.settings);
        let loaded = Model::load_with(self.config.clone(), &self.local.dir, &head, &self.devices[0])?;
        padding::check_end(&loaded.model, &self.tokenizer)?;
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

    pub(super) fn start(
        self,
        run: &RunFolder,
        loaded: Loaded,
        plan: FreezePlan,
        json: bool,
    ) -> Result<(), TrainError> {
        let record = RunRecord {
            temper: env!("CARGO_PKG_VERSION"),
            burn: "0.22.1",
            new_parameters: loaded.new.clone(),
            request: self.request.clone(),
            model: self.local.resolved.clone(),
            dataset: self.splits.resolved.clone(),
        };
        run.write_toml(&run.record(), &record)?;
        self.announce(run, &loaded);
        self.train(run, loaded, plan, CheckpointState::default(), None, json)
    }

    pub(super) fn resume(
        self,
        run: &RunFolder,
        recorded: &ResumedRecord,
        json: bool,
    ) -> Result<(), TrainError> {
        if run.results().exists() {
            return Err(TrainError::Usage(format!("{} is finished", run.path().display())));
        }
        recorded.check(&self.local.resolved, self.splits.resolved.as_ref())?;
        let checkpoints = self.checkpoints(run);
        let Some((dir, state)) = checkpoints.latest()? else {
            return Err(TrainError::Usage(format!(
                "{} has no checkpoint to go on from; start it again with --overwrite-output-dir",
                run.path().display()
            )));
        };
        let loaded = self.in_precision(adapters::load(&dir, &self.request.settings, &self.devices[0])?);
        self.progress.line(&format!("resuming {} after step {}", run.path().display(), state.step));
        let plan = self.plan(&loaded, &recorded.new_parameters)?;
        self.train(run, loaded, plan, state, Some(&dir), json)
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
        state: CheckpointState,
        checkpoint: Option<&Path>,
        json: bool,
    ) -> Result<(), TrainError> {
        let refused = Refused::new(&self.request, self.checkpoints(run), run)?;
        let outcome = caught(|| self.train_to_the_end(run, loaded, plan, state, checkpoint, json));
        outcome.unwrap_or_else(|refusal| Err(refused.error(refusal)))
    }

    fn train_to_the_end(
        self,
        run: &RunFolder,
        loaded: Loaded,
        plan: FreezePlan,
        state: CheckpointState,
        checkpoint: Option<&Path>,
        json: bool,
    ) -> Result<(), TrainError> {
        let settings = &self.request.settings;
        self.progress.line(&format!("strategy {}: {}", settings.strategy, plan.summary()));
        let decision = self.trunk_decision(&loaded.model, &plan)?;
        if let Some(hint) = &decision.hint {
            self.progress.line(hint);
        }
        let trunks = self.trunks(&decision, run.path())?;
        let (clip, mut optimizer) = self.optimizer(&plan);
        let model = self.task_model(loaded.model, &plan, state.step, &clip);
        if checkpoint.is_none() {
            let prediction = self.measure(&model, &plan)?;
            self.say(&prediction);
            run.write_json(&run.prediction(), &prediction)?;
        }
        if let Some(dir) = checkpoint {
            optimizer = optimizer.load_record(Checkpoints::optimizer(dir)?);
        }
        let learner = Learner::new(model, optimizer, self.rates().after(state.step));
        let strategy = Stepwise {
            schedule: self.schedule,
            validation: EvaluationLoader::new(
                self.splits.validation.examples.clone(),
                settings.tokens_per_batch(),
            )
            .with_trunk(trunks.validation.clone()),
            config: loaded.config.clone(),
            plan: plan.clone(),
            trunks: trunks.clone(),
            checkpoints: self.checkpoints(run),
            journal: Mutex::new(Journal::open(&run.journal(), state.step)?),
            progress: self.progress,
            resumed: state.clone(),
            devices: self.devices.clone(),
            stop: on_interrupt(),
            outcome: Mutex::new(None),
        };
        let steps = self.steps.clone().after(state.step).with_trunk(trunks.training.clone());
        let (model, outcome) = train(learner, steps, strategy, run.path())?;
        if outcome.interrupted {
            return Err(TrainError::Interrupted { step: outcome.state.step, run: run.path().into() });
        }
        let device_memory_bytes = memory::of_device(&self.devices[0]);
        // The best checkpoint counts, not the last state.
        drop(model);
        Finish {
            run,
            request: &self.request,
            local: &self.local,
            task: &self.task,
            splits: &self.splits,
            progress: self.progress,
        }
        .write(
            &Summary { plan, outcome, trunk_cache: trunks.report(), device_memory_bytes },
            &self.checkpoints(run),
            json,
        )
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
