//! Names of what is not finished yet, and what a killed process left of it.
//!
//! Whoever fills a temporary file or folder holds a lock on it (flock). The system releases the lock when the process
//! ends, however it ends. So no process uses an unlocked one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::FileError;

/// How temporary names begin.
pub const TEMPORARY: &str = ".temper-";
/// How the name of a folder ends that is being replaced, where the system cannot exchange two; it is never swept.
pub(crate) const SET_ASIDE: &str = "-replaced";

/// A new file in a folder, locked until it is dropped.
pub(crate) fn file_in(folder: &Path) -> io::Result<NamedTempFile> {
    let file = builder().permissions_of_file().tempfile_in(folder)?;
    // Without locks on this file system, nothing is swept.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// A new folder in a folder; locked as long as the handle lives.
pub(crate) fn folder_in(folder: &Path) -> io::Result<(TempDir, Option<File>)> {
    let made = builder().permissions_of_folder().tempdir_in(folder)?;
    let handle = File::open(made.path()).ok().filter(|handle| handle.try_lock().is_ok());
    Ok((made, handle))
}

fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    builder
}

/// Temporary files are private to their owner by default; these stay, so they get what the user's umask gives to any
/// file.
trait Permissions {
    fn permissions_of_file(self) -> Self;
    fn permissions_of_folder(self) -> Self;
}

#[cfg(unix)]
impl Permissions for tempfile::Builder<'_, '_> {
    fn permissions_of_file(mut self) -> Self {
        self.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        self
    }

    fn permissions_of_folder(mut self) -> Self {
        self.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        self
    }
}

#[cfg(not(unix))]
impl Permissions for tempfile::Builder<'_, '_> {
    fn permissions_of_file(self) -> Self {
        self
    }

    fn permissions_of_folder(self) -> Self {
        self
    }
}

/// Removes the temporary files and folders directly in a folder that no living process holds and that were last
/// changed at least that long ago, and names them.
///
/// A process makes its temporary file and locks it right afterwards. Only the folder's [`Owner`](crate::Owner) can be
/// sure that no other process is between the two; anybody else has to give an age.
///
/// # Errors
/// [`FileError::Io`]; a folder that is not there has nothing to sweep.
pub fn sweep(folder: &Path, age: Duration) -> Result<Vec<PathBuf>, FileError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| FileError::io(folder, error))?,
    };
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| FileError::io(folder, error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(TEMPORARY) || name.ends_with(SET_ASIDE) || !is_abandoned(&path, age) {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) } {
            Ok(()) => removed.push(path),
            // Another process sweeps, too.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(&path, error)),
        }
    }
    Ok(removed)
}

fn is_abandoned(path: &Path, age: Duration) -> bool {
    let changed = fs::metadata(path).and_then(|data| data.modified()).ok();
    // A time in the future is no age.
    let is_old = changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|passed| passed >= age);
    (is_old || age.is_zero()) && File::open(path).is_ok_and(|handle| handle.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_temporary_names_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let mine = file_in(root.path()).unwrap();
        let (folder, lock) = folder_in(root.path()).unwrap();
        fs::write(root.path().join(".temper-dead"), "").unwrap();
        fs::create_dir(root.path().join(".temper-deadfolder")).unwrap();
        fs::write(root.path().join(".temper-deadfolder/file"), "").unwrap();
        fs::write(root.path().join("precious"), "").unwrap();
        fs::create_dir(root.path().join(".temper-1-replaced")).unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(sweep(root.path(), hour).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(sweep(root.path(), Duration::ZERO).unwrap().len(), 2);
        assert!(mine.path().exists() && folder.path().exists() && root.path().join("precious").exists());
        drop(lock);
        assert_eq!(sweep(root.path(), Duration::ZERO).unwrap(), [folder.path()]);
        assert_eq!(sweep(&root.path().join("absent"), hour).unwrap(), Vec::<PathBuf>::new());
    }
}
