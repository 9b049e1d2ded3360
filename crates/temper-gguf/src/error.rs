//! What can be wrong with a file.

use std::path::PathBuf;

use temper_files::FileError;

use crate::source::SourceError;

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
    #[error("{} is not a valid GGUF file: {reason}; fetch it again", path.display())]
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

    /// A file cannot say what the model is.
    #[error("the model cannot be written as GGUF: {what}; {remedy}")]
    Unwritable {
        /// What it has.
        what: String,
        /// What can be done.
        remedy: &'static str,
    },

    /// A tensor of the model to write cannot be read.
    #[error("the tensor {name} cannot be read: {source}")]
    Source {
        /// Its name in the model.
        name: String,
        /// Why.
        source: SourceError,
    },

    /// A file that was written does not read back as it was; it is removed.
    #[error("{} did not read back as it was written, and was removed: {what}; write it on another disk", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },

    /// The file or folder cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl GgufError {
    /// That a model has something which a file cannot say.
    pub(crate) fn unwritable(what: String) -> Self {
        Self::Unwritable { what, remedy: "write a folder instead, by a name that does not end in .gguf" }
    }
}
