//! Target: what a run was asked to do, and a file of settings.

mod common;

use std::path::Path;

use common::{answer, folder, read, run_folder, write};
use temper_fuzz::{Failures, Part, Shape, run};
use temper_train::settings::{SettingFlags, resolve};
use temper_train::{ModelDefaults, Preset, ResumedRecord, RunRequest};

const SETTINGS: &str = "learning_rate = 1e-3\nseed = 1\nmax_steps = 5\nstrategy = \"lora\"\n\
    lora_targets = \"query,value\"\ntrunk_cache_memory = \"1 GiB\"\nprecision = \"f32\"\n";

/// What a resumed run does with its request before it opens anything.
fn use_request(request: RunRequest) -> Result<(), String> {
    let request = answer(request.resolved())?;
    let _ = (request.dataset_request(), request.settings.lora(), request.settings.examples_per_step());
    Ok(())
}

fn record(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "run").join("run.toml");
    write(&path, bytes);
    use_request(answer(ResumedRecord::read(&path))?.request)
}

fn request(bytes: &[u8], _: &Path) -> Result<(), String> {
    use_request(RunRequest::read(answer(std::str::from_utf8(bytes))?)?)
}

fn settings(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "settings").join("settings.toml");
    write(&path, bytes);
    let settings = answer(resolve(
        Preset::Cpu,
        &ModelDefaults::default(),
        Some(&path),
        std::iter::empty(),
        &SettingFlags::default(),
    ))?;
    let _ = (settings.lora(), settings.examples_per_step(), settings.tokens_per_batch());
    Ok(())
}

#[test]
fn run_toml() -> Result<(), Failures> {
    let recorded = read(&run_folder("run_toml").join("run.toml"));
    let table: toml::Table = toml::from_str(std::str::from_utf8(&recorded).expect("text")).expect("TOML");
    let asked = toml::to_string(&table["request"]).expect("TOML").into_bytes();
    run(
        "run_toml",
        8000,
        &[
            Part { name: "record", shape: Shape::Toml, seeds: vec![recorded], check: Box::new(record) },
            Part { name: "request", shape: Shape::Toml, seeds: vec![asked], check: Box::new(request) },
            Part {
                name: "settings",
                shape: Shape::Toml,
                seeds: vec![SETTINGS.into()],
                check: Box::new(settings),
            },
        ],
    )
}
