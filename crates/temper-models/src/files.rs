//! Small text files of a model folder, read with care: they come from elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::ModelError;

/// No configuration and no index is longer.
const LONGEST: u64 = 64 << 20;
/// How git-lfs begins what it puts in place of a file, and how long that is at most.
const POINTER: (&[u8], u64) = (b"version https://git-lfs", 1024);

/// Reads a JSON object.
///
/// # Errors
/// [`ModelError::BrokenFile`] for anything else, [`ModelError::Pointer`].
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    serde_json::from_str(&read_text(path)?).map_err(|error| broken(path, error))
}

/// Reads a text.
///
/// # Errors
/// As [`read_object`].
pub(crate) fn read_text(path: &Path) -> Result<String, ModelError> {
    refuse_pointer(path)?;
    let mut text = String::new();
    let file = File::open(path).map_err(|error| broken(path, error))?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| broken(path, error))?;
    if text.len() as u64 > LONGEST {
        return Err(broken(path, format!("it is longer than {LONGEST} bytes, which no such file is")));
    }
    Ok(text)
}

/// Refuses what git-lfs leaves in place of a file that it has not fetched.
///
/// # Errors
/// [`ModelError::Pointer`]; [`ModelError::BrokenFile`] for a file that cannot be opened.
pub(crate) fn refuse_pointer(path: &Path) -> Result<(), ModelError> {
    let (start, longest) = POINTER;
    let file = File::open(path).map_err(|error| broken(path, error))?;
    let is_short = file.metadata().is_ok_and(|data| data.len() <= longest);
    let mut found = Vec::new();
    file.take(start.len() as u64).read_to_end(&mut found).map_err(|error| broken(path, error))?;
    if is_short && found == start {
        return Err(ModelError::Pointer { path: path.into() });
    }
    Ok(())
}

fn broken(path: &Path, reason: impl ToString) -> ModelError {
    ModelError::BrokenFile { path: path.into(), reason: reason.to_string() }
}
