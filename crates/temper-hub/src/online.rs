//! The Hugging Face Hub and its cache on this machine, through the `hf-hub` client.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{HFClient, HFClientSync, HFError, HFRepositorySync, RepoType, split_id};

use crate::error::{HubError, with_causes};
use crate::files::wait_for;
use crate::place::{Place, measured};
use crate::progress::DownloadBar;
use crate::reach::probe;
use crate::resolved::ResolvedFile;
use crate::resume::Partial;
use crate::settings::HubSettings;
use crate::verify::{Mismatch, discard, mismatch};

/// How often a file is asked for before its transfer counts as broken.
const ATTEMPTS: usize = 3;
/// The client's tries at one request beyond the first, and the base of its growing waits: at most
/// 2.8 s of waiting, where its own defaults come to 6.2 s.
const RETRIES: usize = 3;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The client, and what keeps it from the network.
pub(crate) struct Connection {
    client: HFClientSync,
    endpoint: String,
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
        let mut builder = HFClient::builder()
            .retry_max_attempts(RETRIES)
            .retry_base_delay(FIRST_WAIT)
            .user_agent(concat!("temper/", env!("CARGO_PKG_VERSION")));
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some(cache) = &settings.hub_cache {
            builder = builder.cache_dir(cache);
        }
        let client = builder.build().map_err(|error| with_causes(&error))?;
        let endpoint = client.endpoint().to_string();
        let cache = client.cache_dir().to_path_buf();
        let barrier = if settings.offline {
            Some("offline is asked for, and it is not in the cache".to_string())
        } else {
            probe(&endpoint).err()
        };
        Ok(Self {
            client: HFClientSync::from_inner(client).map_err(|error| with_causes(&error))?,
            endpoint,
            cache,
            barrier,
            progress: settings.progress,
        })
    }

    /// A repository on the Hub. Its lock is held as long as it lives, so that a second process
    /// waits and then finds the files in the cache.
    pub(crate) fn repository<T: RepoType>(
        &self,
        kind: T,
        id: &str,
        settings: &HubSettings,
    ) -> Result<Repository<'_, T>, HubError> {
        let (owner, name) = split_id(id);
        let folder = format!("{}--{}", kind.plural(), id.replace('/', "--"));
        let lock = match self.barrier {
            Some(_) => None,
            None => {
                let locks = settings.cache.join("locks");
                Some(wait_for(locks.join(format!("{folder}.lock")))?)
            }
        };
        let revision = settings.revision.clone().unwrap_or_else(|| "main".into());
        Ok(Repository {
            connection: self,
            repo: self.client.repository(kind, owner, name),
            id: id.to_string(),
            folder,
            asked: revision.clone(),
            revision: RefCell::new(revision),
            _lock: lock,
        })
    }
}

/// One repository of the Hub. Its kind is a type, because hf-hub 1.0.0 asks some addresses by the
/// type alone: its kind chosen at run time, `RepoTypeAny`, looks for datasets among the models.
pub(crate) struct Repository<'a, T: RepoType> {
    connection: &'a Connection,
    repo: HFRepositorySync<T>,
    id: String,
    folder: String,
    /// The revision as asked, for messages.
    asked: String,
    /// The revision as asked until the first file is there, then its commit: all files are of one
    /// commit, even if the branch moves meanwhile.
    revision: RefCell<String>,
    _lock: Option<File>,
}

