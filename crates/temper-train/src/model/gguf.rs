//! Models in the file format of llama.cpp: unpacked once into a folder of temper's cache.

use std::path::{Path, PathBuf};

use temper_gguf::{GgufFile, convert};
use temper_hub::{CacheKind, HubSettings, Resolved};

use crate::TrainError;

/// Changes whenever the same file would give another folder.
const VERSION: &str = "2";
/// Says in a folder how its weights were packed.
const PACKED: &str = "packed.txt";

/// The folder of a model that is one file, with what is to be said of it; none for a model of other files.
///
/// # Errors
/// [`TrainError::Gguf`].
pub(super) fn unpacked(resolved: &mut Resolved) -> Result<Option<PathBuf>, TrainError> {
    let Some(file) = resolved.gguf() else { return Ok(None) };
    let name = format!("{}-{VERSION}", file.sha256);
    let settings = HubSettings::from_environment();
    settings.use_cached(CacheKind::Unpacked, &name);
    let folder = settings.cache.join(CacheKind::Unpacked.folder()).join(name);
    if !folder.join(PACKED).is_file() {
        unpack(&file.path, &folder)?;
    }
    let packed = std::fs::read_to_string(folder.join(PACKED));
    resolved.unpacked_from = Some(packed.map_err(|error| TrainError::file(&folder, error))?);
    Ok(Some(folder))
}

/// Writes a file's model into a folder. The note on its packing is the last file: a folder with it is whole.
pub(crate) fn unpack(file: &Path, folder: &Path) -> Result<(), TrainError> {
    let converted = convert(&GgufFile::read(file)?, folder)?;
    Ok(temper_files::write(&folder.join(PACKED), converted.in_words().as_bytes())?)
}
