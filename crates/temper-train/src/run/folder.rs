//! The folder of a run: where its parts are, and who works in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use temper_files::{FileError, Owner, publish, publish_new, sweep};

use crate::TrainError;

/// The age of what is swept where runs are kept: others may begin there at this moment.
pub(crate) const OTHERS_BEGIN: Duration = Duration::from_secs(60);

/// Where the parts of a run are.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while this process works in the folder.
    _owner: Option<Arc<Owner>>,
}

/// A name for the folder of a new run.
#[derive(Clone, Copy, Debug)]
pub struct RunName<'a> {
    /// Where runs are kept.
    pub root: &'a Path,
    /// The name asked for.
    pub name: Option<&'a str>,
    /// The name without one: `<default>`, `<default>-2`, ..., the first that is free.
    pub default: &'a str,
    /// Whether a run of that name is replaced.
    pub replace: bool,
}

impl RunName<'_> {
    /// Refuses a name that the run cannot have, before the folder is made.
    ///
    /// # Errors
    /// [`TrainError::RunExists`].
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let Some(path) = self.name.map(|name| self.root.join(name)) else { return Ok(()) };
        let is_empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        if path.exists() && !is_empty && !self.replace { Err(TrainError::RunExists { path }) } else { Ok(()) }
    }
}

impl RunFolder {
    /// The folder of a run that exists, to read from.
    pub fn existing(path: &Path) -> Self {
        Self { path: path.into(), _owner: None }
    }

    /// The folder of a run that exists, to work in: no other process may. What a killed process left half-written is
    /// removed.
    ///
    /// # Errors
    /// [`TrainError::Owned`] while another process works there; [`TrainError::File`].
    pub fn owned(path: &Path) -> Result<Self, TrainError> {
        let owner = Owner::of(path, &this_process())?;
        let run = Self { path: path.into(), _owner: Some(Arc::new(owner)) };
        if let Some(root) = path.parent() {
            sweep(root, OTHERS_BEGIN)?;
        }
        sweep(&run.path, Duration::ZERO)?;
        sweep(&run.checkpoints(), Duration::ZERO)?;
        Ok(run)
    }

    /// Makes the folder of a new run and works in it. `record` writes what the run is from; with it the folder comes
    /// into being, so that there is never one without.
    ///
    /// # Errors
    /// [`TrainError::RunExists`] for a given name that is taken, unless it may be replaced;
    /// [`TrainError::Owned`] for one that another process works in.
    pub fn create(
        name: RunName<'_>,
        record: impl Fn(&Self) -> Result<(), TrainError>,
    ) -> Result<Self, TrainError> {
        sweep(name.root, OTHERS_BEGIN)?;
        let fill = |folder: &Path| {
            let owner = Owner::of(folder, &this_process())?;
            record(&Self { path: folder.into(), _owner: None })?;
            Ok::<_, TrainError>(owner)
        };
        let names = std::iter::once(name.default.to_owned());
        let names = names.chain((2..).map(|number| format!("{}-{number}", name.default)));
        let names: Box<dyn Iterator<Item = String>> = match name.name {
            Some(given) => Box::new(std::iter::once(given.to_owned())),
            None => Box::new(names),
        };
        for candidate in names {
            let path = name.root.join(candidate);
            let replaced = if name.replace { owner_of_replaced(&path)? } else { None };
            let made = if replaced.is_some() { publish(&path, fill) } else { publish_new(&path, fill) };
            match made {
                Ok(owner) => return Ok(Self { path, _owner: Some(Arc::new(owner)) }),
                Err(TrainError::Taken { .. }) if name.name.is_none() => {}
                Err(TrainError::Taken { path }) => return Err(TrainError::RunExists { path }),
                Err(error) => return Err(error),
            }
        }
        Err(TrainError::RunExists { path: name.root.join(name.default) })
    }

    /// Lets the link `latest` next to the run lead to it, where links can be made; a folder of that name stays.
    #[cfg(unix)]
    pub(crate) fn mark_latest(&self) {
        let (Some(root), Some(name)) = (self.path.parent(), self.path.file_name()) else { return };
        let link = root.join("latest");
        if std::fs::symlink_metadata(&link).is_ok_and(|found| !found.is_symlink()) {
            return;
        }
        // Renamed into its place, so that it always leads to a run. It is for convenience: a file system without links
        // fails no run.
        let new = root.join(format!(".temper-latest-{}", std::process::id()));
        if std::os::unix::fs::symlink(name, &new).and_then(|()| std::fs::rename(&new, &link)).is_err() {
            let _ = std::fs::remove_file(&new);
        }
    }

