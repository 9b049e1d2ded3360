//! `temper finetune`.

mod args;
mod estimate;
mod finish;
mod interrupt;
mod job;
mod prepared;

pub use args::{FinetuneArgs, SettingFlags};
pub(super) use prepared::Prepared;

use std::path::Path;

use super::{backend, too_long};
use crate::record::{ResumedRecord, RunRequest};
use crate::settings::{self, Preset};
use crate::tasks::{Task, TextClassification};
use crate::training::Progress;
use crate::{RunFolder, TrainError};
use job::Job;

/// Runs the command.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Interrupted`] after Ctrl-C.
pub fn finetune(args: &FinetuneArgs) -> Result<(), TrainError> {
    // The one task there is; another is chosen here, by the dataset's card.
    finetune_for::<TextClassification>(args)
}

fn finetune_for<T: Task>(args: &FinetuneArgs) -> Result<(), TrainError> {
    let progress = Progress::new(args.quiet);
    match &args.resume {
        Some(run) => {
            let recorded = ResumedRecord::read(&run.join("run.toml"))?;
            let run = RunFolder::existing(run);
            Job::<T>::prepare(recorded.request.clone(), progress)?.resume(&run, &recorded, args.json)
        }
        None => {
            let request = request(args)?;
            let default = default_name(&request);
            // Refused before anything is fetched or computed.
            if let Some(name) = &args.run_name
                && args.output_dir.join(name).exists()
                && !args.overwrite_output_dir
            {
                return Err(TrainError::RunExists { path: args.output_dir.join(name) });
            }
            let job = Job::<T>::prepare(request, progress)?;
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

pub(super) fn request(args: &FinetuneArgs) -> Result<RunRequest, TrainError> {
    if let Some(request) = &args.request {
        return Ok(request.clone());
    }
    let backend = backend(args.backend)?;
    let preset = args.preset.unwrap_or(if backend.is_cpu() { Preset::Cpu } else { Preset::Full });
    let settings = settings::resolve(preset, args.config.as_deref(), std::env::vars(), &args.settings)?;
    Ok(RunRequest {
        // clap requires both when there is no --resume.
        model: args.model.clone().unwrap_or_default(),
        dataset: args.dataset.clone().unwrap_or_default(),
        columns: args.columns.clone(),
        backend: backend.to_string(),
        preset,
        sources: args.sources.clone(),
        settings,
    })
}

/// `<model>-<dataset>`
pub(super) fn default_name(request: &RunRequest) -> String {
    format!("{}-{}", file_name(&request.model), file_name(&request.dataset))
}

fn file_name(name: &str) -> String {
    let path = Path::new(name.trim_end_matches('/'));
    path.file_stem().map_or_else(|| name.into(), |stem| stem.to_string_lossy().into_owned())
}
