//! A repository of the Hugging Face Hub, and of the Hub's cache on this machine.

use std::cell::RefCell;
use std::fs::File;
use std::path::PathBuf;

use crate::cached;
use crate::client::HubClient;
use crate::error::HubError;
use crate::failure::RequestFailure;
use crate::files::wait_for;
use crate::hub_cache::{CachedFile, CachedName, RepositoryCache};
use crate::location::{Location, measured};
use crate::progress::DownloadBar;
use crate::resolved::ResolvedFile;
use crate::rules::{is_commit, is_revision};
use crate::settings::HubSettings;
use crate::source::{HubFile, RepoKind};
use crate::transfer::{Broken, Transfer};
use crate::verify::{ContentHash, Mismatch};

/// How often a file is requested before its transfer counts as failed.
const ATTEMPTS: usize = 3;

/// The client, and what keeps it from the network.
pub(crate) struct Connection {
    client: HubClient,
    cache: PathBuf,
    /// Why only the cache may be read; `None` when the Hub can be asked.
    barrier: Option<String>,
    progress: bool,
}

impl Connection {
    /// Makes the client and looks whether there is a way to the Hub.
    ///
    /// # Errors
    /// Says why there can be no client: a malformed address, no certificates.
    pub(crate) fn open(settings: &HubSettings) -> Result<Self, String> {
        let client = HubClient::new(settings)?;
        let barrier = if settings.offline {
            Some("offline mode is on, and it is not in the cache".to_string())
        } else {
            client.barrier()
        };
        Ok(Self { client, cache: settings.hub_cache_folder(), barrier, progress: settings.progress })
    }

    /// A repository on the Hub. Its lock is held as long as it lives, so that a second process
    /// waits and then finds the files in the cache.
    pub(crate) fn repository(
        &self,
        kind: RepoKind,
        id: &str,
        settings: &HubSettings,
    ) -> Result<Repository<'_>, HubError> {
        let revision = settings.revision.clone().unwrap_or_else(|| "main".into());
        if !is_revision(&revision) {
            return Err(HubError::BadRevision { revision });
        }
        let folder = format!("{}--{}", kind.plural(), id.replace('/', "--"));
        if self.cache.join(&folder).is_dir() || self.barrier.is_none() {
            temper_files::use_until_exit(&cached::hub_lock(&self.cache, &folder));
        }
        let lock = match self.barrier {
            Some(_) => None,
            None => {
                let locks = settings.cache.join("locks");
                Some(wait_for(locks.join(format!("{folder}.lock")))?)
            }
        };
        Ok(Repository {
            connection: self,
            cache: RepositoryCache::new(&self.cache, &folder),
            kind,
            id: id.to_string(),
            asked: revision.clone(),
            revision: RefCell::new(revision),
            _lock: lock,
        })
    }
}

/// One repository of the Hub.
pub(crate) struct Repository<'a> {
    connection: &'a Connection,
    cache: RepositoryCache,
    kind: RepoKind,
    id: String,
    /// The revision as asked, for messages.
    asked: String,
    /// The revision as asked until the first file is there, then its commit: all files are of one
    /// commit, even if the branch moves meanwhile.
    revision: RefCell<String>,
    _lock: Option<File>,
}

/// A file in the cache, and what its content has to be.
struct Located {
    path: PathBuf,
    hash: Option<ContentHash>,
}

