use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use burn::tensor::Device;
use burn::train::{Learner, TrainStep};
use serde::Serialize;
use temper_data::{BatchSettings, Padding};
use temper_freeze::{AdamWSettings, FreezePlan, LinearWarmup, Strategy};
use temper_models::{HeadRequest, Loaded, Model};

use super::finish::{Finish, Summary};
use super::interrupt::on_interrupt;
use super::{backend, too_long};
use crate::backend::Backend;
use crate::record::{ResumedRecord, RunRecord, RunRequest};
use crate::settings::{self, PaddingMode, Preset, Settings};
use crate::tasks::TextClassification;
use crate::training::{
    CheckpointState, Checkpoints, EvaluationLoader, Journal, Progress, Schedule, StepLoader, Stepwise,
    TaskModel, train,
};
use crate::{LocalModel, RunFolder, SourceOptions, TextClassificationSplits, TrainError, load_splits};

/// Fine-tune a pretrained model on a dataset
#[derive(Clone, Debug, clap::Args)]
pub struct FinetuneArgs {
    /// Name (bert), Hub id (org/name), folder or run of a model
    #[arg(required_unless_present = "resume")]
    pub model: Option<String>,
    /// Name of a dataset card (imdb) or path of a file or folder
    #[arg(required_unless_present = "resume")]
    pub dataset: Option<String>,
    /// Go on with an interrupted run, exactly
    #[arg(long, value_name = "RUN", conflicts_with_all = ["model", "dataset"])]
    pub resume: Option<PathBuf>,
    /// Where runs are kept
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub output_dir: PathBuf,
    /// Name of the run's folder
    #[arg(long)]
    pub run_name: Option<String>,
    /// Replace a run of the same name
    #[arg(long)]
    pub overwrite_output_dir: bool,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings to start from; cpu on a CPU, full on a GPU
    #[arg(long)]
    pub preset: Option<Preset>,
    /// flex, ndarray or cuda
    #[arg(long)]
    pub backend: Option<Backend>,
    /// Column of the text
    #[arg(long)]
    pub text_column: Option<String>,
    /// Column of a second text
    #[arg(long)]
    pub text_pair_column: Option<String>,
    /// Column of the label
    #[arg(long)]
    pub label_column: Option<String>,
    /// Say nothing on stderr but errors
    #[arg(long)]
    pub quiet: bool,
    /// Print results.json on stdout
    #[arg(long)]
    pub json: bool,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
    /// Settings
    #[command(flatten)]
    pub settings: SettingFlags,
}

