use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// Runs the Python script that computes reference values, in an environment of its own.
pub fn write(venv: &Path) -> Result<ExitCode> {
    let scripts = root().join("xtask/reference");
    let venv = root().join(venv);
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        eprintln!("installing torch and transformers into {} (a few GB)", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let requirements = scripts.join("requirements.txt");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))?;
    }
    let out = root().join("crates/temper-models/tests/fixtures");
    run(Command::new(&python).arg(scripts.join("fixtures.py")).arg("--out").arg(out))?;
    Ok(ExitCode::SUCCESS)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
