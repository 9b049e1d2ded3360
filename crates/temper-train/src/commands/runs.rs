//! `temper runs`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use super::compare::TextTable;
use super::differences::{SettingDifference, differences};
use crate::run::record::ResumedRecord;
use crate::terminal::{print, print_line, say};
use crate::training::Checkpoints;
use crate::{RunFolder, TrainError};

/// List runs, show one, compare two, or remove the checkpoints of finished ones
#[derive(Clone, Debug, clap::Args)]
pub struct RunsArgs {
    #[command(subcommand)]
    action: Option<RunsAction>,
    /// Where runs are kept
    #[arg(long, default_value = "runs", value_name = "DIR", global = true)]
    pub output_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum RunsAction {
    /// List the runs of a folder, the newest first (the default)
    List,
    /// Show what a run was asked to do, and its scores
    Show {
        /// A run folder
        run: PathBuf,
    },
    /// Show the settings and scores in which two runs differ
    Diff {
        /// A run folder
        first: PathBuf,
        /// Another one
        second: PathBuf,
    },
    /// Remove the checkpoints of finished runs: their models, results and logs stay
    Prune {
        /// Remove them; without it they are only listed
        #[arg(long)]
        yes: bool,
    },
}

/// A run as one line.
#[derive(Serialize)]
struct Summary {
    name: String,
    model: String,
    dataset: String,
    strategy: String,
    /// True if it is finished.
    is_finished: bool,
    /// Optimiser steps: all of a finished run, those of the newest checkpoint of another.
    steps: Option<u64>,
    /// The first metric of the test split.
    metric: Option<String>,
    /// Its value.
    score: Option<f64>,
    /// Wall time of training.
    training_seconds: Option<f64>,
    #[serde(skip)]
    begun: Option<SystemTime>,
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::Usage`] for a folder that is no run; [`TrainError::File`].
pub fn runs(args: &RunsArgs) -> Result<(), TrainError> {
    match &args.action {
        None | Some(RunsAction::List) => list(args),
        Some(RunsAction::Show { run }) => show(run, args.json),
        Some(RunsAction::Diff { first, second }) => diff(first, second, args.json),
        Some(RunsAction::Prune { yes }) => prune(args, *yes),
    }
}

/// The run folders in a folder, by name; the link to the latest is none of its own.
fn folders(root: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = std::fs::read_dir(root).map_err(|error| TrainError::file(root, error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| TrainError::file(root, error))?;
    paths.retain(|path| !path.is_symlink() && path.join("run.toml").is_file());
    paths.sort();
    Ok(paths)
}

fn list(args: &RunsArgs) -> Result<(), TrainError> {
    let mut runs = Vec::new();
    for path in folders(&args.output_dir)? {
        match summary(&path) {
            Ok(summary) => runs.push(summary),
            Err(error) => say(&format!("note: {}: {error}", path.display())),
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse(run.begun));
    if args.json {
        return print_line(&serde_json::json!({ "runs": runs }).to_string());
    }
    let mut table = TextTable::new(&["run", "model", "dataset", "strategy", "steps", "test", "training"]);
    for run in runs {
        let steps = run.steps.map_or("-".into(), |steps| steps.to_string());
        table.push(vec![
            run.name,
            last_part(&run.model),
            last_part(&run.dataset),
            run.strategy,
            if run.is_finished { steps } else { format!("{steps}, unfinished") },
            run.metric.zip(run.score).map_or("-".into(), |(metric, score)| format!("{metric} {score:.4}")),
            run.training_seconds.map_or("-".into(), |seconds| format!("{seconds:.0} s")),
        ]);
    }
    print(&table.text())
}

/// A name as it is; of a path its last part, which is enough in a table.
pub(super) fn last_part(name: &str) -> String {
    match Path::new(name) {
        path if path.is_absolute() || name.starts_with('.') => {
            path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
        }
        _ => name.to_owned(),
    }
}

fn summary(path: &Path) -> Result<Summary, TrainError> {
    let run = RunFolder::existing(path);
    let record = ResumedRecord::read(&run.record())?;
    let results = results(&run)?;
    let scores = results.as_ref().and_then(|results| results.pointer("/test/metrics")?.as_object());
    let headline = scores.and_then(|metrics| metrics.iter().next());
    let number = |name: &str| results.as_ref().and_then(|results| results.get(name));
    let saved = || Checkpoints::new(run.checkpoints(), 1).newest_step().map(|step| step as u64);
    Ok(Summary {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        model: record.request.model,
        dataset: record.request.dataset,
        strategy: record.request.settings.strategy,
        is_finished: results.is_some(),
        steps: number("steps").map_or_else(saved, Value::as_u64),
        metric: headline.map(|(name, _)| name.clone()),
        score: headline.and_then(|(_, value)| value.as_f64()),
        training_seconds: number("training_seconds").and_then(Value::as_f64),
        begun: std::fs::metadata(run.record()).and_then(|found| found.modified()).ok(),
    })
}

/// results.json; nothing of a run that is not finished.
fn results(run: &RunFolder) -> Result<Option<Value>, TrainError> {
    let path = run.results();
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| TrainError::content(&path, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::file(path, error)),
    }
}

/// The record and, of a finished run, the scores.
pub(super) fn opened(path: &Path) -> Result<(ResumedRecord, Option<Value>), TrainError> {
    let run = RunFolder::existing(path);
    if !run.record().is_file() {
        return Err(TrainError::Usage(format!("{} is not a run folder: it has no run.toml", path.display())));
    }
    Ok((ResumedRecord::read(&run.record())?, results(&run)?))
}

fn show(path: &Path, json: bool) -> Result<(), TrainError> {
    let (record, results) = opened(path)?;
    if json {
        let request = serde_json::to_value(&record.request).unwrap_or_default();
        return print_line(&serde_json::json!({ "request": request, "results": results }).to_string());
    }
    let request = toml::to_string(&record.request).map_err(|error| TrainError::content(path, error))?;
    let scores = match &results {
        Some(results) => lines(results.pointer("/test/metrics")),
        None => "not finished\n".into(),
    };
    print(&format!("{request}\n[test]\n{scores}"))
}

/// Names and numbers, one line each.
fn lines(metrics: Option<&Value>) -> String {
    let metrics = metrics.and_then(Value::as_object).into_iter().flatten();
    metrics.map(|(name, value)| format!("{name} = {value}\n")).collect()
}

fn diff(first: &Path, second: &Path, json: bool) -> Result<(), TrainError> {
    let [(left, left_results), (right, right_results)] = [opened(first)?, opened(second)?];
    let settings = differences(&left.request, &right.request);
    let scores = [left_results, right_results].map(|results| {
        results.and_then(|results| results.pointer("/test/metrics").cloned()).unwrap_or_default()
    });
    let names = names_of([first, second]);
    if json {
        let settings: Map<String, Value> = settings
            .into_iter()
            .map(|SettingDifference { setting, values }| (setting, values[..].into()))
            .collect();
        let found = serde_json::json!({ "runs": names, "settings": settings, "test": scores });
        return print_line(&found.to_string());
    }
    let [left, right] = names;
    let mut text = String::new();
    if settings.is_empty() {
        text = "the same settings\n".into();
    }
    for SettingDifference { setting, values: [first, second] } in settings {
        text += &format!("{setting}: {first} in {left}, {second} in {right}\n");
    }
    let [scores, others] = scores;
    for (name, value) in scores.as_object().into_iter().flatten() {
        let other = others.get(name).and_then(Value::as_f64);
        if let (Some(value), Some(other)) = (value.as_f64(), other) {
            let difference = other - value;
            text += &format!(
                "test {name}: {value:.4} in {left}, {other:.4} in {right} (difference {difference:+.4})\n"
            );
        }
    }
    print(&text)
}

/// The names of two runs; their paths where the names are the same.
fn names_of(runs: [&Path; 2]) -> [String; 2] {
    let names = runs.map(|run| run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned());
    if names[0] == names[1] { runs.map(|run| run.display().to_string()) } else { names }
}

/// Only of finished runs, and of none that a process works in: nothing is lost that a run needs.
fn prune(args: &RunsArgs, yes: bool) -> Result<(), TrainError> {
    let mut total = 0;
    for path in folders(&args.output_dir)? {
        let run = RunFolder::existing(&path);
        if !run.results().is_file() || !run.checkpoints().is_dir() {
            continue;
        }
        let bytes = bytes_below(&run.checkpoints());
        let size = bytesize::ByteSize(bytes);
        if !yes {
            print_line(&format!("{}: {size}", run.checkpoints().display()))?;
        } else {
            match RunFolder::owned(&path) {
                Ok(_owner) => temper_files::remove_folder(&run.checkpoints())?,
                Err(error @ TrainError::Owned { .. }) => {
                    say(&format!("note: {error}"));
                    continue;
                }
                Err(error) => return Err(error),
            }
            print_line(&format!("removed {}: {size}", run.checkpoints().display()))?;
        }
        total += bytes;
    }
    let total = bytesize::ByteSize(total);
    match yes {
        true => print_line(&format!("{total} are free again")),
        false => print_line(&format!("{total} in checkpoints of finished runs; --yes removes them")),
    }
}

/// The size of the files in a folder and in those below it; what cannot be read counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |found| found.len()),
        _ => 0,
    };
    entries.map(size).sum()
}
