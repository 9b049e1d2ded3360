//! Where to look, and what is allowed.

use std::env;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use crate::environment;

/// Longer than a busy server takes, shorter than people wait for nothing.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where files may come from and where they are kept.
///
/// The Hub's own variables (`HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and the token file,
/// `HF_ENDPOINT`) are read when the Hub is asked.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// A folder laid out like the Hub: `models/<org>/<name>/...`, `datasets/<org>/<name>/...`.
    pub mirror: Option<PathBuf>,
    /// Use only what is on this machine: neither the Hub nor pip is asked.
    pub offline: bool,
    /// Whether a stand-in may be taken when the thing itself cannot be reached.
    pub stand_ins: bool,
    /// Branch, tag or commit on the Hub; its main branch by default.
    pub revision: Option<String>,
    /// temper's own cache, for what comes out of packages.
    pub cache: PathBuf,
    /// Whether to draw progress bars on stderr.
    pub progress: bool,
    /// The Hub's address; `None` leaves it to `HF_ENDPOINT`.
    pub endpoint: Option<String>,
    /// The Hub's cache on this machine; `None` leaves it to `HF_HUB_CACHE` and `HF_HOME`.
    pub hub_cache: Option<PathBuf>,
    /// The Python whose pip fetches packages; `None` means `python3`, then `python`.
    pub python: Option<PathBuf>,
    /// How long a server of the Hub may say nothing: at connecting, before its answer, within it.
    pub timeout: Duration,
}

impl HubSettings {
    /// The Hub's cache on this machine, where these settings or the environment have it.
    pub fn hub_cache_folder(&self) -> PathBuf {
        self.hub_cache.clone().unwrap_or_else(environment::hub_cache)
    }

    /// What the environment says: `TEMPER_MIRROR`, `HF_HUB_OFFLINE`, `TEMPER_CACHE` (by default
    /// `temper` in `XDG_CACHE_HOME` or `~/.cache`), `TEMPER_PYTHON`. Stand-ins are allowed, and
    /// progress is shown where stderr is a terminal. `HF_HUB_DOWNLOAD_TIMEOUT` is the time-out in
    /// whole seconds, 30 by default.
    pub fn from_environment() -> Self {
        Self {
            mirror: path_from("TEMPER_MIRROR"),
            offline: env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value)),
            stand_ins: true,
            revision: None,
            cache: path_from("TEMPER_CACHE").unwrap_or_else(default_cache),
            progress: std::io::stderr().is_terminal(),
            endpoint: None,
            hub_cache: None,
            python: path_from("TEMPER_PYTHON"),
            timeout: env::var("HF_HUB_DOWNLOAD_TIMEOUT").map_or(TIMEOUT, |value| time_out(&value)),
        }
    }
}

fn path_from(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn default_cache() -> PathBuf {
    path_from("XDG_CACHE_HOME")
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("temper")
}

/// Seconds from text; the default, with a warning, where there are none.
fn time_out(text: &str) -> Duration {
    match text.trim().parse() {
        Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
        _ => {
            tracing::warn!(
                "HF_HUB_DOWNLOAD_TIMEOUT is {text:?}, no number of seconds: {} s are taken",
                TIMEOUT.as_secs()
            );
            TIMEOUT
        }
    }
}

/// The values that huggingface_hub takes for true (its constants.py, ENV_VARS_TRUE_VALUES).
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{TIMEOUT, is_true, time_out};

    #[test]
    fn a_time_out_is_a_number_of_seconds_above_zero() {
        assert_eq!(time_out("5"), Duration::from_secs(5));
        assert!(["0", "-1", "", "soon"].into_iter().all(|text| time_out(text) == TIMEOUT));
    }

    #[test]
    fn truth_is_what_the_python_client_takes_for_it() {
        assert!(["1", "true", "Yes", "ON"].into_iter().all(is_true));
        assert!(!["", "0", "false", "off", "2"].into_iter().any(is_true));
    }
}
