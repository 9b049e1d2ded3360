//! `temper plan`.

use std::process::{Command, Stdio};

use serde::Serialize;

use super::compare::split_strategies;
use super::finetune::job::Job;
use super::finetune::measure::duration;
use super::finetune::{FinetuneArgs, request};
use super::scaling::{OnRanks, ScalingOptions};
use crate::TrainError;
use crate::device::precision::is_faster_in_bf16;
use crate::run::Estimate;
use crate::terminal::{print, print_line};
use crate::training::Progress;

/// Estimate time, memory and disk of a run for several strategies, from one measured step each
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("resume", |arg| arg.hide(true)), mut_arg("strategy", |arg| arg.hide(true)))]
#[command(mut_arg("budget", |arg| arg.hide(true)), mut_arg("run_name", |arg| arg.hide(true)))]
#[command(mut_arg("rank_timeout", |arg| arg.hide(true)))]
#[command(mut_arg("output_dir", |arg| arg.hide(true)), mut_arg("overwrite_output_dir", |arg| arg.hide(true)))]
#[command(mut_arg("json", |arg| arg.help("Print the estimates as JSON on stdout, not the table")))]
pub struct PlanArgs {
    /// Strategies separated by commas, each as for finetune --strategy
    #[arg(long, default_value = "all,last:2,head")]
    pub strategies: String,
    /// Ranks that would share the run
    #[command(flatten)]
    pub scaling: ScalingOptions,
    /// The run to estimate
    #[command(flatten)]
    pub finetune: FinetuneArgs,
    /// Measure --strategy in this process and print it as JSON: what the command starts for each strategy
    #[arg(long, hide = true)]
    pub measure: bool,
}

