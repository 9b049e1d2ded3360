//! Folders that `save_to_disk` of Hugging Face's `datasets` writes; fixtures by xtask/reference/saved_fixture.py.

use std::path::{Path, PathBuf};

use temper_data::{
    DataError, Format, LabelRequest, RowsRequest, SplitChoice, SplitOrigin, TagRequest, TaskKind, TextLabel,
    Value, load_text_classification, load_token_classification, read_local, stream_unlabelled, task_of_files,
};
use temper_hub::{Hub, HubSettings};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/saved").join(name)
}

fn hub(cache: &Path) -> Hub {
    let cache = cache.to_path_buf();
    Hub::new(HubSettings { mirror: None, offline: true, cache, ..HubSettings::from_environment() })
}

/// Shares that leave some of the few rows in each split.
fn request(name: &str, test_share: Option<f64>) -> RowsRequest {
    let splits = SplitChoice { validation_share: Some(0.3), test_share, ..SplitChoice::default() };
    RowsRequest { name_or_path: fixture(name).display().to_string(), splits, ..RowsRequest::default() }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// The row of that number, as the script makes it.
fn expected(number: usize) -> Vec<Value> {
    let has_nulls = number.is_multiple_of(3);
    let list = |items: Vec<Value>| Value::List(items);
    let short = |items: Vec<Value>| list(items.into_iter().take(number % 3).collect());
    let odd = |item: Value| list(vec![item; number % 2]);
    vec![
        Value::Int(number as i64 - 3),
        text(&format!("film {number}: naïve café 你好")),
        Value::Int(number as i64 % 3),
        short(vec![text("film"), text(&number.to_string())]),
        short(vec![Value::Int(1), Value::Int(0)]),
        Value::Struct(vec![("text".into(), odd(text("film"))), ("answer_start".into(), odd(Value::Int(0)))]),
        if has_nulls { Value::Null } else { Value::Float(number as f64 / 4.0) },
        if has_nulls { Value::Null } else { Value::Bool(number.is_multiple_of(2)) },
        Value::Null,
        if number.is_multiple_of(2) { text("plain") } else { Value::Other("bytes") },
    ]
}

const COLUMNS: [&str; 10] =
    ["id", "text", "label", "tokens", "tags", "answers", "score", "ok", "day", "bytes"];

#[test]
fn every_cell_of_a_stream_and_of_a_file_of_several_batches_is_read() {
    for name in ["whole/data-00000-of-00001.arrow", "batches.arrow"] {
        let table = Format::of_file(&fixture(name)).unwrap().read(&fixture(name), &COLUMNS).unwrap();
        assert_eq!(table.rows.len(), 12, "{name}");
        for (number, row) in table.rows.iter().enumerate() {
            assert_eq!((row.number, &row.cells), (number + 1, &expected(number)), "{name}");
        }
        let names = ["negative", "neutral", "positive"].map(String::from).to_vec();
        assert_eq!(table.columns[2].class_names, Some(names));
        assert_eq!(table.columns[4].class_names, Some(vec!["O".into(), "B-film".into()]));
    }
}

#[test]
fn columns_are_read_in_any_order_and_missing_ones_named() {
    let file = fixture("batches.arrow");
    let table = Format::Arrow.read(&file, &["ok", "id"]).unwrap();
    assert_eq!(table.rows[4].cells, [Value::Bool(true), Value::Int(1)]);
    let error = Format::Arrow.read(&file, &["texts"]).unwrap_err();
    assert!(error.to_string().contains("did you mean `text`"), "{error}");
    let texts: Vec<_> =
        stream_unlabelled(&file, None, None, &["id".into()]).unwrap().map(Result::unwrap).collect();
    assert_eq!((texts.len(), &texts[11].kept), (12, &vec![Value::Int(8)]));
}

#[test]
fn splits_are_those_that_were_saved_in_the_order_of_their_shards() {
    let (tables, held_out) = read_local(&fixture("splits"), &["id"]).unwrap();
    let ids = |tables: &[temper_data::Table]| -> Vec<Value> {
        tables.iter().flat_map(|table| &table.rows).map(|row| row.cells[0].clone()).collect()
    };
    assert_eq!(ids(&tables.train), (-3..17).map(Value::Int).collect::<Vec<_>>());
    assert_eq!(ids(&tables.test), (17..22).map(Value::Int).collect::<Vec<_>>());
    assert_eq!((tables.train.len(), held_out.test, held_out.validation), (2, 0.0, 0.1));
    assert_eq!(tables.train[0].report.left_out.names, ["unsupervised/"]);
}

#[test]
fn labels_and_tags_have_the_names_that_were_saved() {
    let cache = tempfile::tempdir().unwrap();
    let rows = LabelRequest { rows: request("splits", None), ..LabelRequest::default() };
    let data = load_text_classification(&hub(cache.path()), &rows).unwrap();
    assert_eq!(data.label_names, ["negative", "neutral", "positive"]);
    assert_eq!(
        data.rows.test.iter().map(|row| row.label.clone()).collect::<Vec<_>>(),
        [2, 0, 1, 2, 0].map(TextLabel::One)
    );
    assert_eq!(data.rows.test_source.origin, SplitOrigin::Own);
    let tagged = TagRequest { rows: request("whole", Some(0.3)), ..TagRequest::default() };
    let data = load_token_classification(&hub(cache.path()), &tagged).unwrap();
    assert_eq!(data.tag_names, ["O", "B-film"]);
    assert_eq!(
        task_of_files(&request("splits", None).name_or_path, &Default::default()),
        Some(TaskKind::TextClassification)
    );
}

#[test]
fn files_that_are_cut_short_or_damaged_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let good = std::fs::read(fixture("whole/data-00000-of-00001.arrow")).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Format::Arrow.read(&path, &COLUMNS)
    };
    assert_eq!(read(&good).unwrap().rows.len(), 12);
    for length in (0..good.len() - 8).step_by(7) {
        // Where it is cut between two messages, nothing tells; then it has no rows.
        let error = read(&good[..length]).unwrap_err();
        assert!(matches!(error, DataError::Broken { .. } | DataError::EmptyFile { .. }), "{length}: {error}");
    }
    // Whatever a byte becomes, there are rows or an error, and never another number of rows that is silently taken.
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x55;
        if let Ok(table) = read(&bad) {
            assert!(table.rows.len() <= 12, "{place}");
        }
    }
    assert!(read(b"ARROW1\0\0").is_err() && read(b"text,label\na,b\n").is_err());
}

#[test]
fn folders_that_were_not_saved_as_they_should_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let read = || read_local(folder.path(), &["text"]).unwrap_err().to_string();
    write("state.json", "{\"_data_files\": [{\"filename\": \"../other.arrow\"}]}");
    assert!(read().contains("save_to_disk"), "{}", read());
    write(
        "state.json",
        "{\"_data_files\": [], \"_indices_data_files\": [{\"filename\": \"indices.arrow\"}]}",
    );
    assert!(read().contains("newer version"), "{}", read());
    write("dataset_dict.json", "{\"splits\": []}");
    assert!(read().contains("no training data"), "{}", read());
}
