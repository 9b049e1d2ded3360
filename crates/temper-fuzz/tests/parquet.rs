//! Target: parquet, in the layouts and compressions of the Hub's datasets.

mod common;

use std::path::Path;
use std::sync::Arc;

use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{WriterProperties, WriterVersion};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use common::{columns, folder, write};
use temper_data::Format;
use temper_fuzz::{Failures, Part, Shape, run};

/// Columns of one seed or another.
const WANTED: &[&[&str]] = &[&["text", "label"], &["text", "tags"]];
const REVIEWS: &str = "message reviews { optional binary text (STRING); optional int64 label; }";
const TAGS: &str = "message tags {
    optional group text (LIST) { repeated group list { optional binary element (STRING); } }
    optional group tags (LIST) { repeated group list { optional int64 element; } } }";
const FEATURES: &str =
    r#"{"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;

/// A file of three texts and three numbers, in two groups of rows; version 2 has a page for each row.
fn seed(schema: &str, compression: Compression, version: WriterVersion) -> Vec<u8> {
    let metadata = vec![KeyValue::new("huggingface".into(), FEATURES.to_owned())];
    let mut properties = WriterProperties::builder()
        .set_key_value_metadata(Some(metadata))
        .set_compression(compression)
        .set_writer_version(version);
    if version == WriterVersion::PARQUET_2_0 {
        properties = properties.set_data_page_row_count_limit(1).set_write_batch_size(1);
    }
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut bytes = Vec::new();
    let mut file =
        SerializedFileWriter::new(&mut bytes, schema.clone(), Arc::new(properties.build())).expect("a file");
    let is_nested = schema.name() == "tags";
    // Two words in the first row, one in the second; or a row a value.
    let repetitions: Option<&[i16]> = is_nested.then_some(&[0, 1, 0]);
    let definitions = [if is_nested { 3 } else { 1 }; 3];
    for _ in 0..2 {
        let mut group = file.next_row_group().expect("a group");
        let texts: Vec<ByteArray> = ["good", "na\u{ef}ve", "bad"].map(ByteArray::from).to_vec();
        let mut column = group.next_column().expect("a column").expect("a column");
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, Some(&definitions), repetitions)
            .expect("written");
        column.close().expect("closed");
        let mut column = group.next_column().expect("a column").expect("a column");
        column
            .typed::<Int64Type>()
            .write_batch(&[1, 0, 1], Some(&definitions), repetitions)
            .expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
    }
    file.close().expect("closed");
    bytes
}

fn table(bytes: &[u8], dir: &Path) -> Result<(), String> {
    let path = folder(dir, "tables").join("table.parquet");
    write(&path, bytes);
    let table = columns(Format::Parquet, &path, WANTED)?;
    assert!(table.rows.iter().all(|row| row.cells.len() == table.columns.len()), "a cell a column");
    Ok(())
}

#[test]
fn parquet() -> Result<(), Failures> {
    let gzip = Compression::GZIP(GzipLevel::default());
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let (old, new) = (WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0);
    let written = [
        (Compression::UNCOMPRESSED, old),
        (Compression::UNCOMPRESSED, new),
        (Compression::SNAPPY, new),
        (gzip, old),
        (zstd, new),
        (Compression::LZ4_RAW, old),
    ];
    let seeds = [REVIEWS, TAGS]
        .into_iter()
        .flat_map(|schema| written.map(|(compression, version)| seed(schema, compression, version)));
    let seeds = seeds.collect();
    run("parquet", 20000, &[Part { name: "table", shape: Shape::Bytes, seeds, check: Box::new(table) }])
}
