//! The Hub's cache on this machine, in the layout of its Python client, with which it is shared:
//! `blobs/<hash>`, `snapshots/<commit>/<file>` as links to them, `refs/<revision>`.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::announced::Announced;
use crate::error::HubError;
use crate::rules::is_commit;
use crate::verify::ContentHash;

/// How often another program's lock is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// One repository's folder in the cache. All names in it were checked before.
pub(crate) struct RepositoryCache {
    folder: PathBuf,
    locks: PathBuf,
}

/// A file of the cache.
pub(crate) struct CachedFile {
    pub(crate) path: PathBuf,
    pub(crate) commit: String,
    /// `None` for a copy that is no link: where there are no links, nothing is known of the hash.
    pub(crate) tag: Option<CachedName>,
}

/// What the name of a cached content says of it.
pub(crate) enum CachedName {
    Hash(ContentHash),
    /// No hash: a server announced something else, and another program believed it.
    Other(String),
}

impl CachedFile {
    /// True if it has the announced hash.
    pub(crate) fn is(&self, announced: &Announced) -> bool {
        self.commit == announced.commit
            && matches!(&self.tag, Some(CachedName::Hash(hash)) if *hash == announced.hash)
    }
}

impl RepositoryCache {
    /// `name` is the folder's: `models--org--name`.
    pub(crate) fn new(cache: &Path, name: &str) -> Self {
        Self { folder: cache.join(name), locks: cache.join(".locks").join(name) }
    }

    /// The file as some earlier download left it.
    pub(crate) fn find(&self, revision: &str, file: &str) -> Option<CachedFile> {
        let commit = if is_commit(revision) { revision.to_string() } else { self.commit_of(revision)? };
        let path = self.snapshot(&commit, file);
        if !path.is_file() {
            return None;
        }
        let target = fs::read_link(&path).ok();
        let name = target.map(|target| target.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let tag =
            name.map(|name| ContentHash::parse(&name).map_or(CachedName::Other(name), CachedName::Hash));
        Some(CachedFile { path, commit, tag })
    }

    /// The commit that a branch had when it was last asked for; nothing else is believed.
    fn commit_of(&self, revision: &str) -> Option<String> {
        let mut text = String::new();
        // A commit has 40 digits.
        File::open(self.folder.join("refs").join(revision)).ok()?.take(64).read_to_string(&mut text).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_string())
    }

    fn snapshot(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    /// Where a content is.
    pub(crate) fn blob(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join("blobs").join(hash.as_str())
    }

    /// Waits for other programs that download the same content, at most as long as `limit`.
    pub(crate) fn lock(&self, hash: &ContentHash, limit: Duration) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", hash.as_str()));
        fs::create_dir_all(&self.locks).map_err(|error| HubError::io(&self.locks, error))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| HubError::io(&path, error))?;
        let end = Instant::now() + limit;
        while file.try_lock().is_err() {
            if Instant::now() >= end {
                return Err(HubError::Locked { path });
            }
            thread::sleep(LOOK);
        }
        Ok(file)
    }

    /// Makes the content that is there the file of its commit, and the commit that of `revision`.
    pub(crate) fn link(
        &self,
        revision: &str,
        announced: &Announced,
        file: &str,
    ) -> Result<PathBuf, HubError> {
        let path = self.snapshot(&announced.commit, file);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(|error| HubError::io(folder, error))?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(HubError::io(&path, error));
            }
            _ => {}
        }
        self.point(&announced.hash, file, &path).map_err(|error| HubError::io(&path, error))?;
        if !is_commit(revision) {
            temper_files::write(&self.folder.join("refs").join(revision), announced.commit.as_bytes())?;
        }
        Ok(path)
    }

    #[cfg(unix)]
    fn point(&self, hash: &ContentHash, file: &str, path: &Path) -> std::io::Result<()> {
        // From snapshots/<commit>/<file> up to the repository's folder.
        let up = "../".repeat(2 + file.matches('/').count());
        std::os::unix::fs::symlink(format!("{up}blobs/{}", hash.as_str()), path)
    }

    /// Links need rights there, so the Python client copies, too.
    #[cfg(not(unix))]
    fn point(&self, hash: &ContentHash, _file: &str, path: &Path) -> std::io::Result<()> {
        fs::copy(self.blob(hash), path).map(drop)
    }

    /// Takes a wrong content out of the cache, so that the next attempt downloads it again.
    pub(crate) fn discard(&self, hash: &ContentHash, path: &Path) {
        for wrong in [&self.blob(hash), path] {
            if let Err(error) = fs::remove_file(wrong) {
                tracing::debug!(path = %wrong.display(), %error, "not removed");
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_linked_file_is_found_by_branch_and_by_commit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepositoryCache::new(folder.path(), "models--a--b");
        let hash = ContentHash::parse(&"0a".repeat(32)).unwrap();
        temper_files::write(&cache.blob(&hash), b"content").unwrap();
        let announced = Announced { hash: hash.clone(), commit: COMMIT.into(), size: 7 };
        let path = cache.link("refs/pr/1", &announced, "sub/file").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        for revision in ["refs/pr/1", COMMIT] {
            let found = cache.find(revision, "sub/file").unwrap();
            assert_eq!((found.path, found.commit.as_str()), (path.clone(), COMMIT));
            assert!(matches!(found.tag, Some(CachedName::Hash(known)) if known == hash));
        }
        assert!(cache.find("main", "sub/file").is_none());
        cache.discard(&hash, &path);
        assert!(cache.find(COMMIT, "sub/file").is_none() && !cache.blob(&hash).exists());
    }

    #[test]
    fn a_reference_that_is_no_commit_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepositoryCache::new(&folder.path().join("hub"), "models--a--b");
        fs::write(folder.path().join("file"), "secret").unwrap();
        fs::create_dir_all(folder.path().join("hub/models--a--b/snapshots")).unwrap();
        for text in ["../../../", folder.path().to_str().unwrap(), "", &COMMIT[1..], &COMMIT.repeat(2)] {
            temper_files::write(&folder.path().join("hub/models--a--b/refs/main"), text.as_bytes()).unwrap();
            assert!(cache.find("main", "file").is_none(), "{text}");
        }
    }
}
