//! Target: tables of text, and the splits that are made of them.

mod common;

use std::path::Path;

use common::{columns, folder, offline, write};
use temper_data::{Format, LabelRequest, RowsRequest, load_text_classification, read_unlabelled};
use temper_fuzz::{Check, Failures, Part, Shape, run};

/// Columns of one seed or another.
const WANTED: &[&[&str]] = &[&["text", "label"], &["text"]];
const CSV: &str = "text,label\n\"a \"\"good\"\" film, truly\",1\nbad,0\n\"two\nlines\",1\n\u{e9}t\u{e9},0\n";
const QUOTED: &str = "id;label;text\r\n7;pos;\"well; yes\"\r\n8;neg;no\r\n9;pos;fine\r\n";
const TSV: &str = "text\tlabel\ngood\tpos\nbad\tneg\nfine\tpos\ndull\tneg\n";
const SNIPPETS: &str = "1\t2.5\ta good one\n2\t-1\tbad\n3\t0\tso so\n4\t-3.25\tworse\n";
const LINES: &str = "A line.\n\nAnother \u{4e2d}\u{56fd}.\r\nThe last";

fn dataset(path: &Path, seed: u64) -> RowsRequest {
    RowsRequest {
        name_or_path: path.display().to_string(),
        seed,
        max_train_samples: Some(3),
        ..RowsRequest::default()
    }
}

/// Reads a file as the reader of its format, as texts to predict, and as a dataset.
fn table(name: &'static str, format: Format) -> Check<'static> {
    Box::new(move |bytes, dir| {
        let path = folder(dir, "tables").join(name);
        write(&path, bytes);
        let table = columns(format, &path, WANTED)?;
        assert!(table.rows.iter().all(|row| row.cells.len() == table.columns.len()), "a cell a column");
        if Format::of_path(&path).is_ok_and(|promised| promised == format) {
            let _ = read_unlabelled(&path, None, None);
            let _ = load_text_classification(
                &offline(dir),
                &LabelRequest { rows: dataset(&path, 1), ..LabelRequest::default() },
            );
        }
        Ok(())
    })
}

#[test]
fn csv() -> Result<(), Failures> {
    let part = |name, file, format, seeds: &[&str]| Part {
        name,
        shape: Shape::Text,
        seeds: seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(),
        check: table(file, format),
    };
    run(
        "csv",
        20000,
        &[
            part("csv", "table.csv", Format::Csv, &[CSV, QUOTED]),
            part("tsv", "table.tsv", Format::Tsv, &[TSV]),
            part("snippets", "snippets.tsv", Format::Snippets, &[SNIPPETS]),
            part("lines", "lines.txt", Format::Text, &[LINES]),
        ],
    )
}
