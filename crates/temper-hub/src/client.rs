//! Requests to the Hub, each with a limit on its time. No body of an error is read.

use std::thread;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{StatusCode, redirect};
use url::{ParseError, Url};

use crate::announced::{Announced, Unusable};
use crate::environment;
use crate::error::with_causes;
use crate::settings::HubSettings;

/// Tries of one request beyond the first, and the first of their growing waits: 1.4 s in all.
const RETRIES: usize = 3;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// As the Hub's Python client allows.
const MOST_REDIRECTIONS: usize = 10;

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no such file.
    Missing,
    /// The Hub answers, and says no.
    Refused { status: u16, hint: String },
    /// Its answer cannot be used.
    Unusable(String),
    /// It does not answer, not now, or is no Hub.
    Away(String),
}

/// The Hub, at its address.
pub(crate) struct HubClient {
    /// Does not follow redirections: their own headers say what is asked for.
    asking: Client,
    fetching: Client,
    endpoint: Url,
    limit: Duration,
}

impl HubClient {
    /// # Errors
    /// Says why there can be no client: a malformed address or token, no certificates.
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, String> {
        let endpoint = settings.endpoint.clone().unwrap_or_else(environment::endpoint);
        let address = Url::parse(&endpoint).map_err(|error| format!("{endpoint} is no address: {error}"))?;
        let mut headers = HeaderMap::new();
        // The announced size is that of the plain content.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = environment::token() {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "HF_TOKEN (or the token's file) has characters that no token has".to_string())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("temper/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                // For each of connecting, waiting for an answer, and reading a piece of it.
                .timeout(settings.timeout)
                .connect_timeout(settings.timeout)
        };
        let failed = |error: reqwest::Error| with_causes(&error);
        Ok(Self {
            asking: builder().redirect(redirect::Policy::none()).build().map_err(failed)?,
            fetching: builder()
                .redirect(redirect::Policy::limited(MOST_REDIRECTIONS))
                .build()
                .map_err(failed)?,
            endpoint: address,
            limit: settings.timeout,
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    /// How long a server may say nothing.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// The address of a file. `prefix` is `datasets` for those.
    pub(crate) fn address(&self, prefix: Option<&str>, id: &str, revision: &str, file: &str) -> Url {
        let mut address = self.endpoint.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(prefix).extend(id.split('/'));
            // A revision is one segment, also where it has a slash.
            segments.extend(["resolve", revision]).extend(file.split('/'));
        }
        address
    }

    /// What the Hub announces of the file at an address.
    pub(crate) fn ask(&self, address: &Url, revision: &str) -> Result<Announced, Failure> {
        let mut address = address.clone();
        for _ in 0..=MOST_REDIRECTIONS {
            let answer = self.send(|| self.asking.head(address.clone()))?;
            // Where a repository was renamed, the Hub leads to its new name on the same machine.
            if let Some(next) = moved(&address, &answer) {
                address = next;
                continue;
            }
            if !answer.status().is_redirection() {
                accept(&answer)?;
            }
            return Announced::read(answer.headers(), revision).map_err(|unusable| match unusable {
                Unusable::Wrong(reason) => Failure::Unusable(reason),
                Unusable::NoHub(reason) => Failure::Away(format!("what answers there is no Hub: {reason}")),
            });
        }
        Err(Failure::Unusable(format!("it redirects more than {MOST_REDIRECTIONS} times")))
    }

    /// The content at an address from byte `from` on, if the server serves ranges: its status is
    /// 200 for the whole, 206 for the rest, 416 where there is none.
    pub(crate) fn open(&self, address: &Url, from: u64) -> Result<Response, Failure> {
        let answer = self.send(|| {
            let request = self.fetching.get(address.clone());
            if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request }
        })?;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            accept(&answer)?;
        }
        Ok(answer)
    }

    /// Sends a request, again where the failure may pass. Silence is waited for once.
    fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, Failure> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 0;
        loop {
            let problem = match request().send() {
                Ok(answer) if !may_pass(answer.status()) => return Ok(answer),
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) if error.is_timeout() => {
                    return Err(Failure::Away(format!("no answer within {} s", self.limit.as_secs_f64())));
                }
                Err(error) if error.is_builder() || error.is_redirect() => {
                    return Err(Failure::Away(with_causes(&error)));
                }
                Err(error) => with_causes(&error),
            };
            if attempt == RETRIES {
                return Err(Failure::Away(problem));
            }
            tracing::debug!(%problem, attempt, "asking again");
            thread::sleep(wait);
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

/// Whether a status says not now: a timeout, a rate limit, a fault of the server.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Makes an error of a status that is none of success.
fn accept(answer: &Response) -> Result<(), Failure> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND => Err(Failure::Missing),
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Err(Failure::Refused { status: status.as_u16(), hint: refusal_hint(header("x-error-code")) })
        }
        status if status.is_client_error() => Err(Failure::Refused {
            status: status.as_u16(),
            hint: header("x-error-message").unwrap_or_default().to_string(),
        }),
        status => Err(Failure::Away(format!("it answers {status}"))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_each_name_in_its_place() {
        let settings =
            HubSettings { endpoint: Some("http://host/hub/".into()), ..HubSettings::from_environment() };
        let client = HubClient::new(&settings).unwrap();
        assert_eq!(client.endpoint(), "http://host/hub");
        let dataset = client.address(Some("datasets"), "org/data", "refs/pr/1", "a b/c#d.csv");
        let expected = "http://host/hub/datasets/org/data/resolve/refs%2Fpr%2F1/a%20b/c%23d.csv";
        assert_eq!(dataset.as_str(), expected);
        let model = client.address(None, "org/name", "main", "config.json");
        assert_eq!(model.as_str(), "http://host/hub/org/name/resolve/main/config.json");
    }
}
