//! Target: weights in safetensors, and the index of their shards.

mod common;

use std::path::Path;

use common::{answer, fixtures, folder, folder_with, read, write};
use temper_fuzz::{Failures, Part, Shape, run};
use temper_models::weights::Checkpoint;

/// Reads every value of every tensor.
fn read_all(checkpoint: &Checkpoint) -> Result<(), String> {
    for entry in checkpoint.entries() {
        answer(checkpoint.values(&entry.name))?;
    }
    Ok(())
}

fn file(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "file").join("model.safetensors");
    write(&path, bytes);
    read_all(&answer(Checkpoint::open_file(&path))?)
}

/// Tensors of several types, with metadata.
fn mixed() -> Vec<u8> {
    let header = r#"{"__metadata__": {"format": "pt"},
        "half": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
        "brain": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]},
        "one": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
        "long": {"dtype": "I64", "shape": [1], "data_offsets": [16, 24]},
        "flags": {"dtype": "BOOL", "shape": [2], "data_offsets": [24, 26]},
        "bytes": {"dtype": "U8", "shape": [0, 3], "data_offsets": [26, 26]}}"#;
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1; 26]].concat()
}

#[test]
fn safetensors() -> Result<(), Failures> {
    let lora = |name: &str| {
        read(&fixtures("temper-freeze/tests/fixtures/lora").join(name).join("adapter_model.safetensors"))
    };
    let shard = lora("bert");
    let index = |bytes: &[u8], dir: &Path| {
        let place = folder_with(dir, "index", &[("model-1.safetensors", &shard)]);
        write(&place.join("model.safetensors.index.json"), bytes);
        read_all(&answer(Checkpoint::open(&place))?)
    };
    let names = r#"{"metadata": {"total_size": 100}, "weight_map": {"a": "model-1.safetensors",
        "b": "model-1.safetensors"}}"#;
    let seeds = vec![mixed(), lora("bert"), lora("falcon-40b")];
    run(
        "safetensors",
        20000,
        &[
            Part { name: "file", shape: Shape::Safetensors, seeds, check: Box::new(file) },
            Part { name: "index", shape: Shape::Json, seeds: vec![names.into()], check: Box::new(index) },
        ],
    )
}
