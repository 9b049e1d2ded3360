//! Numbers, texts and lists one after the other. Nothing is allocated beyond what is there.

use crate::metadata::Value;
use crate::types;

/// Lists within lists that are followed.
const DEEPEST: usize = 4;

/// Reads a file's bytes from the front; errors say what is missing.
pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    /// Bytes that were read.
    pub place: usize,
}

impl<'a> Parser<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0 }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.place
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        if count > self.left() {
            return Err(format!("it ends at byte {}, where {count} more are needed", self.bytes.len()));
        }
        let taken = &self.bytes[self.place..self.place + count];
        self.place += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of things of at least `least` bytes each.
    pub fn count(&mut self, what: &str, least: usize) -> Result<usize, String> {
        let number = self.u64()?;
        let count = usize::try_from(number).ok().filter(|count| count.saturating_mul(least) <= self.left());
        count.ok_or_else(|| format!("{what} {number} at byte {} is more than the file has", self.place - 8))
    }

    pub fn text(&mut self) -> Result<String, String> {
        let place = self.place;
        let length = self.count("a length of", 1)?;
        let text = String::from_utf8(self.take(length)?.to_vec());
        text.map_err(|_| format!("the text at byte {place} is not UTF-8"))
    }

    /// A value with its type before it.
    pub fn value(&mut self) -> Result<Value, String> {
        let kind = self.u32()?;
        self.value_of(kind, 0)
    }

    fn value_of(&mut self, kind: u32, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            types::U8 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            types::I8 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            types::U16 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            types::I16 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            types::U32 => Value::Unsigned(self.u32()?.into()),
            types::I32 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            types::F32 => Value::Float(f32::from_le_bytes(self.array()?)),
            types::BOOL => match self.array::<1>()?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => return Err(format!("{other} at byte {} is not a truth value", self.place - 1)),
            },
            types::TEXT => Value::Text(self.text()?),
            types::LIST if depth < DEEPEST => self.list(depth)?,
            types::U64 => Value::Unsigned(self.u64()?),
            types::I64 => Value::Signed(i64::from_le_bytes(self.array()?)),
            types::F64 => Value::Double(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("{other} before byte {} is not a type of a value", self.place)),
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let kind = self.u32()?;
        // The least that a value of a type takes: a text and a list begin with a length.
        let least = match kind {
            types::TEXT => 8,
            types::LIST => 12,
            _ => 1,
        };
        let count = self.count("a list of", least)?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value_of(kind, depth + 1)?);
        }
        Ok(Value::List(values))
    }
}
