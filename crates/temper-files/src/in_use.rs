//! What is in use: a shared lock that a process holds until it ends, and the exclusive one of whoever removes something.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::FileError;
use crate::owner::open;
use crate::sync::{create_folders, parent};

/// The shared locks of this process, by path. What a process has read once it may read again at any time.
static HELD: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// Tells other processes that what this lock stands for is in use, until this process ends. The time of the lock's
/// file says when that was last done. Waits while another process removes it.
///
/// Where the lock cannot be made, such as on a disk that cannot be written, nothing is told.
pub fn use_until_exit(lock: &Path) {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.contains_key(lock) || create_folders(parent(lock)).is_err() {
        return;
    }
    let Ok(file) = open(lock) else { return };
    if file.lock_shared().is_ok() {
        // Without a time, the files' own times say when they were used.
        let _ = file.set_modified(SystemTime::now());
        held.insert(lock.into(), file);
    }
}

/// True if a process holds this lock, or if that cannot be found out.
pub fn is_in_use(lock: &Path) -> bool {
    match File::open(lock) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Keeps others from beginning to use what this lock stands for, until the result is dropped; `None` while a process
/// uses it.
///
/// # Errors
/// [`FileError::Io`].
pub fn lock_unused(lock: &Path) -> Result<Option<File>, FileError> {
    create_folders(parent(lock))?;
    let file = open(lock)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(FileError::io(lock, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_used_and_what_is_locked_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("locks/a");
        assert!(!is_in_use(&lock) && !lock.exists(), "asking makes no file");
        let removing = lock_unused(&lock).unwrap().unwrap();
        assert!(is_in_use(&lock));
        let user = std::thread::spawn({
            let lock = lock.clone();
            move || use_until_exit(&lock)
        });
        drop(removing);
        user.join().unwrap();
        assert!(is_in_use(&lock), "also after the thread has ended");
        assert!(lock_unused(&lock).unwrap().is_none());
        use_until_exit(&lock);
        assert!(!is_in_use(&folder.path().join("locks/b")));
    }

    #[test]
    fn where_no_lock_can_be_made_nothing_happens() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let lock = folder.path().join("file/lock");
        use_until_exit(&lock);
        assert!(lock_unused(&lock).is_err());
    }
}
