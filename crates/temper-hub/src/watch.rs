//! Answers that hf-hub 1.0 must not see: it reads the body of an error without a limit
//! (error.rs:33), and where HEAD answers with `X-Xet-Hash` (repository/download.rs:192), it opens
//! the store that the server then names: `local://` and a path make folders at that path (hf-xet,
//! xet-data, processing/configurations.rs:114).
//!
//! reqwest shows each answer to its retry policy before anybody else. An answer that must not be
//! seen counts as one to ask again for, so it goes no further; the call ends at once, because the
//! second request takes time.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use reqwest::{Method, StatusCode, retry};
use url::Url;

use crate::failure::{RETRIES, RequestFailure, may_pass, refusal};

/// Looks at the answers to one client. Its clones see the same.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Answers to GET that may pass: hf-hub asks again, without reading them.
    passing: usize,
    withheld: Option<RequestFailure>,
}

impl Watch {
    /// The policy for the client of the Hub at `endpoint`.
    pub(crate) fn policy(&self, endpoint: &Url) -> retry::Builder {
        let watch = self.clone();
        let api = format!("{}/api/", endpoint.path().trim_end_matches('/'));
        // For all hosts: `AnyHost` is equal to each.
        retry::for_host(AnyHost).no_budget().max_retries_per_request(u32::MAX).classify_fn(move |answer| {
            let path = answer.uri().path();
            let is_store = path.starts_with(&api) && path.contains("/xet-read-token/");
            match answer.status() {
                Some(status) if watch.withholds(answer.method(), is_store, status) => answer.retryable(),
                _ => answer.success(),
            }
        })
    }

    fn withholds(&self, method: &Method, is_store: bool, status: StatusCode) -> bool {
        let mut seen = self.seen();
        if is_store {
            seen.withheld =
                Some(RequestFailure::Unusable("it leads to a Xet store, which is not opened".into()));
            return true;
        }
        // The answer to HEAD has no body.
        if method != Method::GET || !(status.is_client_error() || status.is_server_error()) {
            return false;
        }
        if may_pass(status) && seen.passing < RETRIES {
            seen.passing += 1;
            return false;
        }
        seen.withheld = Some(refusal(status, None, None));
        true
    }

    /// Waits for a call of hf-hub, up to the first answer that it must not see.
    pub(crate) async fn over<F: Future>(&self, call: F) -> Result<F::Output, RequestFailure> {
        *self.seen() = Seen::default();
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            let state = call.as_mut().poll(context);
            match self.seen().withheld.take() {
                Some(failure) => Poll::Ready(Err(failure)),
                None => state.map(Ok),
            }
        })
        .await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct AnyHost;

impl PartialEq<&str> for AnyHost {
    fn eq(&self, _: &&str) -> bool {
        true
    }
}
