//! Folders that `save_to_disk` of Hugging Face's `datasets` writes: Arrow files, and JSON that names them.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use temper_hub::is_inner_path;

use crate::DataError;

/// Names the splits of a `DatasetDict`, a folder each.
const SPLITS: &str = "dataset_dict.json";
/// Names the files of a `Dataset`.
const FILES: &str = "state.json";
/// The largest such file that is read.
const MOST_BYTES: u64 = 16 << 20;

/// True if a folder was written by `save_to_disk`.
pub(crate) fn is_saved(folder: &Path) -> bool {
    folder.join(SPLITS).is_file() || folder.join(FILES).is_file()
}

/// The splits of a saved folder with their files, by name; what was saved without splits is `train`.
///
/// # Errors
/// [`DataError::Broken`] for JSON that does not say what it should.
pub(crate) fn splits(folder: &Path) -> Result<Vec<(String, Vec<PathBuf>)>, DataError> {
    if !folder.join(SPLITS).is_file() {
        return Ok(vec![("train".into(), files(folder)?)]);
    }
    let path = folder.join(SPLITS);
    let names = strings(&path, read(&path)?.get("splits"), |name| name.as_str())?;
    names.into_iter().map(|name| Ok((name.clone(), files(&folder.join(name))?))).collect()
}

/// The files of a saved `Dataset`, in their order.
///
/// # Errors
/// As [`splits`].
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let path = folder.join(FILES);
    let state = read(&path)?;
    // Versions before 2.0 saved rows that were chosen or shuffled as a list of their places.
    let indices = state.get("_indices_data_files").and_then(Json::as_array);
    if indices.is_some_and(|files| !files.is_empty()) {
        let reason = "the rows were saved as places in other files; load and save it with a newer version of `datasets`";
        return Err(DataError::broken(&path, None, reason));
    }
    let names = strings(&path, state.get("_data_files"), |file| file.get("filename")?.as_str())?;
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Names of files or folders within a folder.
fn strings(
    path: &Path,
    list: Option<&Json>,
    name: impl Fn(&Json) -> Option<&str>,
) -> Result<Vec<String>, DataError> {
    let names = list.and_then(Json::as_array).map(|list| list.iter().map(name).collect::<Option<Vec<_>>>());
    let names = names.flatten().filter(|names| names.iter().all(|name| is_inner_path(name)));
    let names = names.ok_or_else(|| DataError::broken(path, None, "not as `save_to_disk` writes it"))?;
    Ok(names.into_iter().map(String::from).collect())
}

fn read(path: &Path) -> Result<Json, DataError> {
    let failed = |source| DataError::io(path, source);
    if std::fs::metadata(path).map_err(failed)?.len() > MOST_BYTES {
        return Err(DataError::broken(path, None, "too large for what `save_to_disk` writes"));
    }
    let text = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| DataError::broken(path, None, error))
}
