//! Making directory entries last.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::FileError;

/// Makes the entries of a folder last through a power cut.
///
/// # Errors
/// [`FileError::Io`]. A file system that cannot sync folders is no error.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    match File::open(folder).and_then(|handle| handle.sync_all()) {
        Err(error) if !has_no_sync(&error) => Err(FileError::io(folder, error)),
        _ => Ok(()),
    }
}

/// Windows opens no folder; some network file systems sync none.
fn has_no_sync(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) || cfg!(not(unix))
}

/// Makes a folder and those above it where they are missing, and makes their entries last.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_folders(folder: &Path) -> Result<(), FileError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder);
    create_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(FileError::io(folder, error))
        }
        _ => sync_folder(above),
    }
}

/// The folder that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Syncs every file and folder below a folder, and the folder itself. Links are not followed.
pub(crate) fn sync_tree(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(|error| FileError::io(folder, error))? {
        let entry = entry.map_err(|error| FileError::io(folder, error))?;
        let (path, kind) = (entry.path(), entry.file_type());
        let kind = kind.map_err(|error| FileError::io(&path, error))?;
        if kind.is_dir() {
            sync_tree(&path)?;
        } else if kind.is_file() {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|error| FileError::io(&path, error))?;
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_made_and_a_file_in_the_way_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        create_folders(&root.path().join("a/b/c")).unwrap();
        create_folders(&root.path().join("a/b/c")).unwrap();
        assert!(root.path().join("a/b/c").is_dir());
        fs::write(root.path().join("file"), "").unwrap();
        let error = create_folders(&root.path().join("file/inside")).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn the_folder_of_a_bare_name_is_the_current_one() {
        assert_eq!(parent(Path::new("name")), Path::new("."));
        assert_eq!(parent(Path::new("a/name")), Path::new("a"));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
