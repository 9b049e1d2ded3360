//! Asks what a file is. The Hub redirects to another host for the content of a large file; its own answer, the
//! redirection, has the commit and the hash, so it is not followed.

use reqwest::header::LOCATION;
use reqwest::{Method, Request, Response};
use url::{ParseError, Url};

use crate::announced::{Announced, Unusable};
use crate::failure::Failure;
use crate::sending::{Sender, accept};

/// As the Hub's Python client allows.
const MOST_REDIRECTIONS: usize = 10;

/// What the Hub announces of the file at an address. `sender` follows no redirections.
pub(crate) async fn ask(sender: &Sender, mut address: Url, revision: &str) -> Result<Announced, Failure> {
    for _ in 0..=MOST_REDIRECTIONS {
        let answer = sender.send(Request::new(Method::HEAD, address.clone())).await?;
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
