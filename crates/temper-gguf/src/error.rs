//! What can be wrong with a file.

use std::path::PathBuf;

use temper_files::FileError;

/// What can be wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// The file is damaged, or none of this format.
    #[error("{} is no sound GGUF file: {reason}; fetch it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },

    /// The file is sound and holds what is not read here.
    #[error("{}: {what}; {remedy}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: String,
        /// What can be done.
        remedy: &'static str,
    },

    /// The folder cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}
