//! Text files that are compressed with gzip or zstd, read as they are unpacked.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;

/// Endings of the names of such files.
const ENDINGS: [&str; 2] = ["gz", "zst"];

/// How files of gzip (RFC 1952) and zstd (RFC 8878) begin.
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file's name says that it is compressed.
pub(crate) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

/// Opens a file; one that begins as a compressed file does is unpacked while it is read.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read + Send>, DataError> {
    let failed = |source| DataError::io(path, source);
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    file.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start).map_err(failed)?;
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start.starts_with(ZSTD));
    let whole = Cursor::new(start).chain(file);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::Decoder::new(whole).map_err(failed)?),
        _ => Box::new(whole),
    })
}
