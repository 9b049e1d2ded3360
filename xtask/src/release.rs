//! `cargo xtask release TARGET`: an archive with the program, its completions and its pages for man.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, root, run, target_dir};

/// Shells, and the file in which each looks for completions of `temper`.
const SHELLS: [(&str, &str); 3] = [("bash", "temper.bash"), ("zsh", "_temper"), ("fish", "temper.fish")];
/// What else a user gets.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// What is built.
#[derive(clap::Args)]
pub struct ReleaseArgs {
    /// A target of rustc whose programs run here; install it with rustup target add. Targets with musl give a program
    /// that needs no library of the system
    #[arg(default_value = "x86_64-unknown-linux-musl")]
    target: String,
    /// Features of temper-train beyond the default ones
    #[arg(long, value_name = "FEATURES", default_value = "")]
    features: String,
    /// Where the archive and its checksum are written
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A program that runs on this machine and writes completions and pages, where the target's does not run here
    #[arg(long, value_name = "FILE")]
    host_temper: Option<PathBuf>,
}

/// Builds the program and packs it.
pub fn release(args: &ReleaseArgs) -> Result<ExitCode> {
    let built = build(args)?;
    let name = format!("temper-{}-{}", env!("CARGO_PKG_VERSION"), args.target);
    let out = args.out.clone().unwrap_or_else(|| target_dir().join("dist"));
    let folder = out.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(folder.join("completions"))?;
    fs::copy(&built, folder.join("temper")).with_context(|| built.display().to_string())?;
    for document in DOCUMENTS {
        fs::copy(root().join(document), folder.join(document)).with_context(|| document.to_owned())?;
    }
    let program = args.host_temper.as_ref().unwrap_or(&built);
    describe(program, &folder)?;
    let archive = format!("{name}.tar.gz");
    pack(&out, &name, &archive)?;
    println!("{}", out.join(&archive).display());
    Ok(ExitCode::SUCCESS)
}

/// The target's program; it names the commit in `--version`.
fn build(args: &ReleaseArgs) -> Result<PathBuf> {
    let mut build = cargo();
    build.current_dir(root()).args(["build", "--release", "--locked", "--package", "temper-train"]);
    build.args(["--bin", "temper", "--target", &args.target, "--features", &args.features]);
    run(build.env("TEMPER_COMMIT", commit()?))?;
    Ok(target_dir().join(&args.target).join("release/temper"))
}

fn commit() -> Result<String> {
    let mut git = Command::new("git");
    let output = git.current_dir(root()).args(["describe", "--always", "--dirty", "--abbrev=40"]).output();
    let output = output.context("git names the commit of a release")?;
    if !output.status.success() {
        bail!("git describe failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Completions and pages, as the program writes them.
fn describe(program: &Path, folder: &Path) -> Result<()> {
    let started = || format!("{} does not run here; --host-temper names one that does", program.display());
    for (shell, file) in SHELLS {
        let output = Command::new(program).args(["completions", shell]).output().with_context(started)?;
        if !output.status.success() {
            bail!("temper completions {shell} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        fs::write(folder.join("completions").join(file), output.stdout)?;
    }
    run(Command::new(program).arg("manual").arg(folder.join("man")))
}

/// An archive that has the same bytes for the same files, and its sha256 as `sha256sum -c` reads it.
fn pack(out: &Path, name: &str, archive: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.current_dir(out).args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
    // A separate gzip: tar's own puts the time into its header.
    run(tar.args(["--use-compress-program", "gzip -n9", "-cf", archive, name]))?;
    let output = Command::new("sha256sum").current_dir(out).arg(archive).output().context("sha256sum")?;
    if !output.status.success() {
        bail!("sha256sum {archive} failed");
    }
    fs::write(out.join(format!("{archive}.sha256")), output.stdout)?;
    Ok(())
}