impl PlanArgs {
    /// Refuses flags of `finetune` that an estimate does not depend on.
    fn refuse_what_plans_nothing(&self) -> Result<(), TrainError> {
        let FinetuneArgs { resume, budget, run_name, overwrite_output_dir, settings, .. } = &self.finetune;
        for (flag, is_given, instead) in [
            ("--resume", resume.is_some(), "name the model and the dataset"),
            ("--budget", budget.is_some(), "--strategies lists what is estimated"),
            ("--strategy", settings.given.contains_key("strategy"), "give --strategies"),
            ("--run-name", run_name.is_some(), "leave it out: nothing is written"),
            ("--overwrite-output-dir", *overwrite_output_dir, "leave it out: nothing is written"),
        ] {
            if is_given {
                return Err(TrainError::Usage(format!("{flag} is for temper finetune; {instead}")));
            }
        }
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// See [`TrainError`].
pub fn plan(args: &PlanArgs) -> Result<(), TrainError> {
    if args.measure {
        let prediction = measure(&args.finetune)?;
        print_line(&to_json(&prediction)?)?;
        return Ok(());
    }
    args.refuse_what_plans_nothing()?;
    let strategies = split_strategies(&args.strategies)?;
    // The processes that measure are quiet: what is taken from the model is said once.
    let request = request(&args.finetune, Progress::new(args.finetune.quiet))?;
    let predictions = strategies.iter().map(|named| in_own_process(&named.strategy, &[]));
    let predictions = predictions.collect::<Result<Vec<_>, _>>()?;
    if args.finetune.json {
        let planned = predictions.into_iter().map(|estimate| {
            let ranks = args.scaling.of(&estimate);
            Planned { estimate, ranks }
        });
        print_line(&to_json(&planned.collect::<Vec<_>>())?)?;
        return Ok(());
    }
    print(&(table(&predictions) + &args.scaling.table(&predictions)))?;
    let precision = request.settings.precision.named();
    match (predictions.first(), request.backend.parse()) {
        (Some(first), Ok(backend)) if is_faster_in_bf16(precision, backend) => {
            let bf16 = in_own_process(&first.strategy, &["--precision", "bf16"])?;
            print_line(&in_bf16(first, &bf16))
        }
        _ => Ok(()),
    }
}

/// What bf16 would save, in a sentence.
fn in_bf16(f32: &Estimate, bf16: &Estimate) -> String {
    let seconds = [bf16, f32].map(|estimate| duration(estimate.training_seconds));
    let memory = match [bf16, f32].map(|estimate| estimate.peak_memory_bytes) {
        [Some(bf16), Some(f32)] => format!(", {} MiB instead of {}", bf16 >> 20, f32 >> 20),
        _ => String::new(),
    };
    format!("{} with --precision bf16: {} instead of {}{memory}", f32.strategy, seconds[0], seconds[1])
}

/// The estimate for a strategy, also on several ranks.
#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    estimate: Estimate,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ranks: Vec<OnRanks>,
}

fn measure(args: &FinetuneArgs) -> Result<Estimate, TrainError> {
    let job = Job::prepare(request(args, Progress::new(true))?, Progress::new(true))?;
    let loaded = job.new_model()?;
    let plan = job.plan(&loaded, &loaded.new)?;
    let (clip, _) = job.optimizer(&plan);
    let model = job.task_model(loaded.model, &plan, 0, &clip);
    job.measure(&model, &plan)
}

/// The peak of memory is a process's: each strategy is measured in one of its own.
fn in_own_process(strategy: &str, more_flags: &[&str]) -> Result<Estimate, TrainError> {
    let failed = |error: std::io::Error| TrainError::file("temper", error);
    let program = std::env::current_exe().map_err(failed)?;
    // The flags of this process, whatever they were; of a flag that is given twice, the last one counts.
    let output = Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--measure", "--strategy", strategy])
        .args(more_flags)
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if !output.status.success() {
        return Err(TrainError::Child { code: output.status.code() });
    }
    serde_json::from_slice(&output.stdout).map_err(|error| TrainError::file("temper plan --measure", error))
}

fn to_json(value: &impl serde::Serialize) -> Result<String, TrainError> {
    serde_json::to_string(value).map_err(|error| TrainError::file("stdout", error))
}

fn table(predictions: &[Estimate]) -> String {
    let mut lines = vec![format!(
        "{:<20} {:>12} {:>7} {:>10} {:>12} {:>12} {:>9} {:>9} {:>11} {:>10}",
        "strategy",
        "trains",
        "steps",
        "training",
        "evaluation",
        "peak memory",
        "padding",
        "cut",
        "trunk cache",
        "disk"
    )];
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    for row in predictions {
        lines.push(format!(
            "{:<20} {:>12} {:>7} {:>10} {:>12} {:>12} {:>7.1} % {:>7.1} % {:>11} {:>10}",
            row.strategy,
            row.trainable_parameters,
            row.steps,
            duration(row.training_seconds),
            duration(row.evaluation_seconds),
            row.peak_memory_bytes.map_or("?".into(), mebibytes),
            row.padding_percent,
            row.truncated_percent,
            row.trunk_cache_bytes.map_or("-".into(), mebibytes),
            mebibytes(row.disk_bytes)
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_bf16_saves() {
        let estimate = |training_seconds: f64, mebibytes: u64| {
            let known = serde_json::json!({
                "strategy": "last:2", "trainable_parameters": 1, "steps": 10, "seconds_per_token": 0.1,
                "training_seconds": training_seconds, "evaluation_seconds": 1.0,
                "peak_memory_bytes": mebibytes << 20, "device_memory_bytes": null, "padding_percent": 0.0,
                "truncated_percent": 0.0, "trunk_cache_bytes": null, "disk_bytes": 1,
            });
            serde_json::from_value::<Estimate>(known).unwrap()
        };
        let (f32, mut bf16) = (estimate(80.0, 1000), estimate(50.0, 750));
        let sentence = "last:2 with --precision bf16: 50 s instead of 80 s";
        assert_eq!(in_bf16(&f32, &bf16), format!("{sentence}, 750 MiB instead of 1000"));
        bf16.peak_memory_bytes = None;
        assert_eq!(in_bf16(&f32, &bf16), sentence);
    }
}