impl<T: RepoType> Repository<'_, T> {
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
        format!("Hub {}: {}: {what}", self.connection.endpoint, self.id)
    }

    /// One attempt at one file.
    fn download(&self, file: &str) -> Result<PathBuf, HFError> {
        let revision = self.revision.borrow().clone();
        let local_only = self.connection.barrier.is_some();
        let bar = DownloadBar::new(file, self.connection.progress);
        if !local_only {
            let cache = &self.connection.cache;
            let partial = Partial::find(&self.repo, file, &revision, cache, &self.folder);
            partial.map_or(Ok(()), |partial| partial.finish(&bar))?;
        }
        let result = self
            .repo
            .download_file()
            .filename(file)
            .revision(revision)
            .local_files_only(local_only)
            .progress(bar.clone())
            .send();
        bar.clear();
        result
    }

    fn pin_commit(&self, file: &str, path: &Path) {
        // snapshots/<commit>/<file>
        let commit =
            path.ancestors().nth(file.split('/').count()).and_then(|folder| folder.file_name()?.to_str());
        if let Some(commit) = commit.filter(|name| is_commit(name)) {
            self.revision.replace(commit.to_string());
        }
    }

    fn explain(&self, file: &str, error: HFError) -> HubError {
        match error {
            HFError::AuthRequired { context } | HFError::Forbidden { context } => HubError::Forbidden {
                id: self.id.clone(),
                status: context.status.as_u16(),
                hint: refusal_hint(context.error_code.as_deref()),
            },
            HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => self.not_found(file),
            HFError::Io(source) => HubError::io(self.connection.cache.join(&self.folder), source),
            HFError::CacheLockTimeout { path } => HubError::Locked { path },
            HFError::Request { ref source, .. } if !(source.is_connect() || source.is_timeout()) => {
                self.broken(file, &error)
            }
            HFError::Xet { .. } => self.broken(file, &error),
            HFError::Http { context } if is_refusal(context.status.as_u16()) => HubError::Forbidden {
                id: self.id.clone(),
                status: context.status.as_u16(),
                hint: context.server_message.unwrap_or_default(),
            },
            // An answer without the Hub's headers comes from something in between.
            other => {
                HubError::Unreachable { name: self.id.clone(), tried: vec![self.said(&with_causes(&other))] }
            }
        }
    }

    fn broken(&self, file: &str, error: &HFError) -> HubError {
        HubError::BrokenTransfer { id: self.id.clone(), file: file.to_string(), reason: with_causes(error) }
    }

    /// The error for a file that the Hub says is not there.
    fn not_found(&self, file: &str) -> HubError {
        HubError::NotFound { id: self.id(), file: file.to_string(), tried: Vec::new() }
    }

    fn wrong(&self, file: &str, mismatch: Mismatch) -> HubError {
        HubError::WrongHash {
            file: format!("{file} of {}", self.id),
            expected: mismatch.expected,
            found: mismatch.found,
        }
    }
}

impl<T: RepoType> Place for Repository<'_, T> {
    fn id(&self) -> String {
        match self.asked.as_str() {
            "main" => self.id.clone(),
            revision => format!("{} at {revision}", self.id),
        }
    }

    fn get(&self, file: &str) -> Result<Option<ResolvedFile>, HubError> {
        let mut attempt = 1;
        loop {
            let problem = match self.download(file) {
                Ok(path) => {
                    let found = measured(file, path)?;
                    match mismatch(&found)? {
                        None => {
                            self.pin_commit(file, &found.path);
                            return Ok(Some(found));
                        }
                        Some(mismatch) => {
                            if self.connection.barrier.is_none() {
                                discard(&found.path);
                            }
                            self.wrong(file, mismatch)
                        }
                    }
                }
                Err(HFError::EntryNotFound { .. } | HFError::LocalEntryNotFound { .. }) => {
                    return Ok(None);
                }
                Err(error) => self.explain(file, error),
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

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a status says no, rather than not now (408 is a timeout, 429 a rate limit).
fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && status != 429
}

fn refusal_hint(code: Option<&str>) -> String {
    let token = "put a token of an account with access into HF_TOKEN";
    match code {
        Some("GatedRepo") => {
            format!("It is gated: accept its terms on its page on the Hub, then {token}")
        }
        // The Hub gives this answer for private and for missing repositories alike.
        _ => format!("It is private or gated, or does not exist: check the name, or {token}"),
    }
}
