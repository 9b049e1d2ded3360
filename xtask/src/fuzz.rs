//! `cargo xtask fuzz`: the fuzz targets, longer than their tests run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, exit_code, root};

/// Reads mutated files with everything that reads files; what fails is kept in target/fuzz.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("budget").required(true).args(["minutes", "inputs"])))]
pub struct FuzzArgs {
    /// Targets, such as safetensors or csv; all by default
    targets: Vec<String>,
    /// Minutes, shared equally by the targets
    #[arg(long)]
    minutes: Option<f64>,
    /// Inputs, shared equally by the targets
    #[arg(long)]
    inputs: Option<u64>,
    /// A number that decides which inputs; by default another one each time
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the targets one after another.
pub fn fuzz(args: &FuzzArgs) -> Result<ExitCode> {
    let known = targets()?;
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let chosen = if args.targets.is_empty() { &known } else { &args.targets };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut test = cargo();
    // With the whole workspace's features, as the tests are built: Burn is compiled once.
    test.current_dir(root()).args(["test", "--release", "--workspace", "--no-fail-fast"]);
    for target in chosen {
        test.args(["--test", target]);
    }
    test.env("TEMPER_FUZZ_SEED", args.seed.unwrap_or(now).to_string());
    if let Some(minutes) = args.minutes {
        test.env("TEMPER_FUZZ_MINUTES", (minutes / chosen.len() as f64).to_string());
    }
    if let Some(inputs) = args.inputs {
        test.env("TEMPER_FUZZ_INPUTS", inputs.div_ceil(chosen.len() as u64).to_string());
    }
    test.args(["--", "--nocapture"]);
    Ok(exit_code(test.status().context("cargo could not be started")?))
}

/// The names of all targets: a file of tests each.
fn targets() -> Result<Vec<String>> {
    let dir = root().join("crates/temper-fuzz/tests");
    let files = std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let paths: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    let is_target = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let names = paths.iter().filter(is_target).filter_map(|path| path.file_stem());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
