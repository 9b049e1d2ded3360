//! Structures of Thrift's compact protocol, walked over before the parquet crate reads them.
//!
//! The crate goes through as many elements of an unknown list as a damaged file promises, also
//! after the end of the file (parquet_thrift.rs, parquet 60). Here a list is no longer than what
//! is left of the file.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result};

/// How deep structures may be nested.
const DEEPEST: usize = 32;

/// The kinds of values that are asked for by name here.
const I32: u8 = 5;
const STRUCTURE: u8 = 12;

/// Walks over any structure.
pub(super) fn walk(source: impl Read, size: u64) -> Result<()> {
    Walker { source, left: size, numbers: BTreeMap::new() }.structure(DEEPEST, Structure::Anywhere)
}

/// The header of a page.
#[derive(Debug)]
pub(super) struct PageHeader {
    /// The whole numbers among its own fields, by their ids.
    pub numbers: BTreeMap<i64, i64>,
    /// Its bytes.
    pub length: u64,
}

/// Walks over the header of a page.
pub(super) fn walk_page(source: impl Read, size: u64) -> Result<PageHeader> {
    let mut walker = Walker { source, left: size, numbers: BTreeMap::new() };
    walker.structure(DEEPEST, Structure::Page)?;
    Ok(PageHeader { numbers: walker.numbers, length: size - walker.left })
}

/// Which structure it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    Anywhere,
    /// A PageHeader (parquet.thrift).
    Page,
    /// The part of a PageHeader with this id.
    PagePart(i64),
    /// Further inside of a PageHeader.
    InPage,
}

impl Structure {
    /// Whether a field of this kind may be here. The crate does not ask: it would read a string
    /// as the structure that belongs there. No part of a page's header is a list.
    fn allows(self, id: i64, kind: u8) -> bool {
        match (self, id) {
            (Self::Anywhere, _) => true,
            (Self::Page | Self::PagePart(5), 1..=4)
            | (Self::PagePart(7), 1..=2)
            | (Self::PagePart(8), 1..=6) => kind == I32,
            (Self::Page, 5..=8) | (Self::PagePart(5), 5) | (Self::PagePart(8), 8) => kind == STRUCTURE,
            (Self::PagePart(7), 3) | (Self::PagePart(8), 7) => matches!(kind, 1 | 2),
            _ => !matches!(kind, 9..=11),
        }
    }

    fn inside(self, id: i64) -> Self {
        match self {
            Self::Anywhere => Self::Anywhere,
            Self::Page => Self::PagePart(id),
            _ => Self::InPage,
        }
    }
}

struct Walker<R> {
    source: R,
    /// Bytes after the current place.
    left: u64,
    /// The whole numbers of a page's header.
    numbers: BTreeMap<i64, i64>,
}

impl<R: Read> Walker<R> {
    fn structure(&mut self, depth: usize, place: Structure) -> Result<()> {
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head & 0xf == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => zigzag(self.number()?),
                step => id + i64::from(step),
            };
            match head & 0xf {
                kind if !place.allows(id, kind) => return Err(damaged("a field of another kind")),
                I32 if place == Structure::Page => {
                    let number = zigzag(self.number()?);
                    self.numbers.insert(id, number);
                }
                kind => self.value(kind, depth, place.inside(id))?,
            }
        }
    }

    fn value(&mut self, kind: u8, depth: usize, place: Structure) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| damaged("structures nested too deep"))?;
        match kind {
            // A truth value is its own kind.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.number()?;
                self.pass(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                self.values(count, &[head & 0xf], depth)
            }
            11 => match self.number()? {
                0 => Ok(()),
                count => {
                    let kinds = self.byte()?;
                    self.values(count, &[kinds >> 4, kinds & 0xf], depth)
                }
            },
            STRUCTURE => self.structure(depth, place),
            13 => self.pass(16),
            _ => Err(damaged("a value of an unknown kind")),
        }
    }

    fn values(&mut self, count: u64, kinds: &[u8], depth: usize) -> Result<()> {
        if count > self.left {
            return Err(damaged("a list longer than the file"));
        }
        // An empty list may have no kind.
        for _ in 0..count {
            for kind in kinds {
                self.value(*kind, depth, Structure::Anywhere)?;
            }
        }
        Ok(())
    }

    /// An integer of seven bits a byte, lowest first.
    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number too long"))
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte)?;
        self.left = self.left.saturating_sub(1);
        Ok(byte[0])
    }

    fn pass(&mut self, count: u64) -> Result<()> {
        if count > self.left {
            return Err(damaged("a value longer than the file"));
        }
        self.left -= count;
        std::io::copy(&mut self.source.by_ref().take(count), &mut std::io::sink()).map(|_| ())
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn damaged(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(bytes: &[u8]) -> Result<()> {
        walk(bytes, bytes.len() as u64)
    }

    #[test]
    fn what_is_not_asked_for_is_passed_over() {
        // 1: i32 3; 2: i32 -1; 4: list of two bytes; 5: a structure with a string; 21: true.
        let bytes = [0x15, 0x06, 0x15, 0x01, 0x29, 0x23, 9, 9, 0x1c, 0x18, 0x01, b'x', 0, 0x01, 0x2a, 0x00];
        assert!(walked(&bytes).is_ok());
    }

    #[test]
    fn headers_of_pages_give_their_sizes_and_have_fields_of_their_kinds() {
        let page = |bytes: &[u8]| walk_page(bytes, bytes.len() as u64);
        // 1: 0, 2: 20, 3: 10, 5: a data page of 4 values.
        let head = [0x15, 0x00, 0x15, 0x28, 0x15, 0x14];
        let good = [&head[..], &[0x2c, 0x15, 0x08, 0, 0]].concat();
        let header = page(&good).unwrap();
        assert_eq!(header.numbers, BTreeMap::from([(1, 0), (2, 20), (3, 10)]));
        assert_eq!(header.length, good.len() as u64);
        // A string for the data page, a string for its count, and a list.
        for bad in [&[0x28, 0x01, b'x', 0][..], &[0x2c, 0x18, 0x01, b'x', 0, 0], &[0x69, 0x13, 9, 0]] {
            assert!(page(&[&head[..], bad].concat()).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn lists_and_values_longer_than_the_file_are_refused() {
        // A list of 2^31 - 1 truth values, one of doubles, a string, and lists in lists.
        for bytes in [
            &[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0][..],
            &[0x19, 0xf7, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
            &[0x18, 0x09, 0, 0],
            &[[0x19].as_slice(), &[0x19; 100]].concat(),
            &[0x15, 0x80],
            &[0x1e],
        ] {
            assert!(walked(bytes).is_err(), "{bytes:x?}");
        }
    }
}
