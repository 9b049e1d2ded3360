//! Locks between processes: the one that works in a folder, and those that wait for each other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::FileError;
use crate::sync::{create_folders, parent};

/// The file in a folder that its owner holds.
const LOCK: &str = ".lock";
/// Bytes of a lock file that are read: what an owner says of itself is a line.
const LONGEST: u64 = 4096;

/// The one process that works in a folder, until it is dropped.
#[derive(Debug)]
pub struct Owner {
    file: File,
}

impl Owner {
    /// Becomes the folder's owner. `says` is a line that tells others who that is.
    ///
    /// # Errors
    /// [`FileError::Owned`] while another process is; [`FileError::Io`].
    pub fn of(folder: &Path, says: &str) -> Result<Self, FileError> {
        let path = folder.join(LOCK);
        let failed = |error| FileError::io(&path, error);
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // A name that cannot be read is no reason to say less of the rest.
                let _ = file.take(LONGEST).read_to_string(&mut owner);
                let owner = if owner.trim().is_empty() { "another process" } else { owner.trim() };
                return Err(FileError::Owned { folder: folder.into(), owner: owner.into() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        file.write_all(format!("{says}\n").as_bytes()).map_err(failed)?;
        Ok(Self { file })
    }

    /// The lock's file: a process that is given it, such as by its standard input, keeps the lock as long as it lives.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn handle(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(|error| FileError::io(LOCK, error))
    }

    /// Whether a name is that of the lock's file.
    pub fn is_lock(name: &std::ffi::OsStr) -> bool {
        name == LOCK
    }
}

/// Waits until no other process holds the lock of this file, and holds it until the result is dropped. `waiting` is
/// called before it waits.
///
/// # Errors
/// [`FileError::Io`].
pub fn wait_for(path: PathBuf, waiting: impl FnOnce()) -> Result<File, FileError> {
    create_folders(parent(&path))?;
    let file = open(&path)?;
    if file.try_lock().is_err() {
        waiting();
        file.lock().map_err(|error| FileError::io(&path, error))?;
    }
    Ok(file)
}

/// A lock's file, which is made where it is missing.
pub(crate) fn open(path: &Path) -> Result<File, FileError> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    file.map_err(|error| FileError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = Owner::of(folder.path(), "process 17, temper finetune").unwrap();
        let error = Owner::of(folder.path(), "process 18").unwrap_err().to_string();
        assert!(error.contains("in use by process 17, temper finetune"), "{error}");
        drop(first);
        let second = Owner::of(folder.path(), "process 18").unwrap();
        let kept = second.handle().unwrap();
        drop(second);
        assert!(Owner::of(folder.path(), "process 19").is_err(), "a handle keeps the lock");
        drop(kept);
        Owner::of(folder.path(), "19").unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(LOCK)).unwrap(), "19\n");
    }

    #[test]
    fn a_second_lock_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let first = wait_for(path.clone(), || {}).unwrap();
        let again = File::options().write(true).open(&path).unwrap();
        assert!(again.try_lock().is_err());
        drop(first);
        assert!(again.try_lock().is_ok());
    }
}
