//! What Temper's cache and the Hub's hold on this machine: sizes, last use, removal.
//!
//! A process that uses an entry holds a shared lock on a file for that entry (`temper_files::use_until_exit`). The
//! entries of the Hub's cache have theirs below `.locks`, where its Python client keeps its own, too. Links are neither
//! followed nor removed by themselves.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use crate::error::HubError;
use crate::settings::HubSettings;

/// The lock of Temper's processes on a repository of the Hub's cache.
const HUB_LOCK: &str = "temper-in-use.lock";

/// What an entry of a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheKind {
    /// A model of the Hub.
    Model,
    /// A dataset of the Hub.
    Dataset,
    /// Files out of a Python package.
    Package,
    /// A folder made of a file of llama.cpp.
    Unpacked,
    /// The token ids of a dataset's texts.
    Encoded,
}

impl CacheKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Model, Self::Dataset, Self::Package, Self::Unpacked, Self::Encoded];

    /// The folder of Temper's cache that has these entries; for those of the Hub, the beginning of their names in its
    /// cache.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
            Self::Package => "packages",
            Self::Unpacked => "unpacked",
            Self::Encoded => "encoded",
        }
    }

    /// Whether its entries are in the Hub's cache, which other programs share.
    pub fn is_of_hub(self) -> bool {
        matches!(self, Self::Model | Self::Dataset)
    }
}

/// One thing that can be removed without the rest.
#[derive(Debug, Clone, Serialize)]
pub struct CacheEntry {
    /// What it is.
    pub kind: CacheKind,
    /// What it is called: `org/name` of the Hub, else the name of its file or folder.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The sum of its files.
    pub bytes: u64,
    /// How many files it has.
    pub files: u64,
    /// When it was last used, as far as the times of its files and of its lock say.
    #[serde(skip)]
    pub last_used: SystemTime,
    /// True if a process uses it, or if that cannot be found out.
    pub in_use: bool,
    /// Locks that have to be free; the first is Temper's.
    #[serde(skip)]
    locks: Vec<PathBuf>,
}

impl CacheEntry {
    /// Removes the entry, unless a process uses it; says whether it is gone.
    ///
    /// # Errors
    /// [`HubError::File`].
    pub fn remove(&self) -> Result<bool, HubError> {
        let mut held = Vec::new();
        for lock in &self.locks {
            match temper_files::lock_unused(lock)? {
                Some(lock) => held.push(lock),
                None => return Ok(false),
            }
        }
        temper_files::discard(&self.path)?;
        Ok(true)
    }
}

impl HubSettings {
    /// Keeps an entry of Temper's cache until this process ends.
    pub fn use_cached(&self, kind: CacheKind, name: &str) {
        temper_files::use_until_exit(&self.lock(kind, name));
    }

    fn lock(&self, kind: CacheKind, name: &str) -> PathBuf {
        self.cache.join("locks").join(format!("in-use-{}-{name}.lock", kind.folder()))
    }

    /// The folder that has the entries of a kind.
    fn cache_of(&self, kind: CacheKind) -> PathBuf {
        if kind.is_of_hub() { self.hub_cache_folder() } else { self.cache.join(kind.folder()) }
    }

    /// The entries of a kind, by name; none where there is no such cache.
    ///
    /// # Errors
    /// [`HubError::Io`] for a folder that cannot be read.
    pub fn cached(&self, kind: CacheKind) -> Result<Vec<CacheEntry>, HubError> {
        let root = self.cache_of(kind);
        // A link in the place of a part of the cache leads to what is none.
        if !kind.is_of_hub() && fs::symlink_metadata(&root).is_ok_and(|found| found.is_symlink()) {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for (name, path, found) in inside(&root)? {
            entries.extend(self.entry(kind, name, path, &found)?);
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// An entry; none where a name or what has it is no entry of this kind.
    fn entry(
        &self,
        kind: CacheKind,
        file_name: String,
        path: PathBuf,
        found: &Metadata,
    ) -> Result<Option<CacheEntry>, HubError> {
        let is_expected = if kind == CacheKind::Encoded { found.is_file() } else { found.is_dir() };
        if !is_expected || file_name.starts_with('.') || file_name.ends_with(".partial") {
            return Ok(None);
        }
        let (name, locks) = match kind {
            CacheKind::Model | CacheKind::Dataset => {
                let Some(id) = file_name.strip_prefix(&format!("{}--", kind.folder())) else {
                    return Ok(None);
                };
                (id.replace("--", "/"), hub_locks(&self.hub_cache_folder(), &file_name)?)
            }
            // It is read at once and whole.
            CacheKind::Encoded => (file_name, Vec::new()),
            CacheKind::Package | CacheKind::Unpacked => {
                let lock = self.lock(kind, &file_name);
                (file_name, vec![lock])
            }
        };
        let mut size = Size::default();
        size.add(&path, found)?;
        let touched = locks.iter().filter_map(|lock| fs::metadata(lock).ok()?.modified().ok()).max();
        Ok(Some(CacheEntry {
            kind,
            name,
            bytes: size.bytes,
            files: size.files,
            last_used: size.last_used.into_iter().chain(touched).max().unwrap_or(SystemTime::UNIX_EPOCH),
            in_use: locks.iter().any(|lock| temper_files::is_in_use(lock)),
            path,
            locks,
        }))
    }
}

/// The lock of Temper's processes on a repository of the Hub's cache, by the name of its folder.
pub(crate) fn hub_lock(cache: &Path, folder: &str) -> PathBuf {
    cache.join(".locks").join(folder).join(HUB_LOCK)
}

/// Temper's lock on a repository, and those of programs that download it.
fn hub_locks(cache: &Path, folder: &str) -> Result<Vec<PathBuf>, HubError> {
    let ours = hub_lock(cache, folder);
    let others = inside(&cache.join(".locks").join(folder))?.into_iter();
    let others = others.filter(|(_, path, found)| found.is_file() && *path != ours).map(|(_, path, _)| path);
    Ok([ours.clone()].into_iter().chain(others).collect())
}

/// What is in a folder, with names and kinds, links as links; nothing where there is no folder.
fn inside(folder: &Path) -> Result<Vec<(String, PathBuf, Metadata)>, HubError> {
    let failed = |error| HubError::io(folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Of a link it says what the link is. What another process has removed meanwhile is not there.
        if let Ok(kind) = entry.metadata() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), kind));
        }
    }
    Ok(found)
}

