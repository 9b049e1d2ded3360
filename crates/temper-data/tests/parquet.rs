//! The Parquet reader on files as the Hub's, and on bad ones.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use temper_data::{DataError, Format, Table, Value};

/// Values with their definition and repetition levels.
type Levels<'a> = (&'a [i16], Option<&'a [i16]>);

fn writer(path: &Path, schema: &str, features: Option<&str>) -> SerializedFileWriter<File> {
    let metadata = features.map(|features| {
        let text = format!("{{\"info\": {{\"features\": {features}}}}}");
        vec![KeyValue::new("huggingface".to_string(), text)]
    });
    let properties = WriterProperties::builder()
        .set_key_value_metadata(metadata)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties)).unwrap()
}

fn write_texts(group: &mut SerializedRowGroupWriter<'_, File>, texts: &[&[u8]], levels: Levels<'_>) {
    let values: Vec<ByteArray> = texts.iter().map(|text| text.to_vec().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, Some(levels.0), levels.1).unwrap();
    column.close().unwrap();
}

fn write_numbers(group: &mut SerializedRowGroupWriter<'_, File>, numbers: &[i64], levels: Levels<'_>) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(numbers, Some(levels.0), levels.1).unwrap();
    column.close().unwrap();
}

const REVIEWS: &str = "message reviews { optional binary text (STRING); optional int64 label; }";
const REVIEW_FEATURES: &str = r#"{"text": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}"#;

fn write_reviews(path: &Path) {
    let mut file = writer(path, REVIEWS, Some(REVIEW_FEATURES));
    for rows in [["bad", "good"], ["na\u{ef}ve", "fine"]] {
        let mut group = file.next_row_group().unwrap();
        write_texts(&mut group, &rows.map(str::as_bytes), (&[1, 1], None));
        write_numbers(&mut group, &[1], (&[0, 1], None));
        group.close().unwrap();
    }
    file.close().unwrap();
}

fn read(path: &Path, wanted: &[&str]) -> Result<Table, DataError> {
    Format::Parquet.read(path, wanted)
}

fn texts(table: &Table, column: usize) -> Vec<&str> {
    table.rows.iter().filter_map(|row| row.cells[column].as_text()).collect()
}

#[test]
fn rows_of_all_groups_and_class_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reviews.parquet");
    write_reviews(&path);
    let table = read(&path, &["text", "label"]).unwrap();
    assert_eq!(texts(&table, 0), ["bad", "good", "na\u{ef}ve", "fine"]);
    let label = table.column("label").unwrap();
    let labels: Vec<_> = table.rows.iter().map(|row| row.cells[label].clone()).collect();
    assert_eq!(labels, [Value::Null, Value::Int(1), Value::Null, Value::Int(1)]);
    let names = table.columns[label].class_names.as_deref();
    assert_eq!(names, Some(&["neg".to_string(), "pos".to_string()][..]));
    assert_eq!(table.columns[0].class_names, None);
}

#[test]
fn a_file_without_features_has_no_class_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.parquet");
    for features in [None, Some("not json")] {
        let mut file = writer(&path, REVIEWS, features);
        let mut group = file.next_row_group().unwrap();
        write_texts(&mut group, &[b"a"], (&[1], None));
        write_numbers(&mut group, &[0], (&[1], None));
        group.close().unwrap();
        file.close().unwrap();
        let table = read(&path, &["text", "label"]).unwrap();
        assert!(table.columns.iter().all(|column| column.class_names.is_none()));
    }
}

