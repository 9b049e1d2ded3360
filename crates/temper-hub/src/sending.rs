//! Sends a request to the Hub, again where the failure may pass.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Request, Response, redirect};
use rustls::crypto::ring;
use tokio::time::{sleep, timeout};

use crate::error::with_causes;
use crate::failure::{Failure, RETRIES, may_pass, refusal};

/// The first of the growing waits between tries: 1.4 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A client with the account's token.
pub(crate) struct Sender {
    client: Client,
    token: Option<HeaderValue>,
    limit: Duration,
}

impl Sender {
    /// `redirects` says whether redirections are followed; one that leads to another host does not get the token.
    ///
    /// # Errors
    /// Says why there can be no client: a malformed token, no certificates.
    pub(crate) fn new(
        token: Option<&str>,
        limit: Duration,
        redirects: redirect::Policy,
    ) -> Result<Self, String> {
        let value = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = value
            .map_err(|_| "HF_TOKEN (or the token's file) has characters that no token has".to_string())?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        // Once a process; a program that has chosen another keeps it.
        let _ = ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        // The announced size is that of the plain content.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let client = Client::builder()
            .user_agent(concat!("temper/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(limit)
            .redirect(redirects)
            .build();
        Ok(Self { client: client.map_err(|error| with_causes(&error))?, token, limit })
    }

    /// Sends a request until it gets an answer that says more than "not now". Silence is waited for once. The body is not
    /// read.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Response, Failure> {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let silent = || Failure::Away(format!("no answer within {} s", self.limit.as_secs_f64()));
        let mut wait = FIRST_WAIT;
        let mut attempt = 0;
        loop {
            // None of these requests has a body that could be sent once only.
            let copy = request.try_clone().ok_or_else(|| Failure::Away("it cannot be asked twice".into()))?;
            let problem = match timeout(self.limit, self.client.execute(copy)).await {
                Err(_) => return Err(silent()),
                Ok(Ok(answer)) if !may_pass(answer.status().as_u16()) => return Ok(answer),
                Ok(Ok(answer)) => format!("it answers {}", answer.status()),
                Ok(Err(error)) if error.is_timeout() => return Err(silent()),
                Ok(Err(error)) if error.is_builder() || error.is_redirect() => {
                    return Err(Failure::Away(with_causes(&error)));
                }
                Ok(Err(error)) => with_causes(&error),
            };
            if attempt == RETRIES {
                return Err(Failure::Away(problem));
            }
            tracing::debug!(%problem, attempt, "asking again");
            sleep(wait).await;
            wait *= 2;
            attempt += 1;
        }
    }
}

/// Makes an error of a status that is none of success.
pub(crate) fn accept(answer: &Response) -> Result<(), Failure> {
    if answer.status().is_success() {
        return Ok(());
    }
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    Err(refusal(answer.status().as_u16(), header("x-error-code"), header("x-error-message")))
}
