//! Target: what a run continues from: the state of a checkpoint, its optimiser, the journal.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{answer, fixtures, folder, folder_with, read, run_folder, write};
use temper_freeze::{ClipFactor, FreezePlan, OptimizerSettings, Strategy};
use temper_fuzz::{Failures, Part, Shape, run};
use temper_models::{HeadRequest, Model};
use temper_train::training::{Checkpoints, Journal, read_journal};

fn journal(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "journal").join("metrics.jsonl");
    write(&path, bytes);
    answer(read_journal(&path))?;
    answer(Journal::open(&path, 3)).map(drop)
}

#[test]
fn checkpoint() -> Result<(), Failures> {
    let run_dir = run_folder("checkpoint");
    let newest = run_dir.join("checkpoints/step-2");
    let files: Vec<(String, Vec<u8>)> = std::fs::read_dir(&newest)
        .expect("a checkpoint")
        .map(|file| file.expect("a file").path())
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), read(&path)))
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let model = fixtures("temper-models/tests/fixtures/bert");
    let model =
        Model::load(&model, &HeadRequest::FromConfig, &Device::flex().autodiff()).expect("loads").model;
    let plan = FreezePlan::new(&Strategy::Head, &model.parameters(), &[]).expect("a plan");
    let state = |bytes: &[u8], dir: &Path| {
        let place = folder_with(dir, "state/step-2", &files);
        write(&place.join("state.json"), bytes);
        // As if it had been written so: a difference would be seen before the content is.
        answer(temper_files::Checksums::write(&place))?;
        answer(Checkpoints::new(dir.join("state"), 2).latest(|_| {})).map(drop)
    };
    let optimizer = |bytes: &[u8], dir: &Path| {
        let place = folder_with(dir, "optimizer/step-2", &files);
        write(&place.join("optimizer.bpk"), bytes);
        let optimizer = OptimizerSettings::default().init(&plan, &ClipFactor::default());
        answer(Checkpoints::restored(&place, optimizer)).map(drop)
    };
    let seed = |path: &Path| vec![read(path)];
    run(
        "checkpoint",
        20000,
        &[
            Part {
                name: "state",
                shape: Shape::Json,
                seeds: seed(&newest.join("state.json")),
                check: Box::new(state),
            },
            Part {
                name: "optimizer",
                shape: Shape::Bytes,
                seeds: seed(&newest.join("optimizer.bpk")),
                check: Box::new(optimizer),
            },
            Part {
                name: "journal",
                shape: Shape::JsonLines,
                seeds: seed(&run_dir.join("metrics.jsonl")),
                check: Box::new(journal),
            },
        ],
    )
}
