//! Why a request to the Hub fails, and whether it is worth another try.

/// Tries of one request beyond the first.
#[cfg(feature = "online")]
pub(crate) const RETRIES: usize = 3;

/// Why a request brought nothing.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "online"), expect(dead_code, reason = "nobody is asked"))]
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

/// Whether a status says not now: a timeout, a rate limit, a fault of the server.
#[cfg(feature = "online")]
pub(crate) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// What a status other than success means. `code` and `message` are the Hub's, if it says any.
#[cfg(feature = "online")]
pub(crate) fn refusal(status: u16, code: Option<&str>, message: Option<&str>) -> Failure {
    let refused = |hint: String| Failure::Refused { status, hint };
    let token = "put a token of an account with access into HF_TOKEN";
    match (status, code) {
        (404, _) => Failure::Missing,
        (401 | 403, Some("GatedRepo")) => {
            refused(format!("It is gated: accept its terms on its page on the Hub, then {token}"))
        }
        // The Hub gives this answer for private and for missing repositories alike.
        (401 | 403, _) => {
            refused(format!("It is private or gated, or does not exist: check the name, or {token}"))
        }
        (400..500, _) if !may_pass(status) => refused(message.unwrap_or_default().to_string()),
        _ => Failure::Away(format!("it answers {status}")),
    }
}
