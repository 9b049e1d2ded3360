//! A folder that is complete or absent.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::FileError;
use crate::sync::{create_folders, parent, sync_folder, sync_tree};
use crate::temporary::{SET_ASIDE, folder_in};

/// Fills a temporary folder, syncs everything in it, and renames it to `place`. A folder that is there already is
/// exchanged in one step and removed afterwards. What `fill` returns lives on, such as a lock in the folder.
///
/// # Errors
/// Those of `fill`, and [`FileError::Io`]; what was there before stays then, and nothing else is left.
pub fn publish<T, E: From<FileError>>(
    place: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    put(place, fill, |scratch| {
        if !place.exists() {
            return fs::rename(scratch, place).map(|()| None);
        }
        exchange(scratch, place).map(Some)
    })
}

/// As [`publish`], for a name that has to be free.
///
/// # Errors
/// [`FileError::Taken`] where something is there that is no empty folder; those of `fill`; [`FileError::Io`].
pub fn publish_new<T, E: From<FileError>>(
    place: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    // The system renames a folder to one that is empty, and to nothing else.
    put(place, fill, |scratch| {
        if place.exists() && !place.is_dir() {
            return Err(io::Error::from(ErrorKind::AlreadyExists));
        }
        fs::rename(scratch, place).map(|()| None)
    })
}

fn put<T, E: From<FileError>>(
    place: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
    rename: impl FnOnce(&Path) -> io::Result<Option<PathBuf>>,
) -> Result<T, E> {
    let folder = parent(place);
    create_folders(folder)?;
    let (scratch, lock) = folder_in(folder).map_err(|error| FileError::io(place, error))?;
    let filled = fill(scratch.path())?;
    sync_tree(scratch.path())?;
    let old = rename(scratch.path()).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty => FileError::Taken { path: place.into() },
        _ => FileError::io(place, error),
    })?;
    sync_folder(folder)?;
    // The path of the scratch folder is free, or has what was there before.
    let scratch: PathBuf = TempDir::keep(scratch);
    for remaining in [Some(scratch), old].into_iter().flatten() {
        remove_folder(&remaining)?;
    }
    drop(lock);
    Ok(filled)
}

/// Puts `new` in the place of `old`; where that takes two steps, returns where the old one is now.
#[cfg(target_os = "linux")]
fn exchange(new: &Path, old: &Path) -> io::Result<PathBuf> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(new.to_path_buf()),
        // Some file systems cannot.
        Err(Errno::INVAL | Errno::NOSYS) => exchange_in_two_steps(new, old),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(new: &Path, old: &Path) -> io::Result<PathBuf> {
    exchange_in_two_steps(new, old)
}

/// A crash between the steps leaves the place empty, and the old folder under a name that is not swept.
fn exchange_in_two_steps(new: &Path, old: &Path) -> io::Result<PathBuf> {
    let mut aside = new.as_os_str().to_owned();
    aside.push(SET_ASIDE);
    let aside = PathBuf::from(aside);
    fs::rename(old, &aside)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(&aside, old)?;
        return Err(error);
    }
    Ok(aside)
}

/// Removes a folder, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_folder(folder: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io(folder, error)),
        _ => Ok(()),
    }
}

/// Removes a file or a folder in one step, so that no process sees half of it. Of a link, the link itself is removed, not its target.
///
/// # Errors
/// [`FileError::Io`].
pub fn discard(path: &Path) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, error);
    let (scratch, lock) = folder_in(parent(path)).map_err(failed)?;
    fs::rename(path, scratch.path().join("discarded")).map_err(failed)?;
    scratch.close().map_err(failed)?;
    drop(lock);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn with_file(content: &'static str) -> impl Fn(&Path) -> Result<(), FileError> {
        move |folder| crate::write(&folder.join("file"), content.as_bytes())
    }

    #[test]
    fn a_published_folder_replaces_the_one_before_and_leaves_neighbours_alone() {
        let root = tempfile::tempdir().unwrap();
        for neighbour in ["model.old", "model.partial"] {
            fs::create_dir(root.path().join(neighbour)).unwrap();
        }
        let place = root.path().join("model.new");
        publish(&place, with_file("one")).unwrap();
        publish(&place, with_file("two")).unwrap();
        assert_eq!(fs::read(place.join("file")).unwrap(), b"two");
        assert_eq!(names(root.path()), ["model.new", "model.old", "model.partial"]);
    }

    #[test]
    fn without_an_exchange_the_old_folder_is_set_aside_first() {
        let root = tempfile::tempdir().unwrap();
        let (new, old) = (root.path().join(".temper-x"), root.path().join("model"));
        fs::create_dir(&new).unwrap();
        fs::create_dir(&old).unwrap();
        fs::write(new.join("file"), "new").unwrap();
        let aside = exchange_in_two_steps(&new, &old).unwrap();
        assert_eq!(names(root.path()), [".temper-x-replaced", "model"]);
        assert!(old.join("file").exists() && aside.exists());
        let absent = root.path().join("absent");
        assert!(exchange_in_two_steps(&absent, &old).is_err());
        assert!(old.join("file").exists(), "what was there is put back");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_discarded_is_gone_and_what_it_links_to_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (folder, outside) = (root.path().join("folder"), root.path().join("outside"));
        for name in [&folder, &outside] {
            fs::create_dir(name).unwrap();
            fs::write(name.join("file"), "").unwrap();
        }
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        discard(&folder).unwrap();
        discard(&outside.join("file")).unwrap();
        assert_eq!((names(root.path()), names(&outside)), (vec!["outside".into()], vec![]));
        let error = discard(&folder).unwrap_err().to_string();
        assert!(error.contains("folder") && names(root.path()) == ["outside"], "{error}");
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("model");
        publish(&place, with_file("one")).unwrap();
        let failed: Result<(), FileError> = publish(&place, |folder| {
            fs::write(folder.join("half"), "").unwrap();
            Err(FileError::Taken { path: "x".into() })
        });
        assert!(failed.is_err());
        assert_eq!((names(root.path()), names(&place)), (vec!["model".into()], vec!["file".into()]));
    }

    #[test]
    fn a_new_folder_takes_an_empty_one_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("run");
        fs::create_dir(&place).unwrap();
        publish_new(&place, with_file("one")).unwrap();
        let taken = publish_new(&place, with_file("two"));
        assert!(matches!(taken, Err(FileError::Taken { .. })), "{taken:?}");
        assert_eq!(fs::read(place.join("file")).unwrap(), b"one");
        fs::write(root.path().join("file"), "precious").unwrap();
        let taken = publish_new(&root.path().join("file"), with_file("two"));
        assert!(matches!(taken, Err(FileError::Taken { .. })), "{taken:?}");
        assert_eq!(names(root.path()), ["file", "run"]);
    }
}
