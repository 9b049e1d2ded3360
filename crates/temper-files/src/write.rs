//! A file that is complete or absent.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::FileError;
use crate::sync::{create_folders, parent, sync_folder};
use crate::temporary::file_in;

/// Writes a file. The folder is made where it is missing.
///
/// # Errors
/// [`FileError::Io`]; the file that was there before stays then, and nothing else is left.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fill(path, |file| file.write_all(bytes).map_err(|error| FileError::io(path, error)))
}

/// As [`write()`], with the content written by `fill`: through the file, or under its temporary path.
///
/// # Errors
/// Those of `fill`, and [`FileError::Io`].
pub fn fill<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&mut NamedTempFile) -> Result<(), E>,
) -> Result<(), E> {
    let folder = parent(path);
    let failed = |error| FileError::io(path, error);
    create_folders(folder)?;
    let mut temporary = file_in(folder).map_err(failed)?;
    fill(&mut temporary)?;
    // By its path: `fill` may have replaced the file.
    File::open(temporary.path()).and_then(|file| file.sync_all()).map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    Ok(sync_folder(folder)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_written_file_is_whole_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old").unwrap();
        let failed = fill(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(FileError::io("file", std::io::Error::other("cut off")))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_replaced_under_its_temporary_path_is_the_one_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fill(&path, |file| fs::write(file.path(), "new").map_err(|error| FileError::io("file", error)))
            .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
