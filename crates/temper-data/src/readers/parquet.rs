//! Apache Parquet, as the Hugging Face Hub stores datasets, with the class names of its schema.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, Repetition};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use crate::{Column, DataError, Table, Value};

/// Where Hugging Face's `datasets` keeps a dataset's features in a file's metadata.
const FEATURES_KEY: &str = "huggingface";

/// Reads all columns of a file.
///
/// Class names come from the features that `datasets` writes into the file, for a `ClassLabel`
/// and for a sequence of them. Bytes that are valid UTF-8 are text.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::Broken`] with the row, for damaged files and for the few
/// column types that have no row form (such as intervals).
pub fn read(path: &Path) -> Result<Table, DataError> {
    let file = File::open(path).map_err(|source| DataError::io(path, source))?;
    // The decoder asserts on some damaged files (record/reader.rs, parquet 60) instead of
    // returning an error; nothing of it outlives a panic, so unwinding is safe.
    catch_unwind(AssertUnwindSafe(|| read_open(path, file)))
        .unwrap_or_else(|_| Err(DataError::broken(path, None, "damaged Parquet data")))
}

fn read_open(path: &Path, file: File) -> Result<Table, DataError> {
    let broken = |row, error: ParquetError| DataError::broken(path, row, error);
    let reader = SerializedFileReader::new(file).map_err(|error| broken(None, error))?;
    let metadata = reader.metadata().file_metadata();
    let fields = metadata.schema_descr().root_schema().get_fields();
    let features = features(metadata.key_value_metadata());
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        has_row_form(field).map_err(|reason| {
            let reason = format!("column `{}` {reason}", field.name());
            DataError::broken(path, None, reason)
        })?;
        columns.push(Column {
            name: field.name().to_string(),
            class_names: class_names(&features[field.name()]),
        });
    }
    if columns.is_empty() {
        return Err(DataError::broken(path, None, "no columns"));
    }
    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| broken(Some(rows.len() + 1), error))?;
        let records = RowIter::from_row_group(None, group.as_ref())
            .map_err(|error| broken(Some(rows.len() + 1), error))?;
        for record in records {
            let record = record.map_err(|error| broken(Some(rows.len() + 1), error))?;
            rows.push(convert_row(record));
        }
    }
    Ok(Table { file: path.to_path_buf(), columns, rows })
}

/// The features by column, or null: a file without them is still a good file.
fn features(metadata: Option<&Vec<parquet::file::metadata::KeyValue>>) -> serde_json::Value {
    metadata
        .into_iter()
        .flatten()
        .find(|entry| entry.key == FEATURES_KEY)
        .and_then(|entry| entry.value.as_deref())
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
        .map(|mut json| json["info"]["features"].take())
        .unwrap_or_default()
}

/// The names of a `ClassLabel`, or of the `ClassLabel` inside a sequence.
fn class_names(feature: &serde_json::Value) -> Option<Vec<String>> {
    if feature["_type"] == "ClassLabel" {
        return serde_json::from_value(feature["names"].clone()).ok();
    }
    feature.get("feature").and_then(class_names)
}

/// Whether the record API can read this column; it panics on what it does not know
/// (record/api.rs and record/reader.rs of parquet 60).
fn has_row_form(field: &Type) -> Result<(), String> {
    let info = field.get_basic_info();
    let converted = info.converted_type();
    if field.is_primitive() {
        return match converted {
            ConvertedType::INTERVAL => Err("holds intervals, which have no row form".into()),
            _ => Ok(()),
        };
    }
    let children = field.get_fields();
    if children.is_empty() {
        return Err("is a group without fields".into());
    }
    let one_repeated = children.len() == 1
        && children[0].get_basic_info().has_repetition()
        && children[0].get_basic_info().repetition() == Repetition::REPEATED;
    let is_list_or_map =
        matches!(converted, ConvertedType::LIST | ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE);
    if is_list_or_map && !one_repeated {
        return Err("is a malformed list or map".into());
    }
    children.iter().try_for_each(|child| has_row_form(child))
}

fn convert_row(row: Row) -> Vec<Value> {
    row.into_columns().into_iter().map(|(_, field)| convert(field)).collect()
}

fn convert(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Int(i64::from(truth)),
        Field::Byte(number) => Value::Int(number.into()),
        Field::Short(number) => Value::Int(number.into()),
        Field::Int(number) => Value::Int(number.into()),
        Field::Long(number) => Value::Int(number),
        Field::UByte(number) => Value::Int(number.into()),
        Field::UShort(number) => Value::Int(number.into()),
        Field::UInt(number) => Value::Int(number.into()),
        Field::ULong(number) => match i64::try_from(number) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Other("a number beyond 63 bits"),
        },
        Field::Float16(number) => Value::Float(number.into()),
        Field::Float(number) => Value::Float(number.into()),
        Field::Double(number) => Value::Float(number),
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::Text(text.to_string()),
            Err(_) => Value::Other("bytes"),
        },
        Field::Group(row) => Value::Struct(
            row.into_columns().into_iter().map(|(name, field)| (name, convert(field))).collect(),
        ),
        Field::ListInternal(list) => Value::List(list.elements().iter().cloned().map(convert).collect()),
        Field::MapInternal(_) => Value::Other("a map"),
        Field::Decimal(_) => Value::Other("a decimal"),
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::Other("a date or time"),
    }
}
