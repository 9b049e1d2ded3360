//! `cargo xtask fixtures`.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::cargo::{root, run};
use crate::python::{Environment, scripts};

/// Runs the Python scripts that compute reference values, each for one crate's tests.
pub fn write(environment: &Environment) -> Result<ExitCode> {
    let python = environment.python()?;
    for (script, fixtures) in [
        ("fixtures.py", "crates/temper-models/tests/fixtures"),
        ("zoo.py", "crates/temper-models/tests/fixtures"),
        // On the models of the zoo.
        ("padding_fixture.py", "crates/temper-models/tests/fixtures"),
        ("autocast_fixture.py", "crates/temper-models/tests/fixtures"),
        ("initial_fixture.py", "crates/temper-models/tests/fixtures"),
        ("chat_fixture.py", "crates/temper-data/tests/fixtures/chats"),
        ("lora_fixture.py", "crates/temper-freeze/tests/fixtures"),
        ("learning_rates_fixture.py", "crates/temper-freeze/tests/fixtures"),
        ("optimizers_fixture.py", "crates/temper-freeze/tests/fixtures"),
        ("gguf_fixture.py", "crates/temper-gguf/tests/fixtures"),
        ("merge_fixture.py", "crates/temper-freeze/tests/fixtures"),
        ("kernels_fixture.py", "crates/temper-kernels/tests/fixtures"),
        ("embedding_fixture.py", "crates/temper-train/tests/fixtures"),
        ("baseline_fixture.py", "crates/temper-train/tests/fixtures"),
    ] {
        run(Command::new(&python).arg(scripts().join(script)).arg("--out").arg(root().join(fixtures)))?;
    }
    Ok(ExitCode::SUCCESS)
}
