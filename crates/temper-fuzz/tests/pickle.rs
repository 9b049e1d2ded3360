//! Target: weights in PyTorch's two formats, an archive and five pickles one after the other.
//!
//! The seeds hold a dictionary of five small tensors of different types, written by torch.save.

mod common;

use std::io::{Cursor, Read, Write};
use std::path::Path;

use common::{answer, folder, read, write};
use temper_fuzz::{Failures, Part, Shape, run};
use temper_models::weights::Checkpoint;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

fn read_all(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "pickle").join("pytorch_model.bin");
    write(&path, bytes);
    let checkpoint = answer(Checkpoint::open_file(&path))?;
    for entry in checkpoint.entries() {
        answer(checkpoint.values(&entry.name))?;
    }
    Ok(())
}

/// Names and contents of an archive.
fn contents(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("an archive");
    let count = archive.len();
    let read = |index| {
        let mut file = archive.by_index(index).expect("a file");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("read");
        (file.name().expect("a name").into_owned(), bytes)
    };
    (0..count).map(read).collect()
}

/// The same archive with another pickle: its checksums are right, so that readers continue to the pickle.
fn with_pickle(files: &[(String, Vec<u8>)], pickle: &[u8]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        archive.start_file(name.as_str(), options).expect("started");
        archive.write_all(if name.ends_with("data.pkl") { pickle } else { bytes }).expect("written");
    }
    archive.finish().expect("an archive").into_inner()
}

#[test]
fn pickle() -> Result<(), Failures> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let (archive, legacy) = (read(&seeds.join("archive.bin")), read(&seeds.join("legacy.bin")));
    let files = contents(&archive);
    let data = files.iter().find(|(name, _)| name.ends_with("data.pkl")).expect("a pickle").1.clone();
    let pickle = |bytes: &[u8], dir: &Path| read_all(&with_pickle(&files, bytes), dir);
    run(
        "pickle",
        20000,
        &[
            Part {
                name: "archive",
                shape: Shape::Bytes,
                seeds: vec![archive.clone()],
                check: Box::new(read_all),
            },
            Part { name: "pickle", shape: Shape::Bytes, seeds: vec![data], check: Box::new(pickle) },
            Part { name: "legacy", shape: Shape::Bytes, seeds: vec![legacy], check: Box::new(read_all) },
        ],
    )
}
