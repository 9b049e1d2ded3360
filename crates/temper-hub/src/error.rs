//! What can go wrong between a name and its files.

use std::io;
use std::path::{Path, PathBuf};

use temper_files::FileError;
use thiserror::Error;

/// Why a name did not become files.
#[derive(Debug, Error)]
pub enum HubError {
    /// No model of this short name.
    #[error(
        "there is no model `{name}`.{} Use a short name ({}), a Hub name `org/name`, or the path \
         of a folder with config.json and weights",
        did_you_mean(near),
        known.join(", ")
    )]
    UnknownModel {
        /// The name as asked.
        name: String,
        /// Short names that look like it.
        near: Vec<String>,
        /// All short names.
        known: Vec<String>,
    },
    /// The weights of this model were never published.
    #[error(
        "the weights of `{name}` were never published, so they cannot be fine-tuned here. \
         Open models of the same kind: {}",
        stand_ins.join(", ")
    )]
    NotPublic {
        /// The name as asked.
        name: String,
        /// Short names of open models of the same kind.
        stand_ins: Vec<String>,
    },
    /// A path, or a name that looks like one, that is no folder here.
    #[error("{} is not a folder on this machine{hint}", path.display())]
    NoSuchFolder {
        /// The path as asked.
        path: PathBuf,
        /// What to do, as the end of a sentence.
        hint: String,
    },
    /// The source answers, and does not have the file.
    #[error("{id} has no file {file}{}", listed(tried))]
    NotFound {
        /// Repository or folder.
        id: String,
        /// The missing file, or the alternatives joined by ` or `.
        file: String,
        /// What each source said.
        tried: Vec<String>,
    },
    /// The Hub answers, and refuses.
    #[error("the Hub refuses {id} (HTTP {status}). {hint}")]
    Forbidden {
        /// Repository.
        id: String,
        /// 401 or 403.
        status: u16,
        /// What to do.
        hint: String,
    },
    /// No source could be reached.
    #[error(
        "{name} cannot be reached{}{}\n  Connect to the network, or name a mirror folder \
         (--mirror or TEMPER_MIRROR), or give the path of a folder that has the files",
        listed(tried),
        folder_here(name)
    )]
    Unreachable {
        /// The name as asked.
        name: String,
        /// What each source said.
        tried: Vec<String>,
    },
    /// The content is not what was announced.
    #[error(
        "{file} has the wrong content: its hash should be {expected} and is {found}. The file \
         is not used; try again, and if it happens again, do not trust the source"
    )]
    WrongHash {
        /// Which file.
        file: String,
        /// The hash that the card or the Hub announced.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// A server's answer that cannot be used: nothing of it was written.
    #[error(
        "the answer about {file} of {id} is refused: {reason}. Nothing of it is used. Check \
         HF_ENDPOINT; if it names the right server, do not trust that server"
    )]
    BadAnswer {
        /// Repository.
        id: String,
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A branch, tag or commit that cannot be one.
    #[error("{revision:?} is not the name of a branch, tag or commit")]
    BadRevision {
        /// The revision as asked.
        revision: String,
    },
    /// The connection broke inside a file, more than once.
    #[error("the transfer of {file} of {id} was interrupted: {reason}. Try again")]
    BrokenTransfer {
        /// Repository.
        id: String,
        /// Which file.
        file: String,
        /// What the connection reported.
        reason: String,
    },
    /// An index names a weight file that the source does not have.
    #[error(
        "{id} lacks {shard}, which {index} names: the checkpoint is not complete. Fetch the \
         missing file or take another copy"
    )]
    MissingShard {
        /// Repository or folder.
        id: String,
        /// The index file.
        index: String,
        /// The shard that is not there.
        shard: String,
    },
    /// pip could not fetch the package.
    #[error(
        "`{command}` failed:\n{stderr}\n  It needs Python with pip and access to a package index \
         (TEMPER_PYTHON names another Python)"
    )]
    Package {
        /// The command as run.
        command: String,
        /// The end of what it wrote on stderr.
        stderr: String,
    },
    /// The package's archive does not hold what the card says.
    #[error("the archive {archive} has no member {member}: the card's `files` names a wrong path")]
    MissingMember {
        /// The archive's file name.
        archive: String,
        /// The member's path as in the card.
        member: String,
    },
    /// A file, card or archive that cannot be understood.
    #[error("{what} cannot be read: {reason}")]
    Format {
        /// Which file.
        what: String,
        /// Why.
        reason: String,
    },
    /// A card that cannot be used.
    #[error("the card of {name} cannot be used: {reason}")]
    Card {
        /// The card's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Another program holds a lock for too long.
    #[error("another program has locked {}: wait until its download is done", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}", describe_io(path, source))]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is taken, owned by another process or damaged.
    #[error(transparent)]
    File(FileError),
}

impl From<FileError> for HubError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, source } => Self::Io { path, source },
            other => Self::File(other),
        }
    }
}

impl HubError {
    /// True if sources could not be reached (exit code 4); false if they answered that they do not have it.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            HubError::Unreachable { .. } | HubError::Package { .. } | HubError::BrokenTransfer { .. }
        )
    }

    /// True if the name itself is wrong (exit code 2).
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            HubError::UnknownModel { .. }
                | HubError::NotPublic { .. }
                | HubError::NoSuchFolder { .. }
                | HubError::BadRevision { .. }
        )
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        HubError::Io { path: path.into(), source }
    }
}

/// The message of an error with those of its causes: a client's own message often says only that
/// a request failed, and its cause says why.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(" Did you mean {}?", near.join(" or "))
}

/// Where a folder has the name that was asked for: how to name the folder.
fn folder_here(name: &str) -> String {
    let is_folder = !name.contains('/') && std::path::Path::new(name).is_dir();
    if is_folder { format!("\n  {name} is also a folder here: ./{name} names it") } else { String::new() }
}

fn listed(tried: &[String]) -> String {
    tried.iter().map(|said| format!("\n  - {said}")).collect()
}

fn describe_io(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
            "the disk is full: {} cannot be written. Free some space, or move the caches with \
             TEMPER_CACHE and HF_HOME",
            path.display()
        ),
        _ => format!("{}: {source}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_one() {
        let error = HubError::io("some/file", io::Error::from(io::ErrorKind::StorageFull));
        assert!(error.to_string().starts_with("the disk is full: some/file"));
    }

    #[test]
    fn what_each_source_said_is_listed() {
        let error = HubError::Unreachable {
            name: "bert".into(),
            tried: vec!["mirror: no".into(), "Hub: no connection".into()],
        };
        let text = error.to_string();
        assert!(text.contains("\n  - mirror: no\n  - Hub: no connection"));
        assert!(error.is_unreachable() && !error.is_usage());
    }
}
