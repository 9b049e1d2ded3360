//! The programs of the tests that compare kernels for GPUs with the CPU's operations.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::{cargo, root};

/// Builds them for a backend with these features; where they are.
pub fn build(features: &[&str]) -> Result<Vec<PathBuf>> {
    let mut build = cargo();
    build.current_dir(root()).args(["test", "--release", "--no-run", "--message-format", "json"]);
    // The packages of the programs, too, so that nothing is compiled again with other features.
    build.args(["--package", "temper-kernels", "--package", "temper-train", "--package", "temper-bench"]);
    build.args(["--test", "gpu", "--test", "tensor_cores"]).args(features).stderr(Stdio::inherit());
    let output = build.output().context("cargo could not be started")?;
    if !output.status.success() {
        bail!("the tests of kernels could not be built");
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_of_kernels =
        |message: &Value| message["package_id"].as_str().is_some_and(|id| id.contains("temper-kernels"));
    let programs = messages.filter(is_of_kernels);
    Ok(programs.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).collect())
}
