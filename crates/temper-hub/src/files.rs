//! Names of files that stay in their folder, and locks between processes.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use crate::error::HubError;

/// Waits until no other process holds the lock of this file, and holds it until the result is dropped.
pub(crate) fn wait_for(path: PathBuf) -> Result<File, HubError> {
    let name = path.clone();
    let waiting = || tracing::info!(lock = %name.display(), "another process downloads the same; waiting");
    Ok(temper_files::wait_for(path, waiting)?)
}

/// Whether a name from a card, an index or a caller stays inside its folder.
pub(crate) fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\\')
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_seen() {
        assert!(stays_inside("plain_text/train.parquet"));
        for bad in ["", "../a", "/a", "a/../../b", "..\\a", "."] {
            assert!(!stays_inside(bad), "{bad:?}");
        }
    }
}
