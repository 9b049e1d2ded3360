//! Some rows of an Arrow file: where the values of each column lie (format/Message.fbs, `RecordBatch`; the layouts of
//! "Arrow Columnar Format").

use std::ops::Range;

use super::flatbuffer::FlatTable;
use super::schema::{ArrowKind, DAMAGED, Field};
use crate::Value;

/// Some rows.
pub(super) struct ArrowBatch {
    body: Vec<u8>,
    columns: Vec<ArrowValues>,
    pub rows: usize,
}

/// The values of a field in a batch.
struct ArrowValues {
    length: usize,
    /// A bit a value that says whether it is there; nothing where all are.
    valid: Range<usize>,
    /// Offsets, for texts and lists.
    offsets: Range<usize>,
    data: Range<usize>,
    parts: Vec<ArrowValues>,
}

/// What of a batch's metadata is not used up yet.
struct Rest {
    nodes: std::vec::IntoIter<[i64; 2]>,
    buffers: std::vec::IntoIter<[i64; 2]>,
    body: usize,
}

impl Rest {
    /// The place of the next buffer, within the body.
    fn buffer(&mut self) -> Option<Range<usize>> {
        let [start, length] = self.buffers.next()?;
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        let end = start.checked_add(length)?;
        (end <= self.body).then_some(start..end)
    }

    fn values(&mut self, field: &Field) -> Option<ArrowValues> {
        let [length, _nulls] = self.nodes.next()?;
        let mut values = ArrowValues {
            length: usize::try_from(length).ok()?,
            valid: 0..0,
            offsets: 0..0,
            data: 0..0,
            parts: Vec::new(),
        };
        if field.kind != ArrowKind::Null {
            values.valid = self.buffer()?;
        }
        match field.kind {
            ArrowKind::Null | ArrowKind::Struct | ArrowKind::FixedList { .. } => {}
            ArrowKind::List { .. } | ArrowKind::Map => values.offsets = self.buffer()?,
            ArrowKind::Bytes { .. } => {
                values.offsets = self.buffer()?;
                values.data = self.buffer()?;
            }
            ArrowKind::Bool | ArrowKind::Int { .. } | ArrowKind::Float { .. } | ArrowKind::Other { .. } => {
                values.data = self.buffer()?;
            }
        }
        values.parts = field.parts.iter().map(|part| self.values(part)).collect::<Option<_>>()?;
        Some(values)
    }
}

impl ArrowBatch {
    /// The rows that a `RecordBatch` describes.
    pub fn new(batch: FlatTable<'_>, fields: &[Field], body: Vec<u8>) -> Result<Self, String> {
        if batch.has(3) {
            return Err("its batches are compressed; write it without compression, or as Parquet".into());
        }
        let read = || {
            let mut rest = Rest {
                nodes: batch.pairs(1)?.into_iter(),
                buffers: batch.pairs(2)?.into_iter(),
                body: body.len(),
            };
            let columns =
                fields.iter().map(|field| rest.values(field)).collect::<Option<Vec<ArrowValues>>>()?;
            let rows = usize::try_from(batch.long(0)).ok()?;
            columns.iter().all(|column| column.length == rows).then_some((columns, rows))
        };
        let (columns, rows) = read().ok_or(DAMAGED)?;
        Ok(Self { body, columns, rows })
    }

    /// A cell. `room` is how many values may still be made; a damaged file may promise any number of nulls.
    pub fn cell(&self, fields: &[Field], column: usize, row: usize, room: &mut u64) -> Result<Value, String> {
        self.value(&fields[column], &self.columns[column], row, room)
    }

