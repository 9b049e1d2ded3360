//! What can go wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file or a folder could not be written, read or owned.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something has the name already.
    #[error("{} exists already", path.display())]
    Taken {
        /// The name.
        path: PathBuf,
    },
    /// Another process works in the folder.
    #[error("{} is in use by {owner}; wait until it has ended, or stop it", folder.display())]
    Owned {
        /// The folder.
        folder: PathBuf,
        /// What the other process says of itself.
        owner: String,
    },
    /// A file is not the one that was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
}

impl FileError {
    /// What the system says of a path.
    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().into(), source }
    }
}
