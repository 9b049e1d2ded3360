//! Patterns that match several files, such as `data/train-*.jsonl`.

use std::path::{Path, PathBuf};

use crate::DataError;

/// True if a name is a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    !Path::new(name).exists() && name.contains(['*', '?', '['])
}

/// The file or folder of that name, or the files that fit a pattern, in the order of their names.
///
/// # Errors
/// [`DataError::NoFile`], [`DataError::Pattern`] where no file fits.
pub(crate) fn files_of(name: &str) -> Result<Vec<PathBuf>, DataError> {
    let path = PathBuf::from(name);
    if !is_pattern(name) {
        return if path.exists() { Ok(vec![path]) } else { Err(DataError::NoFile { path }) };
    }
    let failed = |reason: String| DataError::Pattern { pattern: name.to_string(), reason };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(name, options).map_err(|error| failed(format!("not a pattern ({error})")))?;
    let found = found.map(|entry| {
        entry.map_err(|error| DataError::Io { path: error.path().to_path_buf(), source: error.into() })
    });
    let mut files = found.collect::<Result<Vec<PathBuf>, DataError>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    match files.is_empty() {
        true => Err(failed("no file fits this pattern; check it, and where it begins".into())),
        false => Ok(files),
    }
}
