//! What the targets share: paths, and a run to read again.
#![allow(dead_code)] // Each target uses its own part.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use temper_data::{Format, Table};
use temper_hub::{Hub, HubSettings};

/// A reader's answer as the runner takes it.
pub fn answer<T>(result: Result<T, impl Display>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// The first of some sets of columns that a file has.
pub fn columns(format: Format, path: &Path, wanted: &[&[&str]]) -> Result<Table, String> {
    let mut read = wanted.iter().map(|wanted| answer(format.read(path, wanted)));
    read.find(Result::is_ok).unwrap_or_else(|| Err("no set of columns can be read".into()))
}

/// A folder `name` in the folder of the runner.
pub fn folder(dir: &Path, name: &str) -> PathBuf {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A folder `name` with these files; they are written once.
pub fn folder_with(dir: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let place = folder(dir, name);
    for (file, bytes) in files {
        if !place.join(file).exists() {
            write(&place.join(file), bytes);
        }
    }
    place
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of a crate's fixtures.
pub fn fixtures(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place)
}

/// Names that lead nowhere but to files.
pub fn offline(cache: &Path) -> Hub {
    let settings = HubSettings::from_environment();
    Hub::new(HubSettings { mirror: None, offline: true, stand_ins: false, cache: cache.into(), ..settings })
}

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] the film is was very good fine bad dull .";

/// The folder of a run of the head for a few steps, made by this program's `finetune`; workers read that of their leader.
pub fn run_folder(target: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target);
    let run = dir.join("runs/run");
    if temper_fuzz::is_worker() {
        return run;
    }
    let _ = fs::remove_dir_all(&dir);
    let bert = fixtures("temper-models/tests/fixtures/bert");
    let model = folder(&dir, "model");
    for name in ["config.json", "model.safetensors"] {
        write(&model.join(name), &read(&bert.join(name)));
    }
    write(&model.join("vocab.txt"), WORDS.replace(' ', "\n").as_bytes());
    let row = |row: usize| {
        let (word, label) = [("good", "pos"), ("bad", "neg")][row % 2];
        format!("the film {row} is {word} .,{label}\n")
    };
    let rows: String = (0..60).map(row).collect();
    write(&dir.join("reviews.csv"), format!("text,label\n{rows}").as_bytes());
    let path = |name: &str| dir.join(name).display().to_string();
    let (model, data, runs) = (path("model"), path("reviews.csv"), path("runs"));
    let what = ["temper", "finetune", &model, &data, "--output-dir", &runs, "--run-name", "run", "--offline"];
    let how = "--strategy head --max-steps 4 --save-steps 2 --max-seq-length 16 --learning-rate 1e-3";
    temper_train::cli::run(what.into_iter().chain(how.split(' ')).map(Into::into), &[]);
    assert!(run.join("results.json").is_file(), "the run ended");
    run
}