/// The files of an entry, counted.
#[derive(Default)]
struct Size {
    bytes: u64,
    files: u64,
    last_used: Option<SystemTime>,
}

impl Size {
    fn add(&mut self, path: &Path, found: &Metadata) -> Result<(), HubError> {
        if found.is_dir() {
            for (_, path, found) in inside(path)? {
                self.add(&path, &found)?;
            }
        } else if found.is_file() {
            self.bytes += found.len();
            self.files += 1;
            let times = [found.accessed(), found.modified()].into_iter().flatten();
            self.last_used = self.last_used.into_iter().chain(times).max();
        }
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn settings(root: &Path) -> HubSettings {
        let (cache, hub) = (root.join("temper"), root.join("hub"));
        HubSettings { cache, hub_cache: Some(hub), ..HubSettings::from_environment() }
    }

    fn with_file(root: &Path, name: &str) {
        temper_files::write(&root.join(name), b"content").unwrap();
    }

    #[test]
    fn entries_have_names_sizes_and_no_links() {
        let root = tempfile::tempdir().unwrap();
        with_file(root.path(), "hub/models--org--name/blobs/hash");
        with_file(root.path(), "hub/datasets--data/blobs/hash");
        with_file(root.path(), "hub/version.txt");
        with_file(root.path(), "temper/packages/one-1.0/a/file");
        with_file(root.path(), "temper/packages/one-1.0.lock");
        with_file(root.path(), "temper/packages/two-1.0.partial/file");
        with_file(root.path(), "temper/encoded/a.tokens");
        with_file(root.path(), "elsewhere/precious");
        let link = |at: &str| {
            std::os::unix::fs::symlink(root.path().join("elsewhere"), root.path().join(at)).unwrap();
        };
        link("temper/packages/link-1.0");
        link("temper/packages/one-1.0/link");
        link("temper/unpacked");
        let settings = settings(root.path());
        let names = |kind| {
            let entries = settings.cached(kind).unwrap();
            entries.into_iter().map(|entry| (entry.name, entry.bytes, entry.files)).collect::<Vec<_>>()
        };
        assert_eq!(names(CacheKind::Model), [("org/name".to_owned(), 7, 1)]);
        assert_eq!(names(CacheKind::Dataset), [("data".to_owned(), 7, 1)]);
        assert_eq!(names(CacheKind::Package), [("one-1.0".to_owned(), 7, 1)]);
        assert_eq!(names(CacheKind::Encoded), [("a.tokens".to_owned(), 7, 1)]);
        assert_eq!(names(CacheKind::Unpacked), []);
        for entry in CacheKind::ALL.into_iter().flat_map(|kind| settings.cached(kind).unwrap()) {
            assert!(entry.remove().unwrap() && !entry.path.exists());
        }
        assert!(root.path().join("elsewhere/precious").exists());
        assert!(root.path().join("temper/packages/link-1.0").is_symlink());
    }

    #[test]
    fn what_is_used_or_downloaded_stays() {
        let root = tempfile::tempdir().unwrap();
        with_file(root.path(), "hub/models--org--name/blobs/hash");
        with_file(root.path(), "hub/.locks/models--org--name/hash.lock");
        with_file(root.path(), "temper/packages/one-1.0/file");
        let settings = settings(root.path());
        let one = |kind| settings.cached(kind).unwrap().remove(0);
        let downloading =
            temper_files::wait_for(root.path().join("hub/.locks/models--org--name/hash.lock"), || {})
                .unwrap();
        settings.use_cached(CacheKind::Package, "one-1.0");
        for kind in [CacheKind::Model, CacheKind::Package] {
            let entry = one(kind);
            assert!(entry.in_use && !entry.remove().unwrap() && entry.path.is_dir(), "{kind:?}");
        }
        drop(downloading);
        assert!(!one(CacheKind::Model).in_use && one(CacheKind::Model).remove().unwrap());
    }
}
