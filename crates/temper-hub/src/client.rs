//! The Hub, asked over HTTP. Each wait has an end.
//!
//! A content is asked for at the address that its announcement came from, and comes from wherever the Hub redirects to. A
//! store of another kind that an answer names (`X-Xet-Hash`) is not opened: the same bytes come by this way.

use std::ops::Range;
use std::time::Duration;

use reqwest::header::{HeaderValue, RANGE};
use reqwest::{Method, Request, Response, redirect};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;
use url::Url;

use crate::announced::Announced;
use crate::announcing;
use crate::environment;
use crate::error::with_causes;
use crate::failure::Failure;
use crate::reach::probe;
use crate::sending::{Sender, accept};
use crate::settings::HubSettings;
use crate::source::{HubFile, RepoKind};

/// The Hub, at its address.
pub(crate) struct HubClient {
    /// Follows no redirections: their own headers say what is asked for.
    asking: Sender,
    fetching: Sender,
    runtime: Runtime,
    endpoint: Url,
    limit: Duration,
}

impl HubClient {
    /// # Errors
    /// Says why there can be no client: a malformed address or token, no certificates.
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, String> {
        let named = settings.endpoint.clone().unwrap_or_else(environment::endpoint);
        let endpoint = Url::parse(&named).map_err(|error| format!("{named} is no address: {error}"))?;
        let token = environment::token();
        let limit = settings.timeout;
        Ok(Self {
            asking: Sender::new(token.as_deref(), limit, redirect::Policy::none())?,
            fetching: Sender::new(token.as_deref(), limit, redirect::Policy::default())?,
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
    pub(crate) fn ask(&self, file: &HubFile) -> Result<Announced, Failure> {
        self.runtime.block_on(announcing::ask(&self.asking, self.address(file), file.revision))
    }

    /// The content of a file, or a part of it where the server serves parts.
    pub(crate) fn open(&self, file: &HubFile, part: Option<Range<u64>>) -> Result<Content<'_>, Failure> {
        let mut request = Request::new(Method::GET, self.address(file));
        if let Some(part) = part {
            let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
            let range = HeaderValue::from_str(&range).map_err(|error| Failure::Away(error.to_string()))?;
            request.headers_mut().insert(RANGE, range);
        }
        let answer = self.runtime.block_on(self.fetching.send(request))?;
        accept(&answer)?;
        Ok(Content { client: self, length: answer.content_length(), answer })
    }
}

/// A content on its way.
pub(crate) struct Content<'a> {
    client: &'a HubClient,
    answer: Response,
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
        match self.client.runtime.block_on(async { timeout(limit, self.answer.chunk()).await }) {
            Ok(piece) => piece.map_err(|error| with_causes(&error)),
            Err(_) => Err(format!("nothing came within {} s", limit.as_secs_f64())),
        }
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
