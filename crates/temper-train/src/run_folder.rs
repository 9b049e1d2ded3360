use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::TrainError;

/// Where the parts of a run are.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder of a run that exists.
    pub fn existing(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Makes the folder of a new run.
    ///
    /// Without a name it takes `<default>`, `<default>-2`, ..., the first that is free.
    ///
    /// # Errors
    /// [`TrainError::RunExists`] for a given name that is taken, unless it may be replaced.
    pub fn create(root: &Path, name: Option<&str>, default: &str, replace: bool) -> Result<Self, TrainError> {
        let path = match name {
            Some(name) => root.join(name),
            None => free_name(root, default),
        };
        if path.exists() {
            if !replace {
                return Err(TrainError::RunExists { path });
            }
            // Only what looks like a run is removed, whatever --output-dir and --run-name say.
            if !path.join("run.toml").is_file() {
                return Err(TrainError::Usage(format!(
                    "{} is not a run folder; it is not replaced",
                    path.display()
                )));
            }
            std::fs::remove_dir_all(&path).map_err(|error| TrainError::file(&path, error))?;
        }
        std::fs::create_dir_all(&path).map_err(|error| TrainError::file(&path, error))?;
        Ok(Self { path })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `run.toml`
    pub fn record(&self) -> PathBuf {
        self.path.join("run.toml")
    }

    /// `metrics.jsonl`
    pub fn journal(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `results.json`
    pub fn results(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// `predictions.jsonl`: a line a test example, in the split's order
    pub fn predictions(&self) -> PathBuf {
        self.path.join("predictions.jsonl")
    }

    /// `prediction.json`: what the run was expected to cost, for the end to compare with.
    pub fn prediction(&self) -> PathBuf {
        self.path.join("prediction.json")
    }

    /// `report.html`
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// `model/`
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// `adapter/`
    pub fn adapter(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// `checkpoints/`
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Writes a value as TOML.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn write_toml(&self, path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
        let text = toml::to_string_pretty(value).map_err(|error| TrainError::file(path, error))?;
        Ok(temper_hub::write_atomically(path, text.as_bytes())?)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| TrainError::file(path, error))?;
        Ok(temper_hub::write_atomically(path, (text + "\n").as_bytes())?)
    }
}

/// Fills a folder beside its place and renames it, so that it is complete or absent; one that is
/// there already is replaced at the end.
pub(crate) fn write_dir(
    place: &Path,
    fill: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let (partial, old) = (place.with_extension("partial"), place.with_extension("old"));
    remove_dir(&partial)?;
    remove_dir(&old)?;
    std::fs::create_dir_all(&partial).map_err(|error| TrainError::file(&partial, error))?;
    if let Err(error) = fill(&partial) {
        remove_dir(&partial)?;
        return Err(error);
    }
    if place.exists() {
        std::fs::rename(place, &old).map_err(|error| TrainError::file(place, error))?;
    }
    std::fs::rename(&partial, place).map_err(|error| TrainError::file(place, error))?;
    remove_dir(&old)
}

/// Removes a folder, if it is there.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::file(dir, error)),
        _ => Ok(()),
    }
}

fn free_name(root: &Path, default: &str) -> PathBuf {
    let names = std::iter::once(default.to_owned()).chain((2..).map(|number| format!("{default}-{number}")));
    names.map(|name| root.join(name)).find(|path| !path.exists()).unwrap_or_else(|| root.join(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_is_refused_and_a_default_moves_on() {
        let root = tempfile::tempdir().unwrap();
        let create = |name: Option<&str>, replace| RunFolder::create(root.path(), name, "bert-imdb", replace);
        assert_eq!(create(None, false).unwrap().path(), root.path().join("bert-imdb"));
        assert_eq!(create(None, false).unwrap().path(), root.path().join("bert-imdb-2"));
        assert!(matches!(create(Some("bert-imdb"), false), Err(TrainError::RunExists { .. })));
    }

    #[test]
    fn only_a_run_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        assert!(RunFolder::create(root.path(), Some("precious"), "x", true).is_err());
        std::fs::write(precious.join("run.toml"), "").unwrap();
        std::fs::write(precious.join("old"), "").unwrap();
        RunFolder::create(root.path(), Some("precious"), "x", true).unwrap();
        assert!(!precious.join("old").exists());
    }
}
