//! The result of resolving a name: files, their hashes and their origin.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::rules::is_hub_id;
use crate::source::RepoKind;

/// A file on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolvedFile {
    /// Its path in the repository.
    pub name: String,
    /// Where it is here.
    pub path: PathBuf,
    /// Its sha256, 64 hexadecimal digits in lower case.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Which source answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A folder that the user named.
    Path,
    /// The mirror folder.
    Mirror,
    /// The Hub, or its cache on this machine.
    Hub,
    /// A Python package.
    Package,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Path => "a folder",
            Self::Mirror => "the mirror",
            Self::Hub => "the Hub",
            Self::Package => "a package",
        })
    }
}

/// A built-in name of a model or dataset, and what takes its place on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The built-in name.
    pub built_in: String,
    /// The user's card or folder.
    pub by: PathBuf,
}

/// A repository's files, resolved; goes into a run's records as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The name as asked.
    pub name: String,
    /// What was found: the Hub's `org/name`, a folder, or a source's own name.
    pub id: String,
    /// Model or dataset.
    pub kind: RepoKind,
    /// Which source answered.
    pub origin: Origin,
    /// The commit, when the files are the Hub's.
    pub revision: Option<String>,
    /// `name version` of the package, when the files are a package's.
    pub package: Option<String>,
    /// The id of what was asked for, when these files are only its stand-in.
    pub stand_in_for: Option<String>,
    /// The built-in name whose place something of the user's takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Replaced>,
    /// How the numbers of the weights were packed, where they were unpacked on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_from: Option<String>,
    /// The files, in the order in which they were wanted.
    pub files: Vec<ResolvedFile>,
}

/// Whether a file's name is that of a model in the format of llama.cpp.
pub(crate) fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"))
}

impl Resolved {
    /// The name on the Hub, where it has one: not a folder of the user's.
    pub fn hub_id(&self) -> Option<&str> {
        (self.origin != Origin::Path && is_hub_id(&self.id)).then_some(self.id.as_str())
    }

    /// The name on the Hub, else that of the folder, without what is around it on this machine.
    pub fn short_name(&self) -> &str {
        let name = || Path::new(&self.id).file_name().and_then(|name| name.to_str());
        self.hub_id().or_else(name).unwrap_or(&self.id)
    }

    /// The file of this name, where it was found.
    pub fn file(&self, name: &str) -> Option<&ResolvedFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// What to say on stderr when this is a stand-in, or when something of the user's takes the
    /// place of what is built in; `None` when it is the thing itself.
    pub fn notice(&self) -> Option<String> {
        let notices =
            [self.replacement_notice(), self.folder_notice(), self.stand_in_notice(), self.packing_notice()];
        let notices: Vec<String> = notices.into_iter().flatten().collect();
        (!notices.is_empty()).then(|| notices.join("\n"))
    }

    /// The file in the format of llama.cpp that is the whole model, where it is one.
    pub fn gguf(&self) -> Option<&ResolvedFile> {
        self.files.iter().find(|file| is_gguf(&file.path))
    }

    fn packing_notice(&self) -> Option<String> {
        let packed = self.unpacked_from.as_ref()?;
        Some(format!(
            "note: the weights of {} come packed ({packed}) and are unpacked to f32; what packing lost stays lost.",
            self.id
        ))
    }

    fn replacement_notice(&self) -> Option<String> {
        let replaced = self.replaced.as_ref()?;
        let own = match self.kind {
            RepoKind::Model => "folder",
            RepoKind::Dataset => "card",
        };
        Some(format!(
            "note: {} is a built-in name; the {own} {:?} is used instead.",
            replaced.built_in, replaced.by
        ))
    }

    /// A known name means the model or dataset of that name, even if a local folder has the same name.
    fn folder_notice(&self) -> Option<String> {
        let name = &self.name;
        let is_name = self.kind == RepoKind::Model && self.origin != Origin::Path && !name.contains('/');
        let model = self.stand_in_for.as_ref().unwrap_or(&self.id);
        (is_name && Path::new(name).is_dir()).then(|| {
            format!("note: {name} is the model {model}, not the folder {name} that is here; ./{name} names the folder.")
        })
    }

    fn stand_in_notice(&self) -> Option<String> {
        let original = self.stand_in_for.as_ref()?;
        let from = match &self.package {
            Some(package) => format!(" from the package {package}"),
            None => String::new(),
        };
        Some(format!(
            "note: {original} cannot be reached. Its stand-in {}{from} is used instead: results \
             are not those of {original}. --no-stand-in forbids this.",
            self.id
        ))
    }
}
