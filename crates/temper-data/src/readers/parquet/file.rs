//! A Parquet file whose headers are checked before the parquet crate reads them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::thrift;

/// The length of the metadata and the magic number, at the end of a file.
const TAIL: u64 = 8;
/// Ids of a page's sizes in its header (parquet.thrift: PageHeader).
const UNCOMPRESSED_SIZE: i64 = 2;
const COMPRESSED_SIZE: i64 = 3;
/// Bytes that any page may have, and how many times its compressed size beyond that.
const PAGE_FREELY: i64 = 64 << 20;
const LARGEST_RATIO: i64 = 1000;

/// A file and its size.
pub(super) struct CheckedFile {
    file: File,
    size: u64,
    /// Where contents of pages begin whose headers were checked: a header that was peeked at is not read again.
    contents: Mutex<HashSet<u64>>,
}

impl CheckedFile {
    /// Checks the file's metadata.
    pub fn new(file: File) -> Result<Self> {
        let size = file.metadata()?.len();
        let checked = Self { file, size, contents: Mutex::default() };
        if let Some(start) = size.checked_sub(TAIL) {
            let mut length = [0; 4];
            checked.file.get_read(start)?.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            // A length beyond the file is for the crate to refuse, as what is no Parquet at all.
            if let Some(start) = start.checked_sub(length) {
                thrift::walk(checked.file.get_read(start)?, length).map_err(damaged)?;
            }
        }
        Ok(checked)
    }

    fn check_page(&self, start: u64) -> Result<()> {
        let header = thrift::walk_page(self.file.get_read(start)?, self.size.saturating_sub(start))
            .map_err(damaged)?;
        let size = |id| header.numbers.get(&id).copied().unwrap_or(0);
        // After a page without content is the next header.
        if size(COMPRESSED_SIZE) > 0 {
            self.contents().insert(start + header.length);
        }
        let limit = PAGE_FREELY.saturating_add(size(COMPRESSED_SIZE).saturating_mul(LARGEST_RATIO));
        match size(UNCOMPRESSED_SIZE) {
            size if size > limit => Err(ParquetError::General(format!("a page of {size} bytes in too few"))),
            _ => Ok(()),
        }
    }
}

impl CheckedFile {
    fn contents(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for CheckedFile {
    type T = Endless;

    /// The crate reads the file's tail, the headers of pages, and what follows a header that it peeked at, in this way.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        if self.size.checked_sub(TAIL) != Some(start) && !self.contents().remove(&start) {
            self.check_page(start)?;
        }
        self.file.get_read(start).map(Endless)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Room is made for the length before it is read.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF("data beyond the end of the file".into()));
        }
        self.file.get_bytes(start, length)
    }
}

fn damaged(error: std::io::Error) -> ParquetError {
    ParquetError::General(format!("a damaged header: {error}"))
}

/// A reader without an end: there is an error. The crate skips values after the end of a
/// file as if they were there, for as many as the file promises.
pub(super) struct Endless(BufReader<File>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}