/// Settings given as flags; what is absent is left to the layers below.
#[derive(Clone, Debug, Default, Serialize, clap::Args)]
#[serde(rename_all = "snake_case")]
pub struct SettingFlags {
    /// Passes over the training data
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_train_epochs: Option<usize>,
    /// Optimiser steps; replaces the number of epochs
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// The highest learning rate
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Examples a batch
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_device_train_batch_size: Option<usize>,
    /// Batches an optimiser step
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_accumulation_steps: Option<usize>,
    /// Padded tokens computed at once (batch size times length by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_batch: Option<usize>,
    /// Tokens an example, special tokens included
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seq_length: Option<usize>,
    /// Which part of a longer text is kept: head, tail or head-tail
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncation: Option<String>,
    /// longest, or max-length as textbooks do
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<String>,
    /// AdamW's decay of matrices
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the steps that warm the learning rate up
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Largest norm of all gradients together
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Seed of head, order and dropout
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Seed of the choice of examples for a subset
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset_seed: Option<u64>,
    /// What trains: all, head, last:K, embeddings, freeze-embeddings, pattern:REGEX[,REGEX]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// What the head reads: pooler, or cls as textbooks do
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// Steps between two logged rows
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_steps: Option<usize>,
    /// Steps between two evaluations (an epoch by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_steps: Option<usize>,
    /// Steps between two checkpoints (an epoch by default)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_steps: Option<usize>,
    /// Checkpoints kept
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_total_limit: Option<usize>,
    /// Training examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_train_samples: Option<usize>,
    /// Training tokens an epoch at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_train_tokens: Option<usize>,
    /// Validation examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_eval_samples: Option<usize>,
    /// Test examples used at most
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_test_samples: Option<usize>,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Interrupted`] after Ctrl-C.
pub fn finetune(args: &FinetuneArgs) -> Result<(), TrainError> {
    let progress = Progress::new(args.quiet);
    match &args.resume {
        Some(run) => {
            let recorded = ResumedRecord::read(&run.join("run.toml"))?;
            let run = RunFolder::existing(run);
            Job::prepare(recorded.request, progress)?.resume(&run, &recorded.new_parameters, args.json)
        }
        None => {
            let request = request(args)?;
            let default = format!("{}-{}", file_name(&request.model), file_name(&request.dataset));
            // Refused before anything is fetched or computed.
            if let Some(name) = &args.run_name
                && args.output_dir.join(name).exists()
                && !args.overwrite_output_dir
            {
                return Err(TrainError::RunExists { path: args.output_dir.join(name) });
            }
            let job = Job::prepare(request, progress)?;
            // Whatever can be refused is refused before the folder is made.
            let loaded = job.new_model()?;
            let plan = job.plan(&loaded, &loaded.new)?;
            let run = RunFolder::create(
                &args.output_dir,
                args.run_name.as_deref(),
                &default,
                args.overwrite_output_dir,
            )?;
            job.start(&run, loaded, plan, args.json)
        }
    }
}

fn request(args: &FinetuneArgs) -> Result<RunRequest, TrainError> {
    let backend = backend(args.backend)?;
    let preset = args.preset.unwrap_or(if backend.is_cpu() { Preset::Cpu } else { Preset::Full });
    let settings = settings::resolve(preset, args.config.as_deref(), std::env::vars(), &args.settings)?;
    Ok(RunRequest {
        // clap requires both when there is no --resume.
        model: args.model.clone().unwrap_or_default(),
        dataset: args.dataset.clone().unwrap_or_default(),
        text_column: args.text_column.clone(),
        text_pair_column: args.text_pair_column.clone(),
        label_column: args.label_column.clone(),
        backend: backend.to_string(),
        preset,
        sources: args.sources.clone(),
        settings,
    })
}

fn file_name(name: &str) -> String {
    let path = Path::new(name.trim_end_matches('/'));
    path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned())
}

/// A run whose files are there and whose data is encoded.
struct Job {
    request: RunRequest,
    progress: Progress,
    local: LocalModel,
    splits: TextClassificationSplits,
    device: Device,
    steps: StepLoader<TextClassification>,
    schedule: Schedule,
}

impl Job {
    fn prepare(request: RunRequest, progress: Progress) -> Result<Self, TrainError> {
        let backend: Backend = request.backend.parse().map_err(TrainError::Usage)?;
        let device = backend.device()?.autodiff();
        let _: Strategy = request.settings.strategy.parse()?;
        let hub = request.sources.hub(false);
        let local = LocalModel::find(&hub, &request.model)?;
        if let Some(notice) = local.resolved.notice() {
            eprintln!("{notice}");
        }
        // Sizes come from the configuration, before the weights are read.
        let bounds = temper_models::ModelConfig::read(&local.dir)?.bounds();
        if request.settings.max_seq_length > bounds.max_positions {
            return Err(too_long(request.settings.max_seq_length, bounds.max_positions));
        }
        let tokenizer = local.tokenizer(bounds.vocab_size)?;
        let splits = load_splits(&hub, &request, &tokenizer)?;
        if let Some(notice) = splits.data.resolved.as_ref().and_then(temper_hub::Resolved::notice) {
            eprintln!("{notice}");
        }
        let schedule = schedule(&request.settings, splits.train.examples.len());
        let steps = StepLoader::new(
            splits.train.examples.clone(),
            batch_settings(&request.settings),
            request.settings.seed,
            schedule.total_steps,
        );
        Ok(Self { request, progress, local, splits, device, steps, schedule })
    }

    fn new_model(&self) -> Result<Loaded, TrainError> {
        let head = HeadRequest::NewSequenceClassification {
            labels: self.splits.data.label_names.clone(),
            pooling: self.request.settings.pooling,
            seed: self.request.settings.seed,
        };
        Ok(Model::load(&self.local.dir, &head, &self.device)?)
    }

    fn plan(&self, loaded: &Loaded, new: &[String]) -> Result<FreezePlan, TrainError> {
        Ok(FreezePlan::new(&self.request.settings.strategy.parse()?, &loaded.model.parameters(), new)?)
    }

    fn start(self, run: &RunFolder, loaded: Loaded, plan: FreezePlan, json: bool) -> Result<(), TrainError> {
        let record = RunRecord {
            temper: env!("CARGO_PKG_VERSION"),
            burn: "0.22.1",
            new_parameters: loaded.new.clone(),
            labels: self.splits.data.label_names.clone(),
            request: self.request.clone(),
            model: self.local.resolved.clone(),
            dataset: self.splits.data.resolved.clone(),
        };
        run.write_toml(&run.record(), &record)?;
        self.announce(run, &loaded);
        self.train(run, loaded, plan, CheckpointState::default(), None, json)
    }

    fn resume(self, run: &RunFolder, new: &[String], json: bool) -> Result<(), TrainError> {
        let checkpoints = self.checkpoints(run);
        let Some((dir, state)) = checkpoints.latest()? else {
            return Err(TrainError::Usage(format!(
                "{} has no checkpoint to go on from; start it again with --overwrite-output-dir",
                run.path().display()
            )));
        };
        let loaded = Model::load(&dir, &HeadRequest::FromConfig, &self.device)?;
        self.progress.line(&format!("resuming {} after step {}", run.path().display(), state.step));
        let plan = self.plan(&loaded, new)?;
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
            self.splits.data.name,
            self.request.backend,
            run.path().display()
        ));
        let (used, full) = (self.splits.train.examples.len(), self.splits.data.full_train_rows);
        if self.request.preset == Preset::Cpu {
            say(&format!(
                "preset cpu: {used} of {full} training examples, {} epoch(s); the full job is --preset full",
                settings.num_train_epochs
            ));
        }
        say(&self.splits.report(self.steps.padding_percent()).to_string());
        say(&format!("new parameters, drawn at random: {}", loaded.new.join(", ")));
        if !loaded.dropped.is_empty() {
            say(&format!("stored tensors without use here: {}", loaded.dropped.join(", ")));
        }
    }

    /// Measures one step before the first one and says what to expect.
    fn estimate(&self, model: &TaskModel<TextClassification>) {
        let plan = self.steps.plan(0);
        let Some(middle) = plan.get(plan.len() / 2) else { return };
        let step = self.steps.step(middle, 0);
        let tokens: usize = step.batches.iter().map(|batch| batch.tokens.rows * batch.tokens.seq).sum();
        // The first one warms caches up.
        let mut seconds = 0.0;
        for _ in 0..2 {
            let started = Instant::now();
            let _ = TrainStep::step(model, step.clone());
            seconds = started.elapsed().as_secs_f64();
        }
        let pace = seconds / tokens as f64;
        let used: usize = self.splits.train.examples.encoded.lengths().iter().map(|&l| l as usize).sum();
        let padded = 1.0 / (1.0 - self.steps.padding_percent() / 100.0);
        let epochs = self.schedule.total_steps as f64 / self.schedule.steps_per_epoch as f64;
        let this_run = pace * used as f64 * padded * epochs;
        let full_epochs = Settings::default().num_train_epochs;
        let full = pace * self.splits.full_train_tokens as f64 * padded * full_epochs as f64;
        let full = if self.request.preset == Preset::Cpu {
            format!("; the full job ({} examples, {full_epochs} epochs) about {}", self.splits.data.full_train_rows, minutes(full))
        } else {
            String::new()
        };
        self.progress.line(&format!(
            "{} optimiser steps; training will take about {}{full}",
            self.schedule.total_steps,
            minutes(this_run)
        ));
    }

    fn train(
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
        let task = TextClassification { labels: self.splits.data.label_names.clone() };
        let model = TaskModel::new(plan.apply(loaded.model), task, settings.max_grad_norm);
        if checkpoint.is_none() {
            self.estimate(&model);
        }
        let adamw = AdamWSettings { weight_decay: settings.weight_decay as f32, ..AdamWSettings::default() };
        let mut optimizer = adamw.init(&plan);
        if let Some(dir) = checkpoint {
            optimizer = optimizer.load_record(Checkpoints::optimizer(dir)?);
        }
        let learner = Learner::new(model, optimizer, self.rates().after(state.step));
        let strategy = Stepwise {
            schedule: self.schedule,
            validation: EvaluationLoader::new(self.splits.validation.examples.clone(), settings.tokens_per_batch()),
            config: loaded.config.clone(),
            plan: plan.clone(),
            checkpoints: self.checkpoints(run),
            journal: Mutex::new(Journal::open(&run.journal(), state.step)?),
            progress: self.progress,
            resumed: state.clone(),
            stop: on_interrupt(),
            outcome: Mutex::new(None),
        };
        let (model, outcome) = train(learner, self.steps.clone().after(state.step), strategy, run.path())?;
        if outcome.interrupted {
            return Err(TrainError::Interrupted { step: outcome.state.step, run: run.path().into() });
        }
        // The best checkpoint counts, not the last state.
        drop(model);
        Finish { run, request: &self.request, local: &self.local, splits: &self.splits, progress: self.progress }
            .write(&Summary { plan, outcome }, &self.checkpoints(run), json)
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
    let steps_per_epoch =
        StepLoader::<TextClassification>::steps_per_epoch(examples, settings.examples_per_step());
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
        padding: match settings.padding {
            PaddingMode::Longest => Padding::Longest,
            PaddingMode::MaxLength => Padding::MaxLength(settings.max_seq_length),
        },
        ..BatchSettings::default()
    }
}

/// A duration for people.
fn minutes(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}
