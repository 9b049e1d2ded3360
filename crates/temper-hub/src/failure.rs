//! Why a request to the Hub fails, and whether it is worth another try.

#[cfg(feature = "online")]
use reqwest::StatusCode;

/// Tries of one request beyond the first.
#[cfg(feature = "online")]
pub(crate) const RETRIES: usize = 3;

/// Why a request failed.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "online"), expect(dead_code, reason = "only online requests use it"))]
pub(crate) enum RequestFailure {
    /// There is no such file.
    Missing,
    /// The Hub answers, and says no.
    Refused { status: u16, hint: String },
    /// Its answer cannot be used.
    Unusable(String),
    /// It does not answer, not now, or is no Hub.
    Away(String),
}

/// True if a later try may succeed: after a timeout, a rate limit, a fault of the server.
#[cfg(feature = "online")]
pub(crate) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// What a status other than success means. `code` and `message` are the Hub's, if it says any.
#[cfg(feature = "online")]
pub(crate) fn refusal(status: StatusCode, code: Option<&str>, message: Option<&str>) -> RequestFailure {
    let refused = |hint: String| RequestFailure::Refused { status: status.as_u16(), hint };
    let token = "put a token of an account with access into HF_TOKEN";
    match (status, code) {
        (StatusCode::NOT_FOUND, _) => RequestFailure::Missing,
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some("GatedRepo")) => {
            refused(format!("It is gated: accept its terms on its page on the Hub, then {token}"))
        }
        // The Hub gives this answer for private and for missing repositories alike.
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
            refused(format!("It is private or gated, or does not exist: check the name, or {token}"))
        }
        _ if status.is_client_error() && !may_pass(status) => {
            refused(message.unwrap_or_default().to_string())
        }
        _ => RequestFailure::Away(format!("it answers {status}")),
    }
}
