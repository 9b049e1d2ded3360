//! `cargo xtask carry`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::Backend;
use crate::cargo::{binary, build, features, name, root, run};
use crate::kernel_tests;
use crate::python::{Environment, scripts};

/// What is packed.
#[derive(clap::Args)]
pub struct CarryArgs {
    #[command(flatten)]
    environment: Environment,
    /// Folder for run.sh and the pack
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A folder with the Hub's layout that contains IMDB
    #[arg(long, value_name = "DIR")]
    mirror: PathBuf,
    /// What the programs are built for; flex tries everything out without a GPU
    #[arg(long, default_value = "cuda")]
    backend: Backend,
    /// Pack the tests of kernels, too: 14 MiB more
    #[arg(long)]
    kernel_tests: bool,
}

/// Builds the programs and packs them with fixtures, model, data and scripts.
pub fn pack(args: &CarryArgs, cuda_offline: bool) -> Result<ExitCode> {
    let python = args.environment.python()?;
    let features = features(args.backend, cuda_offline)?;
    eprintln!("building temper and its benchmark for {} (the first time takes minutes)", name(args.backend));
    build(&["--package", "temper-train", "--package", "temper-bench", "--bins"], features)?;
    let mut pack = Command::new(python);
    pack.arg(scripts().join("carry/pack.py"));
    pack.arg("--temper-bench").arg(binary("temper-bench"));
    pack.arg("--fixtures").arg(root().join("crates/temper-models/tests/fixtures/zoo"));
    pack.arg("--mirror").arg(&args.mirror).arg("--out").arg(&args.out);
    pack.arg("--backend").arg(name(args.backend));
    if args.kernel_tests {
        pack.arg("--kernel-tests").args(kernel_tests::build(features)?);
    }
    pack.arg("--version").arg(env!("CARGO_PKG_VERSION")).arg("--commit").arg(commit());
    run(&mut pack)?;
    Ok(ExitCode::SUCCESS)
}

/// What git says of the checkout.
fn commit() -> String {
    let described =
        Command::new("git").current_dir(root()).args(["describe", "--always", "--dirty"]).output();
    let text = described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown commit".into())
}
