//! Tables of a flatbuffer (flatbuffers.dev, "FlatBuffer Internals"), of which every place is checked.
//!
//! What Arrow writes as metadata is small: a schema, and for each batch where its buffers lie. An offset leads forward
//! only, so that no table is part of itself.

/// A table.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlatTable<'a> {
    bytes: &'a [u8],
    /// Where it begins.
    at: usize,
    /// Where the list of its fields begins, and the list's length in bytes.
    fields: (usize, usize),
}

/// Bytes of an offset, and of the length of a vector.
const OFFSET: usize = 4;

impl<'a> FlatTable<'a> {
    /// The table that a flatbuffer holds.
    pub fn root(bytes: &'a [u8]) -> Option<Self> {
        Self::at(bytes, usize::try_from(u32_at(bytes, 0)?).ok()?)
    }

    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let back = i32::from_le_bytes(array(bytes, at)?);
        let fields = usize::try_from(i64::try_from(at).ok()? - i64::from(back)).ok()?;
        let length = usize::from(u16_at(bytes, fields)?);
        Some(Self { bytes, at, fields: (fields, length) })
    }

    /// Where a field's value lies; `None` for one that is not there.
    fn place(&self, field: usize) -> Option<usize> {
        let (fields, length) = self.fields;
        // The lengths of the list of fields and of the table come before the fields.
        let entry = 4 + 2 * field;
        let offset = if entry + 2 <= length { u16_at(self.bytes, fields + entry)? } else { 0 };
        (offset > 0).then(|| self.at + usize::from(offset))
    }

    /// A number of one byte, 0 where it is not there; so are the following ones.
    pub fn byte(&self, field: usize) -> u8 {
        self.place(field).and_then(|place| self.bytes.get(place).copied()).unwrap_or(0)
    }

    pub fn short(&self, field: usize) -> i16 {
        let place = self.place(field);
        place.and_then(|place| array(self.bytes, place)).map_or(0, i16::from_le_bytes)
    }

    pub fn int(&self, field: usize) -> i32 {
        let place = self.place(field);
        place.and_then(|place| array(self.bytes, place)).map_or(0, i32::from_le_bytes)
    }

    pub fn long(&self, field: usize) -> i64 {
        let place = self.place(field);
        place.and_then(|place| array(self.bytes, place)).map_or(0, i64::from_le_bytes)
    }

    /// Whether a field is there.
    pub fn has(&self, field: usize) -> bool {
        self.place(field).is_some()
    }

    /// A table that is a field.
    pub fn table(&self, field: usize) -> Option<Self> {
        Self::at(self.bytes, followed(self.bytes, self.place(field)?)?)
    }

    /// A text that is a field.
    pub fn text(&self, field: usize) -> Option<&'a str> {
        let (start, length) = self.vector(field)?;
        std::str::from_utf8(self.bytes.get(start..start.checked_add(length)?)?).ok()
    }

    /// The tables of a vector that is a field; none where it is not there.
    pub fn tables(&self, field: usize) -> Option<Vec<Self>> {
        if !self.has(field) {
            return Some(Vec::new());
        }
        let (start, length) = self.vector(field)?;
        self.bytes.get(start..start.checked_add(length.checked_mul(OFFSET)?)?)?;
        let table = |index: usize| Self::at(self.bytes, followed(self.bytes, start + index * OFFSET)?);
        (0..length).map(table).collect()
    }

    /// A vector of structs of two whole numbers that is a field.
    pub fn pairs(&self, field: usize) -> Option<Vec<[i64; 2]>> {
        const PAIR: usize = 16;
        if !self.has(field) {
            return Some(Vec::new());
        }
        let (start, length) = self.vector(field)?;
        let bytes = self.bytes.get(start..start.checked_add(length.checked_mul(PAIR)?)?)?;
        let number = |at| array(bytes, at).map(i64::from_le_bytes);
        (0..length).map(|index| Some([number(index * PAIR)?, number(index * PAIR + 8)?])).collect()
    }

    /// Where the elements of a vector begin, and how many it has.
    fn vector(&self, field: usize) -> Option<(usize, usize)> {
        let start = followed(self.bytes, self.place(field)?)?;
        Some((start + OFFSET, usize::try_from(u32_at(self.bytes, start)?).ok()?))
    }
}

/// Where the offset at a place leads.
fn followed(bytes: &[u8], place: usize) -> Option<usize> {
    let offset = usize::try_from(u32_at(bytes, place)?).ok()?;
    if offset == 0 { None } else { place.checked_add(offset) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}
