//! Apache Parquet, as the Hugging Face Hub stores datasets, with the class names of its schema.

mod delta;
mod file;
mod pages;
mod thrift;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row as Record};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr};

use self::file::CheckedFile;
use self::pages::CheckedGroup;
use super::features::{self, FEATURES_KEY, class_names};
use super::source::refuse_pointer;
use super::{FileReport, Row, RowReader, choose};
use crate::panics::caught;
use crate::{Column, DataError, Format, Value};

/// Bytes that any file may expand to.
const EXPANDED_FREELY: u64 = 256 << 20;
/// Beyond that, so many times its own size.
const LARGEST_RATIO: u64 = 1000;

/// The rows of a file.
///
/// Class names come from the features that `datasets` writes into the file, for a `ClassLabel`
/// and for a sequence of them. Bytes that are valid UTF-8 are text.
pub(super) struct ParquetRows {
    path: PathBuf,
    file: SerializedFileReader<CheckedFile>,
    /// The columns that are read, in the file's order.
    schema: SchemaDescPtr,
    columns: Vec<Column>,
    /// Of each column, its place in a row of the schema.
    places: Vec<usize>,
    groups: Range<usize>,
    group: Option<ReaderIter>,
    rows: usize,
    /// Bytes that further rows may take.
    room: u64,
}

impl ParquetRows {
    pub fn open(path: &Path, wanted: &[&str]) -> Result<Self, DataError> {
        let failed = |source| DataError::io(path, source);
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut start = Vec::new();
        file.by_ref().take(64).read_to_end(&mut start).map_err(failed)?;
        refuse_pointer(path, &start)?;
        let file = decoded(path, None, || SerializedFileReader::new(CheckedFile::new(file)?))?;
        let metadata = file.metadata().file_metadata();
        let root = metadata.schema_descr().root_schema();
        let names: Vec<String> = root.get_fields().iter().map(|field| field.name().to_string()).collect();
        let fields = choose(path, &names, wanted)?;
        let features = features_of(metadata.key_value_metadata());
        let column =
            |name: &&str| Column { class_names: class_names(&features[*name]), ..Column::plain(*name) };
        let columns = wanted.iter().map(column).collect();
        let (schema, places) = projection(path, root, &fields)?;
        let groups = 0..file.num_row_groups();
        let room = EXPANDED_FREELY.saturating_add(size.saturating_mul(LARGEST_RATIO));
        Ok(Self {
            path: path.to_path_buf(),
            file,
            schema,
            columns,
            places,
            groups,
            group: None,
            rows: 0,
            room,
        })
    }

    fn next_record(&mut self) -> Result<Option<Record>, DataError> {
        loop {
            let number = Some(self.rows + 1);
            if let Some(group) = &mut self.group
                && let Some(record) = decoded(&self.path, number, || group.next().transpose())?
            {
                return Ok(Some(record));
            }
            let Some(index) = self.groups.next() else {
                return Ok(None);
            };
            self.group = Some(decoded(&self.path, number, || {
                let group = CheckedGroup { group: self.file.get_row_group(index)? };
                TreeBuilder::new().as_iter(self.schema.clone(), &group)
            })?);
        }
    }
}

impl RowReader for ParquetRows {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let Some(record) = self.next_record()? else {
            return Ok(None);
        };
        self.rows += 1;
        let fields: Vec<Value> = record.into_columns().into_iter().map(|(_, field)| convert(field)).collect();
        let cells: Vec<Value> = self.places.iter().map(|place| fields[*place].clone()).collect();
        let size = cells.iter().map(size_of).sum();
        self.room = self.room.checked_sub(size).ok_or_else(|| {
            let reason = format!("its rows take more than {LARGEST_RATIO} times the size of the file");
            DataError::broken(&self.path, Some(self.rows), reason)
        })?;
        Ok(Some(Row { number: self.rows, cells }))
    }

    fn report(&self) -> FileReport {
        FileReport { rows: self.rows, ..FileReport::new(&self.path, Format::Parquet) }
    }
}

/// The schema of only some fields, and the index of each in it.
fn projection(path: &Path, root: &Type, fields: &[usize]) -> Result<(SchemaDescPtr, Vec<usize>), DataError> {
    let mut order = fields.to_vec();
    order.sort_unstable();
    order.dedup();
    let chosen: Vec<TypePtr> = order.iter().map(|index| root.get_fields()[*index].clone()).collect();
    for field in &chosen {
        has_row_form(field)
            .map_err(|reason| DataError::broken(path, None, format!("column `{}` {reason}", field.name())))?;
    }
    let build = || Type::group_type_builder(root.name()).with_fields(chosen).build();
    let schema = decoded(path, None, build)?;
    let places = fields.iter().map(|field| order.partition_point(|other| other < field)).collect();
    Ok((Arc::new(SchemaDescriptor::new(Arc::new(schema))), places))
}

/// Runs the decoder. It asserts on some damaged files (record/reader.rs, parquet 60) instead of
/// returning an error.
fn decoded<R>(
    path: &Path,
    row: Option<usize>,
    decode: impl FnOnce() -> Result<R, ParquetError>,
) -> Result<R, DataError> {
    match caught(decode) {
        Ok(result) => result.map_err(|error| DataError::broken(path, row, error)),
        Err(_) => Err(DataError::broken(path, row, "damaged Parquet data")),
    }
}

/// About the bytes that a cell takes.
fn size_of(value: &Value) -> u64 {
    let content = match value {
        Value::Text(text) => text.len() as u64,
        Value::List(items) => items.iter().map(size_of).sum(),
        Value::Struct(parts) => parts.iter().map(|(_, part)| size_of(part)).sum(),
        _ => 0,
    };
    content + std::mem::size_of::<Value>() as u64
}

/// The features by column, or null.
fn features_of(metadata: Option<&Vec<parquet::file::metadata::KeyValue>>) -> serde_json::Value {
    let entry = metadata.into_iter().flatten().find(|entry| entry.key == FEATURES_KEY);
    features::of_metadata(entry.and_then(|entry| entry.value.as_deref()))
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

fn convert(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(truth),
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
