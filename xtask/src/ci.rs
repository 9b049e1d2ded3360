//! `cargo xtask ci`: everything that is checked before a change is taken, the cheap before the expensive.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::cargo::{binary, cargo, root, target_dir};
use crate::python::{is_version, tool};

/// Where clippy and others find nothing to say, or it fails.
const DENIED: [&str; 3] = ["--", "--deny", "warnings"];
const RUFF: &str = "0.17.6";
const CARGO_DENY: &str = "0.20.2";

/// Runs every check; stops at the first that fails.
pub fn check() -> Result<ExitCode> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    python()?;
    book()?;
    crate::features::check()?;
    dependencies()?;
    // Of Burn and the rest only what a type check needs is compiled; the steps after the tests use it, too.
    step(
        "clippy",
        cargo().args(["clippy", "--release", "--workspace", "--all-targets", "--locked"]).args(DENIED),
    )?;
    packages()?;
    let documentation = ["doc", "--release", "--no-deps", "--workspace", "--locked"];
    step("documentation", cargo().args(documentation).env("RUSTDOCFLAGS", "--deny warnings"))?;
    step("tests", cargo().args(["test", "--release", "--workspace", "--locked"]))?;
    torture()?;
    ranks()?;
    // Not linked: with LLVM, and without internet (docs/CUDA.md).
    let cuda = ["check", "--release", "--locked", "-p", "temper-train", "--features", "cuda"];
    step("CUDA", cargo().args(cuda).env("DOCS_RS", "1"))?;
    let offline = ["clippy", "--release", "--locked", "--tests"];
    let packages = ["-p", "temper-kernels", "-p", "temper-train", "-p", "temper-bench"];
    let features = ["--features", "temper-kernels/cuda,temper-train/cuda-nvrtc,temper-bench/cuda-nvrtc"];
    let config = ["--config", "ci/cuda-offline.toml"];
    step("CUDA without LLVM", cargo().args(offline).args(packages).args(features).args(config).args(DENIED))?;
    Ok(ExitCode::SUCCESS)
}

/// A check that has to succeed, and how long it took.
fn step(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("== {name}");
    let begun = Instant::now();
    let succeeded = crate::cargo::run(command.current_dir(root()));
    eprintln!("== {name}: {:.0} s", begun.elapsed().as_secs_f64());
    succeeded
}

/// What a registry would get; it uses what clippy compiled of the dependencies.
fn packages() -> Result<()> {
    eprintln!("== packages");
    let begun = Instant::now();
    crate::package::check()?;
    eprintln!("== packages: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Both languages of the book; the tests run its commands.
fn book() -> Result<()> {
    eprintln!("== book");
    let begun = Instant::now();
    crate::book::build()?;
    eprintln!("== book: {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Lints and formatting of the scripts in xtask/reference.
fn python() -> Result<()> {
    let scripts = crate::python::scripts();
    let ruff = tool("ruff", "ruff", RUFF)?;
    step("ruff check", Command::new(&ruff).arg("check").arg(&scripts))?;
    step("ruff format", Command::new(&ruff).args(["format", "--check"]).arg(&scripts))
}

/// Licences, sources and forbidden crates. Advisories are in a repository of their own, which cargo-deny
/// would fetch, so a machine that reaches only a package registry cannot check them.
fn dependencies() -> Result<()> {
    let tools = target_dir().join("ci");
    let deny = tools.join("bin/cargo-deny");
    if !is_version(&deny, CARGO_DENY) {
        // Unoptimised: compiling it is what takes time, a check takes seconds.
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--debug", "cargo-deny", "--version", CARGO_DENY]);
        step("cargo-deny", install.arg("--root").arg(&tools))?;
    }
    step("dependencies", Command::new(&deny).args(["--workspace", "check", "licenses", "bans", "sources"]))
}

/// Some kills, disk errors and power cuts, with the binary that the tests built.
fn torture() -> Result<()> {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: torture watches system calls with strace, which only Linux has");
        return Ok(());
    }
    if Command::new("strace").arg("--version").output().is_err() {
        step("strace", Command::new("apt-get").args(["install", "--yes", "--quiet", "strace"]))?;
    }
    step("torture", cargo().args(["xtask", "torture", "--temper"]).arg(binary("temper")))
}

/// Runs that several ranks of this machine share. Of all crates only temper-train has the feature and is compiled again, and
/// what takes time in a run is in others: it is not optimised.
fn ranks() -> Result<()> {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: the tests of MPI find the processes of ranks in /proc, which only Linux has");
        return Ok(());
    }
    if Command::new("mpirun").arg("--version").output().is_err() {
        let packages = ["openmpi-bin", "libopenmpi-dev", "libclang-dev"];
        step("lists of packages", Command::new("apt-get").args(["update", "--quiet"]))?;
        step("MPI", Command::new("apt-get").args(["install", "--yes", "--quiet"]).args(packages))?;
    }
    let test =
        ["test", "--release", "--locked", "-p", "temper-train", "--features", "mpi", "--test", "ranks"];
    let unoptimised = ["--config", "profile.release.package.temper-train.opt-level=0"];
    step("ranks", cargo().args(test).args(unoptimised))?;
    // It is compiled, and takes its place again.
    step(
        "temper without MPI",
        cargo().args(["build", "--release", "--workspace", "--bin", "temper", "--locked"]),
    )
}
