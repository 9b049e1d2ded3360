//! A run, prepared: its files are there, its data is encoded, its steps are planned.

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use temper_data::{BatchSettings, TextTokenizer};
use temper_freeze::{ClipFactor, FreezePlan, RunLength, Strategy};
use temper_models::{Loaded, Model, ModelConfig};

use super::devices;
use crate::model::encoding::too_long;
use crate::ranks::Ranks;
use crate::run::record::RunRequest;
use crate::settings::Settings;
use crate::sources::{ReadFile, local_files};
use crate::tasks::{self, Splits};
use crate::training::{Progress, Schedule, StepLoader, TaskModel, steps_per_epoch};
use crate::{Columns, LocalModel, Split, TrainError, model::adapters, model::padding};

/// A run whose files are there and whose data is encoded.
pub(in crate::commands) struct Job {
    pub(in crate::commands) request: RunRequest,
    pub(in crate::commands) progress: Progress,
    pub(super) local: LocalModel,
    /// The model's configuration, with the padding token that its tokenizer has.
    pub(super) config: ModelConfig,
    pub(super) tokenizer: TextTokenizer,
    /// The files of a dataset that are paths.
    pub(super) dataset_files: Vec<ReadFile>,
    pub(in crate::commands) splits: Splits,
    /// What computes; models are loaded onto the first.
    pub(super) devices: Vec<Device>,
    pub(super) steps: StepLoader,
    pub(super) schedule: Schedule,
    /// The processes that share the run.
    pub(super) ranks: Ranks,
}

impl Job {
    pub(in crate::commands) fn prepare(request: RunRequest, progress: Progress) -> Result<Self, TrainError> {
        // A record of before there was this setting names none.
        let request = request.resolved()?;
        let devices = devices::of(&request)?;
        let _: Strategy = request.settings.strategy.parse()?;
        request.check_dataset()?;
        let hub = request.sources.hub(progress.is_quiet());
        let local = match request.from_scratch {
            Some(_) => LocalModel::find_tokenizer(&hub, &request.model)?,
            None => LocalModel::find(&hub, &request.model)?,
        };
        if let Some(notice) = local.resolved.notice() {
            progress.notice(&notice);
        }
        // Sizes come from the configuration, before the weights are read.
        let config = match &request.from_scratch {
            Some(text) => ModelConfig::parse(text)?,
            None => ModelConfig::read(&local.dir)?,
        };
        let bounds = config.bounds();
        if request.settings.max_seq_length > bounds.max_positions {
            return Err(too_long(request.settings.max_seq_length, bounds.max_positions));
        }
        let tokenizer = local.tokenizer(bounds.vocab_size)?;
        let settings = &request.settings;
        let config = padding::settled(config, &tokenizer)?
            .with_dropout(settings.dropout, settings.attention_dropout)?;
        let dataset_files = local_files(&request.dataset_request())?;
        let splits = tasks::load(&request.load_request(&hub, (&tokenizer, &config), &Split::ALL))?;
        if let Some(notice) = splits.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
            progress.notice(&notice);
        }
        if let Some(notice) = columns_notice(&request, &splits.columns) {
            progress.line(&notice);
        }
        let schedule = schedule(&request.settings, splits.train.len());
        adapters::check_steps(&request.settings, schedule.total_steps)?;
        let steps = StepLoader::new(
            splits.task.clone(),
            splits.train.clone(),
            batch_settings(&request.settings),
            request.settings.seed,
            schedule.total_steps,
        )
        .in_order_of(request.settings.data_seed.unwrap_or(request.settings.seed));
        Ok(Self {
            request,
            progress,
            local,
            config,
            tokenizer,
            dataset_files,
            splits,
            devices,
            steps,
            schedule,
            ranks: Ranks::alone(),
        })
    }

    /// The same run, shared by several ranks.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for several GPUs in one process: then each rank has one.
    pub(super) fn shared_by(self, ranks: &Ranks) -> Result<Self, TrainError> {
        if self.devices.len() > 1 && !ranks.is_alone() {
            return Err(TrainError::Usage(
                "--devices is for one process; under MPI start a rank for each GPU, and let the launcher give each its own \
                 (CUDA_VISIBLE_DEVICES)"
                    .into(),
            ));
        }
        Ok(Self { ranks: ranks.clone(), ..self })
    }

    pub(in crate::commands) fn new_model(&self) -> Result<Loaded, TrainError> {
        let head = self.splits.task.head(&self.request.settings);
        let (config, device) = (self.config.clone(), &self.devices[0]);
        let loaded = match self.request.from_scratch {
            Some(_) => Model::random_with(config, &head, device)?,
            None => Model::load_with(config, &self.local.dir, &head, device)?,
        };
        if loaded.is_quantized {
            return Err(TrainError::Usage(format!(
                "the weights of {} have 8 bits and are for use only: training changes them by less than they can hold; \
                 fine-tune the model that it was made of",
                self.local.dir.display()
            )));
        }
        padding::check_end(&loaded.model, &self.tokenizer)?;
        let loaded = self.in_precision(adapters::with_adapters(loaded, &self.request.settings)?);
        devices::check_masks(&self.request, &loaded.model)?;
        Ok(loaded)
    }

    pub(super) fn in_precision(&self, loaded: Loaded) -> Loaded {
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

    /// A model whose parameters train as the plan says in that step.
    pub(in crate::commands) fn task_model(
        &self,
        model: Model,
        plan: &FreezePlan,
        step: usize,
        clip: &ClipFactor,
    ) -> TaskModel {
        TaskModel::new(plan.apply_at(model, step), self.splits.task.clone())
            .with_clipping(self.request.settings.max_grad_norm, clip)
            .with_frozen_dropout(self.request.settings.frozen_dropout)
            .with_checkpointing(self.request.settings.gradient_checkpointing)
    }

    /// A fresh optimiser, and the factor through which its gradients are clipped.
    pub(in crate::commands) fn optimizer(&self, plan: &FreezePlan) -> (ClipFactor, ModuleOptimizer) {
        let clip = ClipFactor::default();
        let settings = &self.request.settings;
        (clip.clone(), settings.optimizer().init_kind(settings.optim, plan, &clip))
    }
}

/// What to say where texts come in pairs in the training of the model that the run starts from.
fn columns_notice(request: &RunRequest, read: &Columns) -> Option<String> {
    let trained = request.trained_columns.as_ref()?.get("text_pair")?;
    let text = read.get("text")?;
    Some(match read.get("text_pair") {
        Some(pair) => format!("pairs of texts, as {} was trained: {text} and {pair}", request.model),
        None => format!(
            "{} was trained on pairs of texts with {trained} as the second; this run reads single texts (--text-pair-column names a column)",
            request.model
        ),
    })
}

fn schedule(settings: &Settings, features: usize) -> Schedule {
    let steps_per_epoch = steps_per_epoch(features, settings.examples_per_step());
    Schedule {
        total_steps: settings.max_steps.unwrap_or(settings.num_train_epochs * steps_per_epoch),
        steps_per_epoch,
        eval_every: settings.eval_every(steps_per_epoch),
        save_every: settings.save_every(steps_per_epoch),
        log_every: settings.logging_steps,
        log_first: settings.logging_first_step,
    }
}

fn batch_settings(settings: &Settings) -> BatchSettings {
    BatchSettings {
        examples_per_step: settings.examples_per_step(),
        tokens_per_batch: settings.tokens_per_batch(),
        min_micro_batches: settings.min_micro_batches.unwrap_or(1),
        ..BatchSettings::default()
    }
}