impl Repository<'_> {
    /// The commit of the files taken so far, as far as it is known.
    pub(crate) fn commit(&self) -> Option<String> {
        let revision = self.revision.borrow();
        is_commit(&revision).then(|| revision.clone())
    }

    /// What to say when the Hub could not be asked and the cache was not enough.
    pub(crate) fn barrier(&self) -> Option<String> {
        let reason = self.connection.barrier.as_ref()?;
        Some(self.said(reason))
    }

    fn said(&self, what: &str) -> String {
        format!("Hub {}: {}: {what}", self.connection.client.endpoint(), self.id)
    }

    /// One attempt at one file; `None` when there is no such file.
    fn locate(&self, file: &str) -> Result<Option<Located>, HubError> {
        let revision = self.revision.borrow().clone();
        let cached = self.cache.find(&revision, file);
        if self.connection.barrier.is_some() {
            return cached.map(|cached| self.take_unasked(cached)).transpose();
        }
        match cached {
            // What a commit holds never changes.
            Some(CachedFile { path, tag: Some(CachedName::Hash(hash)), .. }) if is_commit(&revision) => {
                Ok(Some(Located { path, hash: Some(hash) }))
            }
            cached => self.download(file, &revision, cached),
        }
    }

    /// Takes a file of the cache when the Hub cannot be asked. A copy without a name of its own
    /// has no hash; one under a name that is none has it from a server that sent nonsense.
    fn take_unasked(&self, cached: CachedFile) -> Result<Located, HubError> {
        let hash = match cached.tag {
            Some(CachedName::Hash(hash)) => Some(hash),
            None => None,
            Some(CachedName::Other(name)) => {
                return Err(HubError::Format {
                    what: cached.path.display().to_string(),
                    reason: format!(
                        "the Hub's cache has it under the name {name:?}, which is not a hash to check it \
                         with. Remove it, and fetch it again"
                    ),
                });
            }
        };
        self.revision.replace(cached.commit);
        Ok(Located { path: cached.path, hash })
    }

    fn download(
        &self,
        file: &str,
        revision: &str,
        cached: Option<CachedFile>,
    ) -> Result<Option<Located>, HubError> {
        let client = &self.connection.client;
        let asked = HubFile { kind: self.kind, id: &self.id, revision, path: file };
        let announced = match (client.ask(&asked), cached) {
            // Nothing to write, perhaps into a cache that cannot be written.
            (Ok(announced), Some(cached)) if cached.is(&announced) => {
                self.revision.replace(announced.commit);
                return Ok(Some(Located { path: cached.path, hash: Some(announced.hash) }));
            }
            (Ok(announced), _) => announced,
            (Err(RequestFailure::Missing), _) => return Ok(None),
            // A Hub that is away for a while does not take away what is here.
            (Err(RequestFailure::Away(reason)), Some(cached)) => {
                tracing::info!(file, reason, "the Hub does not answer; taking the cache's file");
                return self.take_unasked(cached).map(Some);
            }
            (Err(failure), _) => return Err(self.explain(file, failure)),
        };
        let blob = self.cache.blob(&announced.hash);
        let _lock = self.cache.lock(&announced.hash, client.limit())?;
        if !blob.is_file() {
            let bar = DownloadBar::new(file, self.connection.progress);
            let transfer = Transfer { client, file: &asked, announced: &announced, blob: &blob, bar: &bar };
            let result = transfer.run();
            bar.clear();
            result.map_err(|broken| self.explain_broken(file, broken))?;
        }
        let path = self.cache.link(revision, &announced, file)?;
        self.revision.replace(announced.commit);
        Ok(Some(Located { path, hash: Some(announced.hash) }))
    }

    fn explain(&self, file: &str, failure: RequestFailure) -> HubError {
        let (id, file) = (self.id.clone(), file.to_string());
        match failure {
            RequestFailure::Missing => HubError::NotFound { id: self.id(), file, tried: Vec::new() },
            RequestFailure::Refused { status, hint } => HubError::Forbidden { id, status, hint },
            RequestFailure::Unusable(reason) => HubError::BadAnswer { id, file, reason },
            RequestFailure::Away(reason) => {
                HubError::Unreachable { name: id, tried: vec![self.said(&reason)] }
            }
        }
    }

    fn explain_broken(&self, file: &str, broken: Broken) -> HubError {
        let cut = |reason| HubError::BrokenTransfer { id: self.id.clone(), file: file.to_string(), reason };
        match broken {
            Broken::Server(RequestFailure::Away(reason)) | Broken::Cut(reason) => cut(reason),
            Broken::Server(RequestFailure::Missing) => cut("it was announced, but is missing".into()),
            Broken::Server(failure) => self.explain(file, failure),
            Broken::Wrong(mismatch) => self.wrong(file, mismatch),
            Broken::Disk(error) => error,
        }
    }

    fn wrong(&self, file: &str, mismatch: Mismatch) -> HubError {
        HubError::WrongHash {
            file: format!("{file} of {}", self.id),
            expected: mismatch.expected,
            found: mismatch.found,
        }
    }

    /// The located file, measured and compared with its hash. A wrong content leaves the cache
    /// where it can be fetched again.
    fn check(&self, file: &str, located: Located) -> Result<ResolvedFile, HubError> {
        let found = measured(file, located.path)?;
        let Some(hash) = located.hash else {
            return Ok(found);
        };
        match hash.mismatch(&found)? {
            None => Ok(found),
            Some(mismatch) => {
                if self.connection.barrier.is_none() {
                    self.cache.discard(&hash, &found.path);
                }
                Err(self.wrong(file, mismatch))
            }
        }
    }
}

impl Location for Repository<'_> {
    fn id(&self) -> String {
        match self.asked.as_str() {
            "main" => self.id.clone(),
            revision => format!("{} at {revision}", self.id),
        }
    }

    fn get(&self, file: &str) -> Result<Option<ResolvedFile>, HubError> {
        let mut attempt = 1;
        loop {
            let result = match self.locate(file) {
                Ok(None) => return Ok(None),
                Ok(Some(located)) => self.check(file, located),
                Err(error) => Err(error),
            };
            let problem = match result {
                Ok(found) => return Ok(Some(found)),
                Err(problem) => problem,
            };
            let again = matches!(problem, HubError::BrokenTransfer { .. } | HubError::WrongHash { .. })
                && self.connection.barrier.is_none();
            if !again || attempt == ATTEMPTS {
                return Err(problem);
            }
            tracing::info!(file, attempt, %problem, "asking again");
            attempt += 1;
        }
    }
}
