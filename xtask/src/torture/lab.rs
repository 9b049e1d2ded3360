//! What trials share: the workload, its uninterrupted runs, and the demand that nothing is lost.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::draw::Draw;
use super::merge::Merge;
use super::outcome::{Outcome, TEMPORARY};
use super::process::run;
use super::recording::{Phase, Recording, step_of};
use super::workload::{RUN, Scenario, Workload};

/// One kind of run, uninterrupted.
pub struct Baseline {
    /// Which kind.
    pub scenario: Scenario,
    /// What it leaves.
    pub expected: Outcome,
    /// What it does to its files.
    pub recording: Recording,
}

/// Everything that a trial reads.
pub struct Lab {
    /// The binary and its inputs.
    pub workload: Workload,
    /// Each kind of run.
    pub baselines: Vec<Baseline>,
    /// The adapter of a finished run.
    pub adapter: PathBuf,
    /// What a merge of it does.
    pub merge: Merge,
}

/// How a trial went.
pub struct Verdict {
    /// When the blow fell.
    pub phase: Phase,
    /// True if a run resumed from a checkpoint.
    pub resumed: bool,
    /// What was lost, a line each.
    pub losses: Vec<String>,
}

impl Lab {
    /// Writes the inputs and runs each kind twice: plainly, and recorded.
    pub fn set_up(temper: &Path, folder: &Path) -> Result<Self> {
        let workload = Workload::write(temper, &folder.join("inputs"))?;
        let mut baselines = Vec::new();
        for scenario in Scenario::ALL {
            let plain = folder.join("plain").join(scenario.name());
            let (out, run_folder) = places(&plain)?;
            let ended = run(&workload.finetune(scenario, &out), &plain)?;
            if ended.code() != Some(0) {
                bail!("an uninterrupted run ended with {}: {}", ended.says(), ended.stderr.trim());
            }
            let expected = Outcome::read(&run_folder)?;
            let recorded = folder.join("recorded").join(scenario.name());
            let (out, run_folder) = places(&recorded)?;
            let recording = Recording::make(&workload.finetune(scenario, &out), &out, &recorded)?;
            let differences = expected.differences(&run_folder);
            if !differences.is_empty() {
                bail!("two uninterrupted runs differ: {}", differences.join("; "));
            }
            baselines.push(Baseline { scenario, expected, recording });
        }
        let adapter =
            folder.join("plain").join(Scenario::Adapters.name()).join("out").join(RUN).join("adapter");
        let merge = Merge::record(|merged| workload.merge(&adapter, merged), &folder.join("merge"))?;
        Ok(Self { workload, baselines, adapter, merge })
    }

    /// One kind of run.
    pub fn baseline(&self, draw: &mut Draw) -> Result<&Baseline> {
        draw.pick(&self.baselines).context("there is no kind of run")
    }

    /// Runs the same command to its end and says what is lost: the run has to be as if nothing had happened,
    /// and may not begin before a checkpoint that is `certain` to be there.
    pub fn finish(&self, baseline: &Baseline, folder: &Path, certain: u64) -> Result<(bool, Vec<String>)> {
        let out = folder.join("out");
        let run_folder = out.join(RUN);
        let was_finished = run_folder.join("results.json").exists();
        age_strays(&out)?;
        let ended = run(&self.workload.finetune(baseline.scenario, &out), folder)?;
        let began = began_after(&ended.stderr);
        if ended.code() != Some(0) {
            let last = ended.stderr.trim().lines().last().unwrap_or_default().to_owned();
            return Ok((false, vec![format!("the same command ended with {}: {last}", ended.says())]));
        }
        let mut losses = baseline.expected.differences(&run_folder);
        if !was_finished && began.unwrap_or_default() < certain {
            let began = began.map_or("the beginning".into(), |step| format!("step {step}"));
            losses.push(format!("it resumed from {began}, although step {certain} was certain to be there"));
        }
        Ok((began.is_some(), losses))
    }
}

/// Makes the folder of a trial and that of its runs.
pub fn places(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let out = folder.join("out");
    std::fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    Ok((out.clone(), out.join(RUN)))
}

/// The newest checkpoint of a run whose process is gone; 0 where there is none.
pub fn newest_checkpoint(run_folder: &Path) -> u64 {
    let entries = std::fs::read_dir(run_folder.join("checkpoints")).into_iter().flatten().flatten();
    entries.filter_map(|entry| step_of(entry.file_name().to_str()?)).max().unwrap_or_default()
}

/// The step from which a run says that it resumed; the highest number if only its end was missing.
fn began_after(stderr: &str) -> Option<u64> {
    let line = stderr.lines().find(|line| line.starts_with("resuming "))?;
    let (_, step) = line.rsplit_once(" after ")?;
    if step.starts_with("its last step") {
        return Some(u64::MAX);
    }
    step.strip_prefix("step ")?.split_whitespace().next()?.parse().ok()
}

/// Lets an hour pass for what a process left among the runs: others may begin there, so only old things are swept.
fn age_strays(out: &Path) -> Result<()> {
    let then = SystemTime::now() - Duration::from_secs(3600);
    for entry in std::fs::read_dir(out)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            File::open(entry.path())?.set_modified(then)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_where_it_goes_on() {
        assert_eq!(began_after("reading\nresuming runs/a after step 15\nmore"), Some(15));
        assert_eq!(began_after("resuming runs/a after its last step\n"), Some(u64::MAX));
        assert_eq!(began_after("resuming runs/a from the beginning: it has no checkpoint yet"), None);
        assert_eq!(began_after("after step 3"), None);
    }
}
