//! What the columns of an Arrow file hold (format/Schema.fbs).

use super::flatbuffer::FlatTable;

/// Fields within each other, and fields of a schema altogether, that are read.
const DEEPEST: usize = 32;
const MOST_FIELDS: usize = 100_000;

/// A column, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub name: String,
    pub kind: ArrowKind,
    pub parts: Vec<Field>,
}

/// How the values of a field are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArrowKind {
    Null,
    Bool,
    /// Whole numbers of so many bytes.
    Int {
        bytes: usize,
        is_signed: bool,
    },
    /// Numbers with fractions of so many bytes.
    Float {
        bytes: usize,
    },
    /// Texts, or bytes; offsets have 8 bytes where they are large, else 4.
    Bytes {
        is_text: bool,
        is_large: bool,
    },
    List {
        is_large: bool,
    },
    /// Lists of one length.
    FixedList {
        length: usize,
    },
    Struct,
    /// A list of keys and values.
    Map,
    /// Something of so many bytes that no task reads; its kind, for messages.
    Other {
        bytes: usize,
        what: &'static str,
    },
}

/// The columns of a schema, and the metadata of that key.
pub(super) fn read(schema: FlatTable<'_>, key: &str) -> Result<(Vec<Field>, Option<String>), String> {
    if schema.short(0) != 0 {
        return Err("its numbers are stored with the higher byte first".into());
    }
    let mut left = MOST_FIELDS;
    let fields = fields(schema.tables(1).ok_or(DAMAGED)?, 0, &mut left)?;
    let metadata = schema.tables(2).ok_or(DAMAGED)?;
    let entry = metadata.iter().find(|entry| entry.text(0) == Some(key));
    Ok((fields, entry.and_then(|entry| entry.text(1)).map(String::from)))
}

/// What is said of metadata that contradicts itself.
pub(super) const DAMAGED: &str = "damaged Arrow metadata";

fn fields(tables: Vec<FlatTable<'_>>, depth: usize, left: &mut usize) -> Result<Vec<Field>, String> {
    if depth > DEEPEST {
        return Err(format!("its columns are nested more than {DEEPEST} times"));
    }
    *left =
        left.checked_sub(tables.len()).ok_or_else(|| format!("it has more than {MOST_FIELDS} columns"))?;
    let field = |table: FlatTable<'_>| {
        let name = table.text(0).unwrap_or_default().to_string();
        if table.has(4) {
            return Err(format!("column `{name}` is dictionary-encoded; write it as plain values"));
        }
        let kind = kind(&table).map_err(|reason| format!("column `{name}`: {reason}"))?;
        let parts = fields(table.tables(5).ok_or(DAMAGED)?, depth + 1, left)?;
        let expected = match kind {
            ArrowKind::List { .. } | ArrowKind::FixedList { .. } | ArrowKind::Map => parts.len() == 1,
            ArrowKind::Struct => true,
            _ => parts.is_empty(),
        };
        if expected { Ok(Field { name, kind, parts }) } else { Err(DAMAGED.into()) }
    };
    tables.into_iter().map(field).collect()
}

/// The numbers are those of the union `Type`; defaults are those of Schema.fbs.
fn kind(field: &FlatTable<'_>) -> Result<ArrowKind, String> {
    const TIME: &str = "a date or time";
    let number = field.byte(2);
    let of = field.table(3).ok_or(DAMAGED)?;
    let bits = |slot: usize, usual: i32| if of.has(slot) { of.int(slot) } else { usual };
    let whole = |bits: i32| match bits {
        8 | 16 | 32 | 64 | 128 | 256 => Ok(bits as usize / 8),
        _ => Err(DAMAGED.to_string()),
    };
    let size = |size: i32| usize::try_from(size).map_err(|_| DAMAGED.to_string());
    Ok(match number {
        1 => ArrowKind::Null,
        2 => match whole(of.int(0))? {
            bytes @ (1 | 2 | 4 | 8) => ArrowKind::Int { bytes, is_signed: of.byte(1) != 0 },
            _ => return Err(DAMAGED.into()),
        },
        3 => ArrowKind::Float { bytes: [2, 4, 8].get(of.short(0) as usize).copied().ok_or(DAMAGED)? },
        4 | 5 | 19 | 20 => ArrowKind::Bytes { is_text: number == 5 || number == 20, is_large: number >= 19 },
        6 => ArrowKind::Bool,
        7 => ArrowKind::Other { bytes: whole(bits(2, 128))?, what: "a decimal" },
        8 => ArrowKind::Other { bytes: if of.has(0) && of.short(0) == 0 { 4 } else { 8 }, what: TIME },
        9 => ArrowKind::Other { bytes: whole(bits(1, 32))?, what: TIME },
        10 | 18 => ArrowKind::Other { bytes: 8, what: TIME },
        11 => ArrowKind::Other {
            bytes: [4, 8, 16].get(of.short(0) as usize).copied().ok_or(DAMAGED)?,
            what: TIME,
        },
        12 | 21 => ArrowKind::List { is_large: number == 21 },
        13 => ArrowKind::Struct,
        15 => ArrowKind::Other { bytes: size(of.int(0))?, what: "bytes" },
        16 => ArrowKind::FixedList { length: size(of.int(0))? },
        17 => ArrowKind::Map,
        _ => return Err(format!("Arrow's type {number} cannot be read; write it as text, numbers or lists")),
    })
}
