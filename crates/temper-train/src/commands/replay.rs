//! `temper replay`: a run that can be audited.

use std::path::PathBuf;

use serde::Deserialize;

use super::finetune::job::Job;
use crate::run::record::ResumedRecord;
use crate::terminal::{print_line, say};
use crate::training::{Checkpoint, Checkpoints, JournalRow, Progress, read_journal};
use crate::{RunFolder, SourceOptions, TrainError};

/// Compute steps of a run again and compare losses and parameters, bit for bit
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// The run's folder
    pub run: PathBuf,
    /// Which steps: 40:60 begins at the newest checkpoint up to step 40, or at the beginning, and ends after step 60
    #[arg(long, value_name = "FROM:TO", value_parser = steps)]
    pub steps: (usize, usize),
    /// Print only errors on stderr
    #[arg(long)]
    pub quiet: bool,
    /// Print the comparison as JSON
    #[arg(long)]
    pub json: bool,
    /// Where files may come from; the run's own by default
    #[command(flatten)]
    pub sources: SourceOptions,
}

fn steps(text: &str) -> Result<(usize, usize), String> {
    let (from, to) = text.split_once(':').ok_or("write it as FROM:TO, such as 40:60")?;
    let number = |text: &str| text.trim().parse::<usize>().map_err(|error| format!("{text:?}: {error}"));
    let (from, to) = (number(from)?, number(to)?);
    if from < to { Ok((from, to)) } else { Err(format!("{from} is not before {to}")) }
}

/// Runs the command. The run itself is read and not changed.
///
/// # Errors
/// See [`TrainError`]; [`TrainError::Replay`] where something differs.
pub fn replay(args: &ReplayArgs) -> Result<(), TrainError> {
    let run = RunFolder::existing(&args.run);
    let mut recorded = ResumedRecord::read(&run.record())?;
    if args.sources != SourceOptions::default() {
        recorded.request.sources = args.sources.clone();
    }
    refuse_several_ranks(&run)?;
    let (from, to) = args.steps;
    let checkpoint = checkpoint(&Checkpoints::new(run.checkpoints(), 1), from);
    let from = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.step);
    let before = comparable(read_journal(&run.journal())?, from, to);
    if before.is_empty() {
        return Err(TrainError::Usage(format!(
            "{} logs nothing from step {} to step {to}; metrics.jsonl says at which steps there is something to compare",
            args.run.display(),
            from + 1
        )));
    }
    let notice = recorded.other_machine();
    if let (Some(notice), false) = (&notice, args.quiet) {
        say(notice);
    }
    let scratch = tempfile::tempdir().map_err(|error| TrainError::file(std::env::temp_dir(), error))?;
    let scratch = RunFolder::existing(scratch.path());
    let job = Job::prepare(recorded.request.clone(), Progress::new(args.quiet))?;
    job.replay(&scratch, &recorded, checkpoint, to)?;
    let again = comparable(read_journal(&scratch.journal())?, from, to);
    if let Some(step) = first_difference(&before, &again) {
        return Err(TrainError::Replay { run: args.run.clone(), step });
    }
    let compared = before.len();
    if args.json {
        return print_line(
            &serde_json::json!({ "from": from, "to": to, "compared": compared, "equal": true }).to_string(),
        );
    }
    print_line(&format!("steps {} to {to}: {compared} rows of hashes are equal", from + 1))
}

/// Refuses a run that several ranks computed: one process adds up in another order.
fn refuse_several_ranks(run: &RunFolder) -> Result<(), TrainError> {
    #[derive(Default, Deserialize)]
    struct Computed {
        #[serde(default)]
        ranks: Vec<(usize, usize)>,
    }
    let results = std::fs::read_to_string(run.results()).ok();
    let finished: Option<Computed> = results.and_then(|text| serde_json::from_str(&text).ok());
    let newest = || checkpoint(&Checkpoints::new(run.checkpoints(), 1), usize::MAX);
    let ranks = finished.map_or_else(|| newest().map(|found| found.state.ranks), |found| Some(found.ranks));
    match ranks.unwrap_or_default().iter().map(|&(_, ranks)| ranks).max() {
        Some(most) if most > 1 => Err(TrainError::Usage(format!(
            "{} was computed by {most} ranks, whose sums one process rounds otherwise: its bits cannot be compared",
            run.path().display()
        ))),
        _ => Ok(()),
    }
}

/// The newest whole checkpoint up to a step.
fn checkpoint(checkpoints: &Checkpoints, step: usize) -> Option<Checkpoint> {
    checkpoints.steps().ok()?.into_iter().filter(|&at| at <= step).find_map(|at| checkpoints.at(at).ok())
}

/// What two computations of the same steps have in common: the hashes of losses and parameters.
fn comparable(rows: Vec<JournalRow>, from: usize, to: usize) -> Vec<(usize, Vec<String>)> {
    let hashes = rows.into_iter().filter_map(|row| match row {
        JournalRow::Train(row) => Some((row.step, vec![row.losses])),
        JournalRow::Checkpoint(row) => Some((
            row.step,
            [Some(row.losses), Some(row.parameters), row.adapters].into_iter().flatten().collect(),
        )),
        JournalRow::Eval(_) => None,
    });
    hashes.filter(|(step, _)| (from + 1..=to).contains(step)).collect()
}

fn first_difference(before: &[(usize, Vec<String>)], again: &[(usize, Vec<String>)]) -> Option<usize> {
    let missing = before.iter().find(|row| !again.contains(row));
    missing.or_else(|| again.iter().find(|row| !before.contains(row))).map(|(step, _)| *step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_steps_in_order() {
        assert_eq!(steps("40:60"), Ok((40, 60)));
        for wrong in ["40", "60:40", "40:40", "a:3", "-1:3"] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_row_that_differs_is_named() {
        let row = |step: usize, hash: &str| (step, vec![hash.to_owned()]);
        let before = [row(10, "a"), row(20, "b"), row(30, "c")];
        assert_eq!(first_difference(&before, &before), None);
        assert_eq!(first_difference(&before, &[row(10, "a"), row(20, "x"), row(30, "y")]), Some(20));
        assert_eq!(first_difference(&before, &before[..2]), Some(30));
        assert_eq!(first_difference(&before[..2], &before), Some(30));
    }
}
