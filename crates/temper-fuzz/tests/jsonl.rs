//! Target: tables of a JSON object a line.

mod common;

use std::path::Path;

use common::{columns, folder, offline, write};
use temper_data::{Format, LabelRequest, RowsRequest, load_text_classification};
use temper_fuzz::{Failures, Part, Shape, run};

/// Columns of one seed or another.
const WANTED: &[&[&str]] = &[&["text", "label"], &["tokens", "tags"]];
const PLAIN: &str = "{\"text\": \"good\", \"label\": 1}\n{\"text\": \"b\\u00e4d\", \"label\": 0}\n\
    {\"text\": \"fine\", \"label\": 1}\n{\"text\": \"dull\", \"label\": 0}\n";
const NESTED: &str = "{\"tokens\": [\"Ada\", \"ran\"], \"tags\": [1, 0], \"score\": 0.5}\n\
    {\"tokens\": [], \"tags\": [], \"answers\": {\"text\": [\"x\"], \"start\": [17]}, \"none\": null}\n";

fn table(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "tables").join("table.jsonl");
    write(&path, bytes);
    let table = columns(Format::Jsonl, &path, WANTED)?;
    assert!(table.rows.iter().all(|row| row.cells.len() == table.columns.len()), "a cell a column");
    let request = RowsRequest {
        name_or_path: path.display().to_string(),
        seed: 1,
        max_test_samples: Some(1),
        ..RowsRequest::default()
    };
    let _ =
        load_text_classification(&offline(dir), &LabelRequest { rows: request, ..LabelRequest::default() });
    Ok(())
}

#[test]
fn jsonl() -> Result<(), Failures> {
    let seeds = vec![PLAIN.into(), NESTED.into()];
    run("jsonl", 20000, &[Part { name: "rows", shape: Shape::JsonLines, seeds, check: Box::new(table) }])
}
