//! The log file of each run of a comparison.

use std::fs::File;
use std::path::Path;

use crate::TrainError;

/// Opens the file; empties it unless the run continues.
///
/// # Errors
/// [`TrainError::File`].
pub(super) fn open(path: &Path, goes_on: bool) -> Result<File, TrainError> {
    let mut options = File::options();
    options.create(true).write(true).append(goes_on).truncate(!goes_on);
    options.open(path).map_err(|error| TrainError::file(path, error))
}

/// The lines from the last error to the end; none if there is no error or the file cannot be read.
pub(super) fn errors(path: &Path) -> Vec<String> {
    const MOST: usize = 20;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().rposition(|line| line.starts_with("error"));
    first.map_or_else(Vec::new, |first| {
        lines[first..].iter().take(MOST).map(|&line| line.to_owned()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        assert!(errors(&path).is_empty());
        std::fs::write(&path, "step 1\nerror: first\nstep 2\nerror: second\n  with more\n").unwrap();
        assert_eq!(errors(&path), ["error: second", "  with more"]);
        open(&path, true).unwrap();
        assert_eq!(errors(&path).len(), 2, "a run that continues appends");
        open(&path, false).unwrap();
        assert!(errors(&path).is_empty());
    }
}
