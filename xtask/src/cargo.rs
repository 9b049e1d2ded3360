//! Calls of cargo, and the features of each backend.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::Backend;

/// The workspace's root: that of the checkout whose `cargo xtask` runs, whichever one this binary was built in.
pub fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_path_buf()
}

/// Cargo itself.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds the binary for the backend that the arguments name, then runs a command of it.
pub fn temper(command: &str, arguments: &[String], cuda_offline: bool) -> Result<ExitCode> {
    let backend = backend(arguments)?;
    let features = features(backend, cuda_offline)?;
    if !binary("temper").exists() {
        eprintln!("building temper with the {} backend; the first build takes minutes", name(backend));
    }
    build(&["--package", "temper-train", "--bin", "temper"], features)?;
    let binary = binary("temper");
    let mut run = Command::new(&binary);
    run.arg(command).args(arguments);
    let status = run.status().with_context(|| format!("{} could not be started", binary.display()))?;
    Ok(exit_code(status))
}

/// Builds what the selection names, in the profile of runs and tests.
pub fn build(selection: &[&str], features: &[&str]) -> Result<()> {
    run(cargo().current_dir(root()).args(["build", "--release"]).args(selection).args(features))
}

/// Where a binary of this workspace is after it was built.
pub fn binary(name: &str) -> PathBuf {
    target_dir().join("release").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// The same features as in the tests for flex, so that Burn is compiled once.
pub fn features(backend: Backend, cuda_offline: bool) -> Result<&'static [&'static str]> {
    Ok(match (backend, cuda_offline) {
        (Backend::Cuda, false) => &["--features", "cuda"],
        // Without cubecl-llvm, which downloads LLVM when it is built.
        (Backend::Cuda, true) => &["--features", "cuda-nvrtc", "--config", "ci/cuda-offline.toml"],
        (_, true) => bail!("--cuda-offline says how to build for --backend cuda, which is not asked for"),
        (Backend::Wgpu, false) => &["--features", "wgpu"],
        (Backend::Flex, false) => &[],
        (Backend::Ndarray, false) => &["--no-default-features", "--features", "ndarray,online"],
    })
}

fn backend(arguments: &[String]) -> Result<Backend> {
    let mut given = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--backend" {
            given = rest.next().cloned();
        } else if let Some(value) = argument.strip_prefix("--backend=") {
            given = Some(value.to_owned());
        }
    }
    let Some(given) = given else { return Ok(Backend::Flex) };
    // The number of a GPU is for the binary.
    let kind = given.strip_prefix("cuda:").map_or(given.as_str(), |_| "cuda");
    Backend::from_str(kind, false)
        .map_err(|_| anyhow::anyhow!("--backend {given} is not one of flex, ndarray, cuda, cuda:N, wgpu"))
}

/// The name of a backend, as --backend has it.
pub fn name(backend: Backend) -> String {
    backend.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Every test, in the profile that runs use, so that Burn is compiled once.
pub fn test(arguments: &[String]) -> Result<ExitCode> {
    let mut test = cargo();
    test.current_dir(root()).args(["test", "--release", "--workspace"]).args(arguments);
    Ok(exit_code(test.status().context("cargo could not be started")?))
}

/// A child's exit code; 130 when a signal ended it.
pub fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(130))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offline_build_is_for_cuda_alone() {
        assert!(features(Backend::Cuda, true).unwrap().contains(&"ci/cuda-offline.toml"));
        assert!(features(Backend::Flex, true).is_err());
    }

    fn parse(arguments: &[&str]) -> Result<Backend> {
        backend(&arguments.iter().map(|argument| argument.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_backend_is_read_in_both_spellings() {
        assert_eq!(parse(&["bert", "imdb"]).unwrap(), Backend::Flex);
        assert_eq!(parse(&["bert", "imdb", "--backend", "ndarray"]).unwrap(), Backend::Ndarray);
        assert_eq!(parse(&["--backend=cuda", "bert"]).unwrap(), Backend::Cuda);
        assert_eq!(parse(&["--backend", "cuda:1"]).unwrap(), Backend::Cuda);
        assert!(parse(&["--backend", "tpu"]).unwrap_err().to_string().contains("flex, ndarray, cuda"));
    }
}
