//! `temper compare`: one model and dataset under several strategies and seeds.

mod baseline;
mod child;
mod grid;
mod log;
mod outcome;
mod plot;
mod remaining_time;
mod shard;
mod strategies;
mod summary;
mod table;

pub(super) use grid::Grid;
pub(super) use outcome::{FailedRun, GridResults};
pub use shard::Shard;
pub(super) use strategies::{NamedStrategy, split_strategies};
pub use summary::{BaselineRow, ScoreDifference, StrategyComparison, StrategyRow};
pub(super) use table::{TextTable, mean};

use std::path::{Path, PathBuf};

use super::FinetuneArgs;
use super::finetune::{Prepared, default_name, request};
use crate::run::record::RunRequest;
use crate::terminal::print;
use crate::training::Progress;
use crate::{RunFolder, TrainError};

/// Fine-tune under several strategies and seeds, beside simple baselines
///
/// Each strategy and seed is a run in the folder of the comparison. The same command again continues where
/// it stopped. compare.json, compare.md and compare.svg have the results.
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("resume", |arg| arg.hide(true)), mut_arg("strategy", |arg| arg.hide(true)))]
#[command(mut_arg("budget", |arg| arg.hide(true)), mut_arg("rank_timeout", |arg| arg.hide(true)))]
#[command(mut_arg("json", |arg| arg.help("Print compare.json on stdout, not the table")))]
#[command(mut_arg("run_name", |arg| arg.help("Name of the folder of all runs")))]
#[command(mut_arg("overwrite_output_dir", |arg| arg.help("Replace a comparison of the same name")))]
pub struct CompareArgs {
    /// Strategies separated by commas, each as for finetune --strategy; head@1e-3 gives one a learning rate of its own
    #[arg(long, default_value = "all,last:2,head")]
    pub strategies: String,
    /// Runs per strategy; their seeds are --seed and the numbers after it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: u16,
    /// Train only every N-th run, from run I on (counted from 0): for job arrays, whose jobs share the folder. The job
    /// that trains the last run writes the table; so does the same command without --shard, which trains what is missing
    #[arg(long, value_name = "I/N", conflicts_with = "overwrite_output_dir")]
    pub shard: Option<Shard>,
    /// Options of every run
    #[command(flatten)]
    pub run: FinetuneArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::GridInterrupted`] after Ctrl-C.
pub fn compare_strategies(args: &CompareArgs) -> Result<(), TrainError> {
    let progress = Progress::new(args.run.quiet);
    let strategies = split_strategies(&args.strategies)?;
    let request = shared_request(&args.run, "--strategies")?;
    let folder = folder(&args.run, &request, "compare");
    let replace = args.run.overwrite_output_dir;
    let grid = Grid::new(folder, request, strategies, args.seeds, replace, progress)?;
    let mut lock = None;
    if let Some(shard) = args.shard {
        lock = grid.begin_after(shard)?;
        if lock.is_none() {
            return Ok(());
        }
    }
    // If all runs are finished, there is nothing to check and nothing to compute.
    let mut prepared = None;
    if !grid.is_done() || !baseline::are_written(grid.folder()) {
        let mut refusing = Prepared::new(grid.request(), progress)?;
        grid.strategies().iter().try_for_each(|named| refusing.check(&named.strategy))?;
        prepared = Some(refusing);
    }
    let lock = lock.map_or_else(|| grid.begin(), Ok)?;
    let baselines = baseline::read_or_compute(grid.folder(), prepared.as_ref(), progress)?;
    // The runs need this memory.
    drop(prepared);
    let outcomes = grid.run(&lock)?;
    let failures = outcomes.failures.clone();
    let comparison = StrategyComparison::new(&grid, &outcomes, &baselines)?;
    write(grid.folder(), &comparison, &failures)?;
    let text = if args.run.json { json(&comparison)? } else { text(&comparison) };
    print(&text)?;
    progress.line(&format!("compare.json, compare.md and compare.svg are in {}", grid.folder().display()));
    failures.first().map_or(Ok(()), |failure| Err(failure.error()))
}

/// What all runs have in common; its strategy is only a placeholder.
pub(super) fn shared_request(args: &FinetuneArgs, instead: &str) -> Result<RunRequest, TrainError> {
    if args.resume.is_some() {
        return Err(TrainError::Usage(
            "--resume is for a single run; the same command as before continues all of them".into(),
        ));
    }
    if args.budget.is_some() {
        return Err(TrainError::Usage(format!("--budget chooses one strategy; give {instead}")));
    }
    if args.settings.given.contains_key("strategy") {
        return Err(TrainError::Usage(format!("--strategy is for a single run; give {instead}")));
    }
    let mut request = request(args, Progress::new(args.quiet))?;
    if request.settings.metric_for_best_model.is_some() || request.settings.greater_is_better.is_some() {
        return Err(TrainError::Usage(
            "--metric-for-best-model and --greater-is-better are for a single run; runs are compared by the task's own metric".into(),
        ));
    }
    request.settings.strategy = "all".into();
    Ok(request)
}

/// The folder of all runs. Its name depends only on model and dataset, so the same command finds it again and continues.
pub(super) fn folder(args: &FinetuneArgs, request: &RunRequest, kind: &str) -> PathBuf {
    let default = || format!("{kind}-{}", default_name(request));
    args.output_dir.join(args.run_name.clone().unwrap_or_else(default))
}

fn json(comparison: &StrategyComparison) -> Result<String, TrainError> {
    let text = serde_json::to_string(comparison).map_err(|error| TrainError::file("stdout", error))?;
    Ok(text + "\n")
}

fn text(comparison: &StrategyComparison) -> String {
    format!("{}\n{}\n", comparison.table().text(), comparison.notes())
}

fn write(folder: &Path, comparison: &StrategyComparison, failures: &[FailedRun]) -> Result<(), TrainError> {
    let run = RunFolder::existing(folder);
    run.write_json(&folder.join("compare.json"), comparison)?;
    let failed: String = failures.iter().map(|failure| format!("\n- {} failed", failure.name)).collect();
    let page = format!(
        "# {}\n\n{}\n{}\n{failed}\n![{} against training time](compare.svg)\n",
        comparison.title(),
        comparison.table().markdown(),
        comparison.notes(),
        comparison.metric
    );
    temper_files::write(&folder.join("compare.md"), page.as_bytes())?;
    Ok(temper_files::write(&folder.join("compare.svg"), plot::draw(comparison).as_bytes())?)
}
