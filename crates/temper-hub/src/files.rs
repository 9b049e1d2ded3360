//! Files done right: whole or absent, hashed, locked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::error::HubError;

/// The sha256 of a file's content, 64 hexadecimal digits in lower case.
///
/// # Errors
/// [`HubError::Io`] when the file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String, HubError> {
    let mut hash = Sha256::new();
    read_in_pieces(path, |piece| hash.update(piece))?;
    Ok(hex(&hash.finalize()))
}

/// Writes a file so that it is there whole or not at all: a temporary file in the same folder,
/// fsync, rename. The folder is made where it is missing.
///
/// # Errors
/// [`HubError::Io`]; nothing is left behind then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    fill_atomically(path, |file| file.write_all(bytes).map_err(|error| HubError::io(path, error)))
}

/// As [`write_atomically`], with the content written by `fill`.
///
/// # Errors
/// Those of `fill`, and [`HubError::Io`]; nothing is left behind then.
pub fn fill_atomically<E: From<HubError>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |error| HubError::io(path, error);
    fs::create_dir_all(folder).map_err(|error| HubError::io(folder, error))?;
    let mut temporary = temporary_beside(folder).map_err(failed)?;
    fill(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Temporary files are private to their owner by default; this one stays, so it gets what the
/// user's umask gives to any file.
#[cfg(unix)]
fn temporary_beside(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)
}

#[cfg(not(unix))]
fn temporary_beside(folder: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(folder)
}

/// Makes the rename itself last. Not every file system lets a folder be synced, and the file is
/// whole either way, so a refusal is no error.
fn sync_folder(folder: &Path) {
    if let Ok(handle) = File::open(folder) {
        let _ = handle.sync_all();
    }
}

/// Calls `take` with the file's content, a piece at a time.
pub(crate) fn read_in_pieces(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), HubError> {
    let failed = |error| HubError::io(path, error);
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
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A lock between processes (and threads), held until dropped.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else holds the lock of this file.
    pub(crate) fn take(path: PathBuf) -> Result<Self, HubError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| HubError::io(parent, error))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| HubError::io(&path, error))?;
        if file.try_lock().is_err() {
            tracing::info!(lock = %path.display(), "another process downloads the same; waiting");
            file.lock().map_err(|error| HubError::io(&path, error))?;
        }
        Ok(Self { _file: file })
    }
}

/// Whether a name from a card, an index or a caller stays inside its folder.
pub(crate) fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\\')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sha256_is_the_published_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sha256_of(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_written_file_is_whole_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"old").unwrap();
        let failed = fill_atomically(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(HubError::io("file", io::Error::other("cut off")))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let first = Lock::take(path.clone()).unwrap();
        let again = File::options().write(true).open(&path).unwrap();
        assert!(again.try_lock().is_err());
        drop(first);
        assert!(again.try_lock().is_ok());
    }

    #[test]
    fn names_that_leave_the_folder_are_seen() {
        assert!(stays_inside("plain_text/train.parquet"));
        for bad in ["", "../a", "/a", "a/../../b", "..\\a", "."] {
            assert!(!stays_inside(bad), "{bad:?}");
        }
    }
}
