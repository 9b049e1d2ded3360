//! Hashes of files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::FileError;

/// The sha256 of a file's content, 64 hexadecimal digits in lower case.
///
/// # Errors
/// [`FileError::Io`] when the file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, FileError> {
    let mut hash = Sha256::new();
    read_in_pieces(path, |piece| hash.update(piece))?;
    Ok(hex(&hash.finalize()))
}

/// Calls `take` with the file's content, a piece at a time.
///
/// # Errors
/// [`FileError::Io`] when the file cannot be read.
pub fn read_in_pieces(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sha256_is_the_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256_of(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
