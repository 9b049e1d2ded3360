//! The Hub, asked through hf-hub. Each wait has an end.
//!
//! Contents come from `HFRepository::download_file_stream`, which writes no file. hf-hub's own
//! downloads to the cache are not used: they make paths of headers. What a file is (hash, commit,
//! size) is asked in `announcing.rs`, and `watch.rs` says which answers hf-hub must not see.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hf_hub::repository::download::HFByteStream;
use hf_hub::{HFClient, HFError, HFRepository, RepoType, split_id};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;
use url::Url;

use crate::announced::Announced;
use crate::announcing::Asking;
use crate::environment;
use crate::error::with_causes;
use crate::failure::{RETRIES, RequestFailure, refusal};
use crate::reach::probe;
use crate::settings::HubSettings;
use crate::source::{HubFile, RepoKind};
use crate::watch::Watch;

/// hf-hub waits at random up to 2, 4 and 8 times as long between them.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The Hub, at its address.
pub(crate) struct HubClient {
    hub: HFClient,
    asking: Asking,
    watch: Watch,
    /// Held by the call under watch: the watch cannot tell two of them apart.
    opening: Mutex<()>,
    runtime: Runtime,
    endpoint: Url,
    limit: Duration,
}

impl HubClient {
    /// # Errors
    /// Says why there can be no client: a malformed address or token, no certificates.
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, String> {
        let named = settings.endpoint.clone().unwrap_or_else(environment::endpoint);
        let endpoint = Url::parse(&named).map_err(|error| format!("{named} is not an address: {error}"))?;
        let token = environment::token();
        let limit = settings.timeout;
        let watch = Watch::default();
        let client = basis(limit).retry(watch.policy(&endpoint)).build();
        let mut builder = HFClient::builder()
            .endpoint(endpoint.as_str())
            .client(client.map_err(|error| with_causes(&error))?)
            .cache_enabled(false)
            .retry_max_attempts(RETRIES)
            .retry_base_delay(FIRST_WAIT);
        if let Some(token) = &token {
            builder = builder.token(token);
        }
        Ok(Self {
            hub: builder.build().map_err(|error| with_causes(&error))?,
            asking: Asking::new(basis(limit), token.as_deref(), limit)?,
            watch,
            opening: Mutex::new(()),
            runtime: runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| with_causes(&error))?,
            endpoint,
            limit,
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// Why the Hub cannot be reached; `None` where there is a way.
    pub(crate) fn barrier(&self) -> Option<String> {
        probe(self.endpoint()).err()
    }

    /// How long a server may say nothing.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// The address of a file.
    fn address(&self, file: &HubFile) -> Url {
        let prefix = match file.kind {
            RepoKind::Model => None,
            RepoKind::Dataset => Some(file.kind.plural()),
        };
        let mut address = self.endpoint.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(prefix).extend(file.id.split('/'));
            // A revision is one segment, also where it has a slash.
            segments.extend(["resolve", file.revision]).extend(file.path.split('/'));
        }
        address
    }

    /// What the Hub announces of a file.
    pub(crate) fn ask(&self, file: &HubFile) -> Result<Announced, RequestFailure> {
        self.runtime.block_on(self.asking.ask(self.address(file), file.revision))
    }

    /// The content of a file, or a part of it where the server serves parts.
    pub(crate) fn open(
        &self,
        file: &HubFile,
        part: Option<Range<u64>>,
    ) -> Result<Content<'_>, RequestFailure> {
        let (owner, name) = split_id(file.id);
        match file.kind {
            RepoKind::Model => self.stream(&self.hub.model(owner, name), file, part),
            RepoKind::Dataset => self.stream(&self.hub.dataset(owner, name), file, part),
        }
    }

    fn stream<T: RepoType>(
        &self,
        repository: &HFRepository<T>,
        file: &HubFile,
        part: Option<Range<u64>>,
    ) -> Result<Content<'_>, RequestFailure> {
        let request = repository.download_file_stream().filename(file.path).revision(file.revision);
        // hf-hub sends two requests: HEAD, and then GET.
        let limit = self.limit * 2;
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self
            .runtime
            .block_on(async { timeout(limit, self.watch.over(request.maybe_range(part).send())).await });
        let silent = |_| RequestFailure::Away(format!("no answer within {} s", limit.as_secs_f64()));
        let (length, stream) = opened.map_err(silent)??.map_err(failure)?;
        Ok(Content { client: self, stream, length })
    }
}

/// What all requests have in common.
fn basis(limit: Duration) -> ClientBuilder {
    let mut headers = HeaderMap::new();
    // The announced size is that of the plain content.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Client::builder()
        .user_agent(concat!("temper/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(limit)
}

/// A content on its way.
pub(crate) struct Content<'a> {
    client: &'a HubClient,
    stream: HFByteStream,
    /// How many bytes the server says that it sends.
    pub(crate) length: Option<u64>,
}

impl Content<'_> {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Says why no more comes.
    pub(crate) fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, String> {
        let limit = self.client.limit;
        let piece = self.client.runtime.block_on(async {
            timeout(limit, poll_fn(|context| Pin::new(&mut *self.stream).poll_next(context))).await
        });
        match piece {
            Ok(piece) => piece.transpose().map_err(|error| with_causes(&error)),
            Err(_) => Err(format!("nothing came within {} s", limit.as_secs_f64())),
        }
    }
}

fn failure(error: HFError) -> RequestFailure {
    match error {
        HFError::EntryNotFound { .. } | HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
            RequestFailure::Missing
        }
        HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context }
        | HFError::RateLimited { context, .. }
        | HFError::Http { context } => {
            refusal(context.status, context.error_code.as_deref(), context.server_message.as_deref())
        }
        error => RequestFailure::Away(with_causes(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_each_name_in_its_place() {
        let settings =
            HubSettings { endpoint: Some("http://host/hub/".into()), ..HubSettings::from_environment() };
        let client = HubClient::new(&settings).unwrap();
        assert_eq!(client.endpoint(), "http://host/hub");
        let file =
            HubFile { kind: RepoKind::Dataset, id: "org/data", revision: "refs/pr/1", path: "a b/c#d.csv" };
        let expected = "http://host/hub/datasets/org/data/resolve/refs%2Fpr%2F1/a%20b/c%23d.csv";
        assert_eq!(client.address(&file).as_str(), expected);
        let file = HubFile { kind: RepoKind::Model, id: "org/name", revision: "main", path: "config.json" };
        let expected = "http://host/hub/org/name/resolve/main/config.json";
        assert_eq!(client.address(&file).as_str(), expected);
    }
}
