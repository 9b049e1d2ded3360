//! `temper finetune`.

mod announce;
mod args;
mod budget;
mod course;
mod devices;
mod finish;
mod follow;
pub(super) mod job;
pub(super) mod measure;
mod need;
mod prepared;
mod refused;
mod trunk;

pub use args::{FinetuneArgs, Resume};
pub(super) use prepared::Prepared;

use std::path::{Path, PathBuf};

use super::backend;
use super::differences::same_settings;
use crate::model::refuse_other_folders;
use crate::ranks::{LONGEST_WAIT, Ranks};
use crate::run::record::{ResumedRecord, RunRequest};
use crate::settings::{self, Preset, SplitSettings};
use crate::terminal::say;
use crate::training::{Checkpoints, Progress};
use crate::{LocalModel, ModelDefaults, RunFolder, RunName, Settings, TrainError, signals};
use job::Job;
use temper_data::find_card;
use temper_freeze::Strategy;
use temper_hub::catalogue;
use temper_models::ModelConfig;

/// Runs the command, on each of the ranks that share the run.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Interrupted`] after Ctrl-C.
pub fn finetune(args: &FinetuneArgs, ranks: &Ranks) -> Result<(), TrainError> {
    signals::listen();
    let ranks = &ranks.clone().with_longest_wait(args.rank_timeout.unwrap_or(LONGEST_WAIT));
    if ranks.is_first() { lead(args, ranks) } else { follow::follow(ranks) }
}

/// Rank 0, and a process of its own: finds out what is to be done and does it, with the other ranks' help.
fn lead(args: &FinetuneArgs, ranks: &Ranks) -> Result<(), TrainError> {
    match &args.resume {
        Some(Resume::Run(run)) => {
            args.refuse_beside_resume()?;
            resume(args, run, ranks)
        }
        Some(Resume::Auto) => {
            let mut request = request(args, Progress::new(args.quiet))?;
            let name = args.run_name.clone().unwrap_or_else(|| default_name(&request));
            let path = args.output_dir.join(&name);
            if !path.join("run.toml").is_file() {
                return start(args, request, Some(&name), ranks);
            }
            let mut recorded = ResumedRecord::read(&path.join("run.toml"))?.request;
            // It was chosen when the run began, perhaps with another number of ranks.
            let micro_batches = recorded.settings.min_micro_batches;
            request.settings.min_micro_batches = request.settings.min_micro_batches.or(micro_batches);
            if args.budget.is_some() {
                // What fits the time is measured once.
                recorded.settings.strategy.clone_from(&request.settings.strategy);
            }
            same_settings(&path, &recorded, &request)?;
            resume(args, &path, ranks)
        }
        None => start(args, request(args, Progress::new(args.quiet))?, args.run_name.as_deref(), ranks),
    }
}

fn start(
    args: &FinetuneArgs,
    mut request: RunRequest,
    name: Option<&str>,
    ranks: &Ranks,
) -> Result<(), TrainError> {
    if !ranks.is_alone() {
        request.settings.min_micro_batches.get_or_insert(ranks.size());
    }
    let default = default_name(&request);
    let name =
        RunName { root: &args.output_dir, name, default: &default, replace: args.overwrite_output_dir };
    // Refused before anything is fetched or computed.
    name.check()?;
    let mut job = Job::prepare(request, Progress::new(args.quiet))?.shared_by(ranks)?;
    if let Some(budget) = args.budget {
        job.choose_within(budget)?;
    }
    // Whatever can be refused is refused before the folder is made.
    let loaded = job.new_model()?;
    let plan = job.plan(&loaded, &loaded.new)?;
    job.trunk_decision(&loaded.model, &plan)?;
    job.check_memory(&loaded, &plan)?;
    job.gather_ranks()?;
    let run = job.create(name, &loaded)?;
    job.start(&run, loaded, plan, args.json)?;
    mark_latest(&run, &default);
    Ok(())
}

fn resume(args: &FinetuneArgs, path: &Path, ranks: &Ranks) -> Result<(), TrainError> {
    let mut recorded = ResumedRecord::read(&path.join("run.toml"))?;
    if args.sources != crate::SourceOptions::default() {
        // What files are is compared by their hashes, wherever they come from now.
        recorded.request.sources = args.sources.clone();
    }
    let run = RunFolder::owned(path)?;
    if run.results().exists() {
        // It may have been stopped between its last file and this.
        Checkpoints::new(run.checkpoints(), 1).tidy()?;
        let finished = format!("{} is finished: {}", path.display(), run.results().display());
        if args.resume == Some(Resume::Auto) {
            say(&finished);
            follow::nothing_to_do(ranks);
            return Ok(());
        }
        return Err(TrainError::Usage(finished));
    }
    let job = Job::prepare(recorded.request.clone(), Progress::new(args.quiet))?.shared_by(ranks)?;
    job.resume(&run, &recorded, args.json)?;
    mark_latest(&run, &default_name(&recorded.request));
    Ok(())
}

