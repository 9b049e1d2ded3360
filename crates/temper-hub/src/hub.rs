//! From a name to files: which sources are asked, in which order, and what their answers mean.

use std::path::Path;
use std::sync::OnceLock;

use crate::catalogue::{CatalogueEntry, catalogue};
use crate::error::HubError;
use crate::location::{Folder, collect};
use crate::names::near_names;
use crate::online::Connection;
use crate::package::{PackageCopy, title};
use crate::resolved::{Origin, Replaced, Resolved, ResolvedFile, is_gguf};
use crate::rules::{is_hub_id, is_inner_path};
use crate::settings::HubSettings;
use crate::source::{PackageSource, RepoKind, Source, WantedFile};

/// Turns names into verified local files.
pub struct Hub {
    settings: HubSettings,
    connection: OnceLock<Result<Connection, String>>,
}

/// The name that a package's model has among its files where it is one file of llama.cpp's format.
pub const GGUF: &str = "model.gguf";

/// What a model's repository should give.
fn model_files() -> Vec<WantedFile> {
    let weights = [
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ];
    // SentencePiece's files are read where there is no tokenizer.json.
    let tokenizer =
        ["tokenizer.json", "spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];
    let optional = [
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "chat_template.jinja",
        "generation_config.json",
        // What decides how a text becomes a vector: of a run, and of sentence-transformers.
        "temper.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ];
    let mut wanted = vec![
        WantedFile::Required("config.json".into()),
        WantedFile::FirstOf(weights.map(String::from).to_vec()),
        WantedFile::AnyOf(tokenizer.map(String::from).to_vec()),
    ];
    wanted.extend(optional.map(|name| WantedFile::Optional(name.into())));
    wanted
}

impl Hub {
    /// A client; it does not connect yet.
    pub fn new(settings: HubSettings) -> Self {
        Self { settings, connection: OnceLock::new() }
    }

    /// A model's files: configuration, weights (with all shards), tokenizer as far as it is there.
    ///
    /// `name` is a short name of the catalogue, a Hub name `org/name`, or a folder. A short name
    /// comes before a folder of the same name: write `./bert` for the folder.
    ///
    /// # Errors
    /// Wrong names ([`HubError::is_usage`]), sources out of reach ([`HubError::is_unreachable`]),
    /// or what a source answered.
    pub fn model(&self, name: &str) -> Result<Resolved, HubError> {
        self.model_with(name, &model_files())
    }

    /// As [`Hub::model`], but only the files that say how its texts become tensors.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn model_settings(&self, name: &str) -> Result<Resolved, HubError> {
        let optional = ["tokenizer_config.json", "tokenizer.json", "temper.json"];
        let mut wanted = vec![WantedFile::Required("config.json".into())];
        wanted.extend(optional.map(|name| WantedFile::Optional(name.into())));
        self.model_with(name, &wanted)
    }

    fn model_with(&self, name: &str, wanted: &[WantedFile]) -> Result<Resolved, HubError> {
        if let Some(entry) = catalogue().find(name).filter(|_| !is_folder_with_slash(name)) {
            return self.catalogued(name, entry, wanted);
        }
        let path = Path::new(name);
        if looks_like_a_path(name) || is_in_folder(name) || path.is_dir() || (is_gguf(path) && path.is_file())
        {
            return from_folder(name, wanted);
        }
        if catalogue().is_not_public(name) {
            return Err(HubError::NotPublic {
                name: name.to_string(),
                stand_ins: catalogue().not_public.stand_ins.clone(),
            });
        }
        if !is_hub_id(name) {
            return Err(HubError::UnknownModel {
                name: name.to_string(),
                near: near_names(name, catalogue().names()),
                known: catalogue().names().map(String::from).collect(),
            });
        }
        let source = Source { hub: Some(name.to_string()), package: None };
        self.fetch(RepoKind::Model, name, &source, wanted)
    }

    /// A repository's files through mirror, Hub and package, in this order. Each shard of an index
    /// among them is wanted, too.
    ///
    /// # Errors
    /// [`HubError::Unreachable`] lists what each source said. A source that answers with a
    /// refusal, or a Hub without the file, ends the search.
    pub fn fetch(
        &self,
        kind: RepoKind,
        name: &str,
        source: &Source,
        wanted: &[WantedFile],
    ) -> Result<Resolved, HubError> {
        let mut search = Search { hub: self, kind, name, wanted, said: Vec::new() };
        search.run(source)
    }

    /// As [`Hub::fetch`]; when the sources cannot be reached and stand-ins are allowed, the
    /// stand-in (its name, sources and files) is taken and marked as such.
    ///
    /// # Errors
    /// As [`Hub::fetch`]; what the stand-in's sources said is added to the list.
    pub fn fetch_or_stand_in(
        &self,
        kind: RepoKind,
        name: &str,
        source: &Source,
        wanted: &[WantedFile],
        stand_in: Option<(&str, &Source, &[WantedFile])>,
    ) -> Result<Resolved, HubError> {
        let result = self.fetch(kind, name, source, wanted);
        let (mut tried, (other, other_source, other_wanted)) = match (result, stand_in) {
            (Err(HubError::Unreachable { tried, .. }), Some(stand_in)) => (tried, stand_in),
            (result, _) => return result,
        };
        if !self.settings.stand_ins {
            tried.push(format!("stand-in {other}: not allowed (--no-stand-in)"));
        } else {
            match self.fetch(kind, other, other_source, other_wanted) {
                Ok(found) => {
                    return Ok(Resolved {
                        name: name.to_string(),
                        stand_in_for: Some(source.hub.clone().unwrap_or_else(|| name.to_string())),
                        ..found
                    });
                }
                Err(HubError::Unreachable { tried: further, .. }) => {
                    tried.extend(further.into_iter().map(|said| format!("stand-in {other}: {said}")))
                }
                Err(error @ HubError::Package { .. }) => {
                    tried.push(format!("stand-in {other}: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Err(HubError::Unreachable { name: name.to_string(), tried })
    }

    fn catalogued(
        &self,
        name: &str,
        entry: &CatalogueEntry,
        wanted: &[WantedFile],
    ) -> Result<Resolved, HubError> {
        let stand_in = entry
            .stand_in
            .as_deref()
            .and_then(|name| catalogue().find(name))
            .map(|entry| (entry.name.as_str(), entry.source()));
        self.fetch_or_stand_in(
            RepoKind::Model,
            name,
            &entry.source(),
            wanted,
            stand_in.as_ref().map(|(name, source)| (*name, source, wanted)),
        )
    }

    fn connection(&self) -> &Result<Connection, String> {
        self.connection.get_or_init(|| Connection::open(&self.settings))
    }
}

/// One search through the sources, and what those that had nothing said.
struct Search<'a> {
    hub: &'a Hub,
    kind: RepoKind,
    name: &'a str,
    wanted: &'a [WantedFile],
    said: Vec<String>,
}

impl Search<'_> {
    fn run(&mut self, source: &Source) -> Result<Resolved, HubError> {
        source.check().map_err(|reason| HubError::Card { name: self.name.to_string(), reason })?;
        if let Some(found) = self.in_mirror(source)? {
            return Ok(found);
        }
        if let Some(id) = &source.hub
            && let Some(found) = self.on_hub(id)?
        {
            return Ok(found);
        }
        if let Some(package) = &source.package
            && let Some(found) = self.in_package(source, package)?
        {
            return Ok(found);
        }
        Err(HubError::Unreachable { name: self.name.to_string(), tried: std::mem::take(&mut self.said) })
    }

    /// A mirror that lacks a file has no say: the next source is asked.
    fn in_mirror(&mut self, source: &Source) -> Result<Option<Resolved>, HubError> {
        let Some(mirror) = &self.hub.settings.mirror else {
            return Ok(None);
        };
        if !mirror.is_dir() {
            return Err(HubError::NoSuchFolder {
                path: mirror.clone(),
                hint: "; it was given as the mirror (--mirror or TEMPER_MIRROR)".into(),
            });
        }
        let id = source.hub.as_deref().unwrap_or(self.name);
        if !is_inner_path(id) {
            return Ok(None);
        }
        let path = mirror.join(self.kind.plural()).join(id);
        match collect(&Folder { path: &path, mirror: Some(mirror) }, self.wanted) {
            Ok(files) => Ok(Some(self.found(Origin::Mirror, id, files))),
            Err(error @ (HubError::NotFound { .. } | HubError::MissingShard { .. })) => {
                self.said.push(format!("mirror: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn on_hub(&mut self, id: &str) -> Result<Option<Resolved>, HubError> {
        let connection = match self.hub.connection() {
            Ok(connection) => connection,
            Err(reason) => {
                self.said.push(format!("Hub: {reason}"));
                return Ok(None);
            }
        };
        let repository = connection.repository(self.kind, id, &self.hub.settings)?;
        match (collect(&repository, self.wanted), repository.barrier()) {
            (Ok(files), _) => {
                let mut found = self.found(Origin::Hub, id, files);
                found.revision = repository.commit();
                Ok(Some(found))
            }
            // Only the cache could be asked: that it lacks a file says nothing about the Hub.
            (Err(HubError::NotFound { .. } | HubError::MissingShard { .. }), Some(barrier)) => {
                self.said.push(barrier);
                Ok(None)
            }
            (Err(HubError::Unreachable { tried, .. }), _) => {
                self.said.extend(tried);
                Ok(None)
            }
            (Err(HubError::NotFound { id, file, .. }), None) => {
                self.said.push(format!("Hub: {id} has no such file, or is not a repository"));
                let tried = std::mem::take(&mut self.said);
                Err(HubError::NotFound { id, file, tried })
            }
            (Err(error), _) => Err(error),
        }
    }

    fn in_package(&mut self, source: &Source, package: &PackageSource) -> Result<Option<Resolved>, HubError> {
        match PackageCopy::open(package, &self.hub.settings) {
            Ok(copy) => {
                // A package may have the whole model in one file of llama.cpp's format.
                let whole = [WantedFile::Required(GGUF.into())];
                let wanted = if package.files.contains_key(GGUF) { &whole } else { self.wanted };
                let files = collect(&copy, wanted)?;
                let id = source.hub.as_deref().unwrap_or(self.name);
                let mut found = self.found(Origin::Package, id, files);
                found.package = Some(title(package));
                Ok(Some(found))
            }
            Err(HubError::Unreachable { tried, .. }) => {
                self.said.extend(tried);
                Ok(None)
            }
            // Alone, pip's failure is the answer; after others it is one of the things said.
            Err(error @ HubError::Package { .. }) if !self.said.is_empty() => {
                self.said.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn found(&self, origin: Origin, id: &str, files: Vec<ResolvedFile>) -> Resolved {
        Resolved {
            name: self.name.to_string(),
            id: id.to_string(),
            kind: self.kind,
            origin,
            revision: None,
            package: None,
            stand_in_for: None,
            replaced: None,
            unpacked_from: None,
            files,
        }
    }
}

/// A model's files in a folder that the user names.
fn from_folder(name: &str, wanted: &[WantedFile]) -> Result<Resolved, HubError> {
    let path = Path::new(name);
    let whole = [WantedFile::Required(file_name(path))];
    let (path, wanted) = match path.parent() {
        // A model that is one file: its folder, of which only the file is used.
        Some(folder) if is_gguf(path) && path.is_file() => (folder_of(folder), &whole[..]),
        _ => (path, wanted),
    };
    if !path.is_dir() {
        return Err(HubError::NoSuchFolder {
            path: path.to_path_buf(),
            hint: "; a model's folder holds config.json and weights".into(),
        });
    }
    Ok(Resolved {
        name: name.to_string(),
        id: name.to_string(),
        kind: RepoKind::Model,
        origin: Origin::Path,
        revision: None,
        package: None,
        stand_in_for: None,
        replaced: replaced_by(path, name),
        unpacked_from: None,
        files: collect(&Folder { path, mirror: None }, wanted)?,
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folder of a relative path may be empty.
fn folder_of(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// A folder under the name of a model of the catalogue, as in transformers the first choice.
fn replaced_by(path: &Path, name: &str) -> Option<Replaced> {
    let entry = catalogue().find(name)?;
    Some(Replaced { built_in: entry.name.clone(), by: path.to_path_buf() })
}

/// True if a name can only be a path.
fn looks_like_a_path(name: &str) -> bool {
    let path = Path::new(name);
    path.is_absolute()
        || name.starts_with(['.', '~'])
        || name.contains('\\')
        || name.ends_with('/')
        || name.matches('/').count() > 1
}

/// True if a name of two parts begins with a local folder: the Hub is not asked for `runs/bert-imdb`.
fn is_in_folder(name: &str) -> bool {
    name.split_once('/').is_some_and(|(folder, _)| Path::new(folder).is_dir())
}

/// A local folder comes before a repository of the same `org/name`, as in transformers.
fn is_folder_with_slash(name: &str) -> bool {
    name.contains('/') && Path::new(name).is_dir()
}
