//! The Python environment of the reference scripts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::cargo::{root, run, target_dir};

/// A Python environment of its own for the scripts in xtask/reference.
#[derive(clap::Args)]
pub struct Environment {
    /// Where the Python environment is kept
    #[arg(long, default_value = "xtask/reference/.venv")]
    venv: PathBuf,
    /// Install the requirements again, as after an update of Temper
    #[arg(long)]
    setup: bool,
}

impl Environment {
    /// The interpreter, with the programs that the benchmark compares.
    pub fn bench_python(&self) -> Result<PathBuf> {
        let python = self.python()?;
        let import = "import llama_cpp, nncf, onnxruntime, onnxscript, openvino";
        let has_all = Command::new(&python).args(["-c", import]).stderr(Stdio::null()).status()?.success();
        if self.setup || !has_all {
            eprintln!("installing ONNX Runtime, OpenVINO and llama.cpp, which is compiled (minutes)");
            install(&python, "requirements-bench.txt")?;
        }
        Ok(python)
    }

    /// The interpreter; a new environment is made and filled first.
    pub fn python(&self) -> Result<PathBuf> {
        let venv = root().join(&self.venv);
        let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
        let is_new = !python.exists();
        if is_new {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        if is_new || self.setup {
            eprintln!("installing torch and transformers into {} (a few GB)", venv.display());
            install(&python, "requirements.txt")?;
        }
        Ok(python)
    }
}

fn install(python: &Path, requirements: &str) -> Result<()> {
    let requirements = scripts().join(requirements);
    run(Command::new(python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))
}

/// Where the scripts are.
pub fn scripts() -> PathBuf {
    root().join(Path::new("xtask/reference"))
}

/// A program of a Python package in a version, in an environment of its own below target/.
pub fn tool(program: &str, package: &str, version: &str) -> Result<PathBuf> {
    let venv = target_dir().join("ci").join(program);
    let found = venv.join(if cfg!(windows) { "Scripts" } else { "bin" }).join(program);
    if !is_version(&found, version) {
        eprintln!("installing {package} {version} into {}", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let python = found.with_file_name("python");
        run(Command::new(python)
            .args(["-m", "pip", "install", "--quiet"])
            .arg(format!("{package}=={version}")))?;
    }
    Ok(found)
}

/// Whether a program is there in a version.
pub fn is_version(program: &Path, version: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_whitespace().any(|word| word.trim_start_matches('v') == version)
    })
}