#[test]
fn words_and_tags_are_lists_with_the_names_of_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tags.parquet");
    let schema = "message tags {
        optional group tokens (LIST) { repeated group list { optional binary element (STRING); } }
        optional group ner_tags (LIST) { repeated group list { optional int64 element; } }
    }";
    let features = r#"{"tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
        "ner_tags": {"feature": {"names": ["O", "B-person"], "_type": "ClassLabel"}, "_type": "Sequence"}}"#;
    let mut file = writer(&path, schema, Some(features));
    let mut group = file.next_row_group().unwrap();
    // Two rows: two words, and none.
    let levels: Levels<'_> = (&[3, 3, 1], Some(&[0, 1, 0]));
    write_texts(&mut group, &[b"Hello", b"Ada"], levels);
    write_numbers(&mut group, &[0, 1], levels);
    group.close().unwrap();
    file.close().unwrap();

    let table = read(&path, &["tokens", "ner_tags"]).unwrap();
    let words = vec![Value::Text("Hello".into()), Value::Text("Ada".into())];
    assert_eq!(table.rows[0].cells, [Value::List(words), Value::List(vec![Value::Int(0), Value::Int(1)])]);
    assert_eq!(table.rows[1].cells, [Value::List(vec![]), Value::List(vec![])]);
    let names = table.columns[1].class_names.as_deref();
    assert_eq!(names, Some(&["O".to_string(), "B-person".to_string()][..]));
}

#[test]
fn answers_are_named_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.parquet");
    let schema = "message squad { optional group answers {
        optional group text (LIST) { repeated group list { optional binary element (STRING); } }
        optional group answer_start (LIST) { repeated group list { optional int32 element; } }
    } }";
    let mut file = writer(&path, schema, None);
    let mut group = file.next_row_group().unwrap();
    write_texts(&mut group, &[b"Denver"], (&[4], Some(&[0])));
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[177], Some(&[4]), Some(&[0])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();

    let table = read(&path, &["answers"]).unwrap();
    let answers = &table.rows[0].cells[0];
    assert_eq!(answers.part("text"), Some(&Value::List(vec![Value::Text("Denver".into())])));
    assert_eq!(answers.part("answer_start"), Some(&Value::List(vec![Value::Int(177)])));
}

#[test]
fn a_text_that_is_not_utf8_names_its_row_and_raw_bytes_are_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes.parquet");
    let write = |schema, column| {
        let mut file = writer(&path, schema, None);
        let mut group = file.next_row_group().unwrap();
        write_texts(&mut group, &[b"good", b"caf\xe9"], (&[1, 1], None));
        group.close().unwrap();
        file.close().unwrap();
        read(&path, &[column])
    };
    let error = write("message m { optional binary text (STRING); }", "text").unwrap_err();
    assert!(matches!(error, DataError::Broken { row: Some(_), .. }), "{error}");
    let table = write("message m { optional binary image; }", "image").unwrap();
    assert_eq!(table.rows[0].cells[0], Value::Text("good".into()));
    assert_eq!(table.rows[1].cells[0], Value::Other("bytes"));
}

#[test]
fn empty_files_and_files_of_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.parquet");
    for bytes in [&b""[..], b"PAR1", b"text,label\na,1\n", &[0; 4096]] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &["text", "label"]).unwrap_err();
        assert!(matches!(error, DataError::Broken { .. }), "{error}");
        assert!(error.to_string().contains("bad.parquet"), "{error}");
    }
    writer(&path, REVIEWS, None).close().unwrap();
    let error = read(&path, &["text", "label"]).unwrap_err();
    assert!(matches!(error, DataError::EmptyFile { .. }), "{error}");
    let error = read(&folder.path().join("none.parquet"), &["text", "label"]).unwrap_err();
    assert!(matches!(error, DataError::Io { .. }), "{error}");
}

/// Whatever is damaged, the reader answers; it neither panics nor hangs.
#[test]
fn damage_anywhere_is_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reviews.parquet");
    write_reviews(&path);
    let good = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.parquet");
    let mut refused = 0;
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 0x55;
        std::fs::write(&damaged, &bytes).unwrap();
        refused += usize::from(read(&damaged, &["text", "label"]).is_err());
        std::fs::write(&damaged, &good[..position]).unwrap();
        assert!(read(&damaged, &["text", "label"]).is_err(), "cut at {position}");
    }
    assert!(refused > good.len() / 4, "{refused} of {}", good.len());
}