    /// Links take rights that users do not have.
    #[cfg(not(unix))]
    pub(crate) fn mark_latest(&self) {}

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

    /// `results.json`; the last that is written: a run with it is finished.
    pub fn results(&self) -> PathBuf {
        self.path.join("results.json")
    }

    /// `predictions.jsonl`: one line per test example, in the split's order
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
        Ok(temper_files::write(path, text.as_bytes())?)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| TrainError::file(path, error))?;
        Ok(temper_files::write(path, (text + "\n").as_bytes())?)
    }
}

/// Owns a run that is to be replaced, if there is one. Nothing else is replaced, whatever --output-dir and --run-name
/// say.
fn owner_of_replaced(path: &Path) -> Result<Option<Owner>, TrainError> {
    if !path.join("run.toml").is_file() {
        let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        if !path.exists() || is_empty {
            return Ok(None);
        }
        return Err(TrainError::Usage(format!(
            "{} is not a run folder; it is not replaced: move it away or give another --run-name",
            path.display()
        )));
    }
    Ok(Some(Owner::of(path, &this_process())?))
}

/// What this process says of itself to others.
pub(crate) fn this_process() -> String {
    let machine = sysinfo::System::host_name().unwrap_or_else(|| "this machine".into());
    format!("process {} on {machine}", std::process::id())
}

impl From<FileError> for TrainError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, source } => Self::file(path, source),
            FileError::Taken { path } => Self::Taken { path },
            FileError::Owned { folder, owner } => Self::Owned { folder, owner },
            FileError::Damaged { path, reason } => {
                Self::content(path, format!("the file is damaged: {reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(root: &Path, name: Option<&str>, replace: bool) -> Result<RunFolder, TrainError> {
        let name = RunName { root, name, default: "bert-imdb", replace };
        RunFolder::create(name, |run| run.write_toml(&run.record(), &toml::Table::new()))
    }

    #[test]
    fn a_taken_name_is_refused_and_a_default_moves_on() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(create(root.path(), None, false).unwrap().path(), root.path().join("bert-imdb"));
        assert_eq!(create(root.path(), None, false).unwrap().path(), root.path().join("bert-imdb-2"));
        let taken = create(root.path(), Some("bert-imdb"), false);
        assert!(matches!(taken, Err(TrainError::RunExists { .. })), "{taken:?}");
    }

    #[test]
    fn only_a_run_is_replaced_and_an_empty_folder_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let precious = root.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("old"), "").unwrap();
        assert!(create(root.path(), Some("precious"), true).is_err());
        assert!(precious.join("old").exists());
        std::fs::write(precious.join("run.toml"), "").unwrap();
        create(root.path(), Some("precious"), true).unwrap();
        assert!(!precious.join("old").exists() && precious.join("run.toml").exists());
        // What an earlier version left when it was killed as it began.
        std::fs::create_dir(root.path().join("empty")).unwrap();
        create(root.path(), Some("empty"), false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn latest_leads_to_the_run_that_finished_last() {
        let root = tempfile::tempdir().unwrap();
        let latest = root.path().join("latest");
        for _ in 0..2 {
            let run = create(root.path(), None, false).unwrap();
            run.mark_latest();
            assert_eq!(latest.canonicalize().unwrap(), run.path().canonicalize().unwrap());
        }
        assert!(create(root.path(), Some("latest"), false).is_err(), "the name is taken");
        std::fs::remove_file(&latest).unwrap();
        std::fs::create_dir(&latest).unwrap();
        RunFolder::existing(&root.path().join("bert-imdb")).mark_latest();
        assert!(latest.is_dir() && !latest.is_symlink(), "a folder of the user's");
    }

    #[test]
    fn a_run_has_one_owner_who_is_named() {
        let root = tempfile::tempdir().unwrap();
        let run = create(root.path(), Some("run"), false).unwrap();
        for second in [RunFolder::owned(run.path()), create(root.path(), Some("run"), true)] {
            let error = second.unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let process = format!("process {}", std::process::id());
            assert!(error.to_string().contains(&process), "{error}");
        }
        assert!(run.record().exists());
        let path = run.path().to_path_buf();
        drop(run);
        std::fs::write(path.join(".temper-abandoned"), "").unwrap();
        RunFolder::owned(&path).unwrap();
        assert!(!path.join(".temper-abandoned").exists());
    }
}
