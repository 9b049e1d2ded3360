//! `cargo xtask emulate-cuda`: the CUDA build on a machine without a GPU (`ci/cuda-emulator`).

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::Backend;
use crate::cargo::{features, root, run, target_dir};
use crate::kernel_tests;

/// What is run with the emulator.
#[derive(clap::Args)]
pub struct EmulateArgs {
    /// A program of the cuda-nvrtc build and its arguments; tests of kernels if absent
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

/// What temper asks for before it compiles a kernel. The emulator's compiler includes none of it.
const HEADERS: [&str; 4] = ["cuda_fp16.h", "mma.h", "crt/mma.h", "nv/target"];
const SOURCES: [&str; 3] = ["driver.cpp", "threads.cpp", "nvrtc.cpp"];
/// The emulator has no products of f32 on tensor cores: these tests need none.
const TESTS: [(&str, &[&str]); 2] = [
    ("tensor_cores", &[]),
    ("gpu", &["norms", "gates_dropout", "rotations", "optimiser", "sums_of_squares", "a_step_writes"]),
];

/// Compiles the emulator, then runs the program or the tests with it.
pub fn emulate(args: &EmulateArgs) -> Result<ExitCode> {
    let folder = libraries()?;
    if let [program, arguments @ ..] = args.program.as_slice() {
        run(with_emulator(&mut Command::new(program), &folder).args(arguments))?;
        return Ok(ExitCode::SUCCESS);
    }
    let programs = kernel_tests::build(features(Backend::Cuda, true)?)?;
    for (test, names) in TESTS {
        let is_test = |program: &&PathBuf| {
            // Cargo adds a hash to the name.
            program
                .file_stem()
                .and_then(|name| name.to_str()?.rsplit_once('-'))
                .is_some_and(|name| name.0 == test)
        };
        let program = programs.iter().find(is_test).with_context(|| format!("cargo built no test {test}"))?;
        run(with_emulator(Command::new(program).args(names), &folder))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the emulator to a program, and folders of its own for what is compiled.
fn with_emulator<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command
        .env("LD_LIBRARY_PATH", folder)
        .env("CUDA_PATH", folder)
        .env("CUDA_EMULATOR", root().join("ci/cuda-emulator"))
        .env("CUDA_EMULATOR_CACHE", folder.join("kernels"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
}

/// The folder with both libraries, one file under two names, and with empty headers.
fn libraries() -> Result<PathBuf> {
    let folder = target_dir().join("cuda-emulator");
    for header in HEADERS.map(|header| folder.join("include").join(header)) {
        std::fs::create_dir_all(header.parent().expect("it is in the folder of headers"))?;
        std::fs::write(header, "")?;
    }
    let sources = SOURCES.map(|name| root().join("ci/cuda-emulator").join(name));
    let library = folder.join("libcuda.so");
    run(Command::new("g++")
        .args(["-std=c++20", "-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .args(&sources)
        .arg("-ldl"))?;
    std::fs::copy(&library, folder.join("libnvrtc.so"))?;
    Ok(folder)
}