    fn value(
        &self,
        field: &Field,
        values: &ArrowValues,
        index: usize,
        room: &mut u64,
    ) -> Result<Value, String> {
        *room = room.checked_sub(1).ok_or("its rows have far more values than its size allows")?;
        if index >= values.length {
            return Err(DAMAGED.into());
        }
        if !values.valid.is_empty() && !self.bit(&values.valid, index).ok_or(DAMAGED)? {
            return Ok(Value::Null);
        }
        let data = |bytes: usize| self.fixed(&values.data, index, bytes).ok_or(DAMAGED);
        Ok(match field.kind {
            ArrowKind::Null => Value::Null,
            ArrowKind::Bool => Value::Bool(self.bit(&values.data, index).ok_or(DAMAGED)?),
            ArrowKind::Int { bytes, is_signed } => whole_number(data(bytes)?, is_signed),
            ArrowKind::Float { bytes } => Value::Float(number(data(bytes)?)),
            ArrowKind::Bytes { is_text, is_large } => {
                let place = self.range(values, index, is_large).ok_or(DAMAGED)?;
                let bytes = self.body[values.data.clone()].get(place).ok_or(DAMAGED)?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => Value::Text(text.to_string()),
                    Err(_) if is_text => return Err("a text that is not UTF-8".into()),
                    Err(_) => Value::Other("bytes"),
                }
            }
            ArrowKind::List { is_large } => {
                let items = self.range(values, index, is_large).ok_or(DAMAGED)?;
                self.list(field, values, items, room)?
            }
            ArrowKind::FixedList { length } => {
                let start = index.checked_mul(length).ok_or(DAMAGED)?;
                self.list(field, values, start..start.checked_add(length).ok_or(DAMAGED)?, room)?
            }
            ArrowKind::Struct => {
                let parts = field.parts.iter().zip(&values.parts);
                let part = |(part, values): (&Field, &ArrowValues)| {
                    Ok((part.name.clone(), self.value(part, values, index, room)?))
                };
                Value::Struct(parts.map(part).collect::<Result<_, String>>()?)
            }
            ArrowKind::Map => Value::Other("a map"),
            ArrowKind::Other { what, .. } => Value::Other(what),
        })
    }

    fn list(
        &self,
        field: &Field,
        values: &ArrowValues,
        items: Range<usize>,
        room: &mut u64,
    ) -> Result<Value, String> {
        let (part, of_items) = (field.parts.first().ok_or(DAMAGED)?, values.parts.first().ok_or(DAMAGED)?);
        items.map(|item| self.value(part, of_items, item, room)).collect::<Result<_, _>>().map(Value::List)
    }

    fn bit(&self, buffer: &Range<usize>, index: usize) -> Option<bool> {
        let byte = self.body[buffer.clone()].get(index / 8)?;
        Some(byte >> (index % 8) & 1 == 1)
    }

    fn fixed(&self, buffer: &Range<usize>, index: usize, bytes: usize) -> Option<&[u8]> {
        let start = index.checked_mul(bytes)?;
        self.body[buffer.clone()].get(start..start.checked_add(bytes)?)
    }

    /// What belongs to a text or list, as its two offsets say.
    fn range(&self, values: &ArrowValues, index: usize, is_large: bool) -> Option<Range<usize>> {
        let offset = |index: usize| -> Option<usize> {
            let bytes = self.fixed(&values.offsets, index, if is_large { 8 } else { 4 })?;
            usize::try_from(signed(bytes)).ok()
        };
        let range = offset(index)?..offset(index.checked_add(1)?)?;
        (range.start <= range.end).then_some(range)
    }
}

/// A number of up to eight bytes, the lowest first.
fn signed(bytes: &[u8]) -> i64 {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut whole = [if is_negative { 0xff } else { 0 }; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(whole)
}

fn whole_number(bytes: &[u8], is_signed: bool) -> Value {
    if is_signed {
        return Value::Int(signed(bytes));
    }
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::try_from(u64::from_le_bytes(whole)).map_or(Value::Other("a number beyond 63 bits"), Value::Int)
}

fn number(bytes: &[u8]) -> f64 {
    match *bytes {
        [a, b] => half::f16::from_le_bytes([a, b]).to_f64(),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::NAN,
    }
}
