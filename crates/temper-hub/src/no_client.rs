//! In the place of the client in a build without the feature `online`: the Hub is out of reach, and its cache is read.

use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

use crate::announced::Announced;
use crate::environment;
use crate::failure::RequestFailure;
use crate::settings::HubSettings;
use crate::source::HubFile;

/// What to say of it.
const REASON: &str = "this program was built without the feature that downloads, and it is not in the cache";

/// The Hub's address.
pub(crate) struct HubClient {
    endpoint: String,
    limit: Duration,
}

impl HubClient {
    /// # Errors
    /// None; the client that downloads has some.
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, String> {
        let endpoint = settings.endpoint.clone().unwrap_or_else(environment::endpoint);
        Ok(Self { endpoint, limit: settings.timeout })
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.trim_end_matches('/')
    }

    /// Why the Hub cannot be reached.
    pub(crate) fn barrier(&self) -> Option<String> {
        Some(REASON.into())
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn ask(&self, _file: &HubFile) -> Result<Announced, RequestFailure> {
        Err(RequestFailure::Away(REASON.into()))
    }

    pub(crate) fn open(
        &self,
        _file: &HubFile,
        _part: Option<Range<u64>>,
    ) -> Result<Content<'_>, RequestFailure> {
        Err(RequestFailure::Away(REASON.into()))
    }
}

/// A content on its way, of which there is none.
pub(crate) struct Content<'a> {
    _client: PhantomData<&'a HubClient>,
    pub(crate) length: Option<u64>,
}

impl Content<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, String> {
        Ok(None::<Vec<u8>>)
    }
}
