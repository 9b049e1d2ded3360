//! Target: Arrow's stream and file format, as `save_to_disk` of Hugging Face's `datasets` and pyarrow write them.

mod common;

use std::path::Path;

use common::{columns, folder, write};
use temper_data::Format;
use temper_fuzz::{Failures, Part, Shape, run};

const WANTED: &[&[&str]] =
    &[&["id", "text", "label", "tokens", "tags", "answers", "score", "ok", "day", "bytes"]];
const FIXTURES: &str = "../temper-data/tests/fixtures/saved";

fn table(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "tables").join("table.arrow");
    write(&path, bytes);
    let table = columns(Format::Arrow, &path, WANTED)?;
    assert!(table.rows.iter().all(|row| row.cells.len() == table.columns.len()), "a cell a column");
    Ok(())
}

#[test]
fn arrow() -> Result<(), Failures> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURES);
    let seeds = ["whole/data-00000-of-00001.arrow", "batches.arrow"];
    let seeds = seeds.map(|name| std::fs::read(fixtures.join(name)).expect("a fixture")).to_vec();
    run("arrow", 20000, &[Part { name: "table", shape: Shape::Bytes, seeds, check: Box::new(table) }])
}