/// Lets the link `latest` lead to a run with a default name. A run with a name of the user's is found by that name.
fn mark_latest(run: &RunFolder, default: &str) {
    let name = run.path().file_name().unwrap_or_default().to_string_lossy();
    let is_number = |rest: &str| rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok());
    if name.strip_prefix(default).is_some_and(|rest| rest.is_empty() || is_number(rest)) {
        run.mark_latest();
    }
}

/// The request of a run. By default, texts become tensors as they did when the model was trained.
pub(super) fn request(args: &FinetuneArgs, progress: Progress) -> Result<RunRequest, TrainError> {
    if let Some(request) = &args.request {
        return Ok(request.clone());
    }
    let backend = backend(args.backend)?;
    let preset = args.preset.unwrap_or(if backend.is_cpu() { Preset::Cpu } else { Preset::Full });
    let resolve = |defaults: &ModelDefaults| {
        let file = args.config.as_deref();
        settings::resolve(preset, defaults, file, std::env::vars(), &args.settings)
    };
    let settings = resolve(&ModelDefaults::default())?;
    let (model, dataset) = names(args, &settings.splits)?;
    let mut request = RunRequest {
        model,
        dataset,
        from_scratch: args.from_scratch.as_deref().map(read_config).transpose()?,
        columns: args.columns.clone(),
        task: args.task,
        trained_columns: None,
        backend: backend.to_string(),
        devices: devices::distinct(&args.devices)?,
        preset,
        sources: args.sources.clone(),
        settings,
    };
    // A file is recorded as what it says, so that the run can continue without it.
    let strategy = Strategy::from_name_or_file(&request.settings.strategy)?.to_string();
    request.check_dataset()?;
    let encoding = LocalModel::encoding_of(&args.sources.hub(progress.is_quiet()), &request.model)?;
    let defaults = encoding.defaults();
    request.settings = Settings { strategy, ..resolve(&defaults)? };
    request.trained_columns = encoding.columns().cloned();
    for notice in defaults.notices(&request.model, &request.settings) {
        progress.line(&notice);
    }
    request.resolved()
}

/// The text of a config.json, recorded as what it says: the run continues without the file.
fn read_config(path: &Path) -> Result<String, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|error| TrainError::file(path, error))?;
    ModelConfig::parse(&text)?;
    Ok(text)
}

/// `<model>-<dataset>`
pub(super) fn default_name(request: &RunRequest) -> String {
    format!("{}-{}", file_name(&request.model), file_name(&request.dataset))
}

/// Model and dataset as they were named.
fn names(args: &FinetuneArgs, splits: &SplitSettings) -> Result<(String, String), TrainError> {
    // With --from, the only name is that of the dataset.
    let (model, dataset) = match (&args.from, args.model.as_deref(), args.dataset.as_deref()) {
        (Some(_), dataset, None) => (None, dataset),
        (_, model, dataset) => (model, dataset),
    };
    match (&args.from, model, splits.dataset(dataset)?) {
        (None, Some(model), Some(dataset)) => {
            refuse_swapped(model, dataset, &args.sources.card_directories())?;
            Ok((model.to_owned(), dataset.to_owned()))
        }
        (Some(run), None, _) if !LocalModel::is_folder(run) => {
            refuse_other_folders(run)?;
            Err(TrainError::Usage(format!(
                "{} is not a run folder and contains no model; --from takes the folder of a finished run",
                run.display()
            )))
        }
        (Some(run), None, Some(dataset)) => Ok((run.display().to_string(), dataset.to_owned())),
        _ => Err(TrainError::Usage(
            "name a model and a dataset, or a run and a dataset: temper finetune --from RUN DATASET".into(),
        )),
    }
}

/// Refuses the name of a dataset for a model and of a model for a dataset.
fn refuse_swapped(model: &str, dataset: &str, cards: &[PathBuf]) -> Result<(), TrainError> {
    let is_dataset = catalogue().find(model).is_none() && find_card(model, cards).is_ok();
    if is_dataset && catalogue().find(dataset).is_some() {
        return Err(TrainError::Usage(format!(
            "{model} is a dataset and {dataset} a model; the model comes first: {dataset} {model}"
        )));
    }
    Ok(())
}

fn file_name(name: &str) -> String {
    let path = Path::new(name.trim_end_matches('/'));
    let stem = path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned());
    // Of a pattern, the part before its first special character.
    match stem.split_once(['*', '?', '[']) {
        Some((start, _)) => start.trim_end_matches(['-', '_', '.']).to_owned(),
        None => stem,
    }
}
