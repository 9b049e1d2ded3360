//! Asks what a file is: the one request that hf-hub 1.0 cannot make.
//!
//! Its `HFRepository::get_file_metadata` (repository/listing.rs:157) follows the Hub's redirection
//! of a large file to another host, whose answer has neither the commit nor the hash that the Hub
//! announces. With a client that follows none, the redirection is an error without its headers
//! (client.rs:473). A size that is missing or no number becomes 0 (listing.rs:172).

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Response, redirect};
use tokio::time::sleep;
use url::{ParseError, Url};

use crate::announced::{Announced, Unusable};
use crate::error::with_causes;
use crate::failure::{RETRIES, RequestFailure, may_pass, refusal};

/// The first of the growing waits between tries: 1.4 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// As the Hub's Python client allows.
const MOST_REDIRECTIONS: usize = 10;

/// Sends HEAD, whose answer has no body.
pub(crate) struct Asking {
    /// Does not follow redirections: the headers of the redirection itself are needed.
    client: Client,
    token: Option<HeaderValue>,
    limit: Duration,
}

impl Asking {
    /// # Errors
    /// Says why there can be no client: a malformed token, no certificates.
    pub(crate) fn new(basis: ClientBuilder, token: Option<&str>, limit: Duration) -> Result<Self, String> {
        let value = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = value
            .map_err(|_| "HF_TOKEN (or the token's file) has characters that no token has".to_string())?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        let client = basis.redirect(redirect::Policy::none()).timeout(limit).build();
        Ok(Self { client: client.map_err(|error| with_causes(&error))?, token, limit })
    }

    /// What the Hub announces of the file at an address.
    pub(crate) async fn ask(&self, mut address: Url, revision: &str) -> Result<Announced, RequestFailure> {
        for _ in 0..=MOST_REDIRECTIONS {
            let answer = self.send(&address).await?;
            // Where a repository was renamed, the Hub leads to its new name on the same machine.
            if let Some(next) = moved(&address, &answer) {
                address = next;
                continue;
            }
            if !answer.status().is_redirection() {
                accept(&answer)?;
            }
            return Announced::read(answer.headers(), revision).map_err(|unusable| match unusable {
                Unusable::Wrong(reason) => RequestFailure::Unusable(reason),
                Unusable::NoHub(reason) => {
                    RequestFailure::Away(format!("the server there is not a Hub: {reason}"))
                }
            });
        }
        Err(RequestFailure::Unusable(format!("it redirects more than {MOST_REDIRECTIONS} times")))
    }

    /// Sends the request, again where the failure may pass. Silence is waited for once.
    async fn send(&self, address: &Url) -> Result<Response, RequestFailure> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 0;
        loop {
            let mut request = self.client.head(address.clone());
            if let Some(token) = &self.token {
                request = request.header(AUTHORIZATION, token);
            }
            let problem = match request.send().await {
                Ok(answer) if !may_pass(answer.status()) => return Ok(answer),
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) if error.is_timeout() => {
                    return Err(RequestFailure::Away(format!(
                        "no answer within {} s",
                        self.limit.as_secs_f64()
                    )));
                }
                Err(error) if error.is_builder() => return Err(RequestFailure::Away(with_causes(&error))),
                Err(error) => with_causes(&error),
            };
            if attempt == RETRIES {
                return Err(RequestFailure::Away(problem));
            }
            tracing::debug!(%problem, attempt, "asking again");
            sleep(wait).await;
            wait *= 2;
            attempt += 1;
        }
    }
}

/// Where a redirection without a host leads; `None` for any other answer.
fn moved(from: &Url, answer: &Response) -> Option<Url> {
    if !answer.status().is_redirection() {
        return None;
    }
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    if Url::parse(location) != Err(ParseError::RelativeUrlWithoutBase) {
        return None;
    }
    from.join(location).ok().filter(|next| next.origin() == from.origin())
}

/// Makes an error of a status that is none of success.
fn accept(answer: &Response) -> Result<(), RequestFailure> {
    if answer.status().is_success() {
        return Ok(());
    }
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    Err(refusal(answer.status(), header("x-error-code"), header("x-error-message")))
}
