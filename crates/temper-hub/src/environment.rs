//! The Hub's own variables, read as its Python client reads them (its constants.py, _tokens.py).

use std::env;
use std::path::PathBuf;

/// The default address of the Hub.
const ENDPOINT: &str = "https://huggingface.co";

/// A variable's value, unless it is empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// `HF_ENDPOINT`, or the Hub's address.
pub(crate) fn endpoint() -> String {
    variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into())
}

/// `HF_HUB_CACHE`, its older name, or the folder `hub` of the Hub's home.
pub(crate) fn hub_cache() -> PathBuf {
    let named = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
    named.map_or_else(|| home().join("hub"), PathBuf::from)
}

#[cfg(feature = "online")]
/// The account's token: `HF_TOKEN`, or the content of the token's file.
pub(crate) fn token() -> Option<String> {
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    if let Some(token) = variable("HF_TOKEN") {
        return Some(token.trim().to_string());
    }
    let files = [variable("HF_TOKEN_PATH").map(PathBuf::from), Some(home().join("token"))];
    let token = files.into_iter().flatten().find_map(|path| std::fs::read_to_string(path).ok())?;
    Some(token.trim().to_string()).filter(|token| !token.is_empty())
}

fn home() -> PathBuf {
    if let Some(home) = variable("HF_HOME") {
        return PathBuf::from(home);
    }
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    cache
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("huggingface")
}
