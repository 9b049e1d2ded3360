//! Where files come from: models, datasets, tokenizers.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use temper_data::{TextTokenizer, load_tokenizer};
use temper_hub::{Hub, HubSettings, Resolved};

use crate::{ModelEncoding, TrainError};

/// Where files may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct SourceOptions {
    /// A folder laid out like the Hub (models/ORG/NAME/..., datasets/ORG/NAME/...)
    #[arg(long, value_name = "DIR")]
    pub mirror: Option<PathBuf>,
    /// Use only what is on this machine already
    #[arg(long)]
    #[serde(default)]
    pub offline: bool,
    /// Fail rather than take a stand-in for what cannot be reached
    #[arg(long)]
    #[serde(default)]
    pub no_stand_in: bool,
    /// Branch, tag or commit on the Hub
    #[arg(long)]
    pub revision: Option<String>,
    /// A folder with dataset cards of your own
    #[arg(long, value_name = "DIR")]
    pub cards: Option<PathBuf>,
}

/// Which columns of a dataset are meant, where its card does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct ColumnOptions {
    /// Column of the text
    #[arg(long)]
    pub text_column: Option<String>,
    /// Column of a second text
    #[arg(long)]
    pub text_pair_column: Option<String>,
    /// Column of the label
    #[arg(long)]
    pub label_column: Option<String>,
}

impl SourceOptions {
    /// The Hub client for these options; the environment fills in what they leave open.
    pub fn hub(&self, quiet: bool) -> Hub {
        let environment = HubSettings::from_environment();
        Hub::new(HubSettings {
            mirror: self.mirror.clone().or(environment.mirror.clone()),
            offline: self.offline || environment.offline,
            stand_ins: !self.no_stand_in,
            revision: self.revision.clone(),
            progress: environment.progress && !quiet,
            ..environment
        })
    }

    /// Where a user's dataset cards are looked for.
    pub fn card_directories(&self) -> Vec<PathBuf> {
        self.cards.iter().cloned().chain([PathBuf::from("datasets")]).collect()
    }

    /// temper's cache folder.
    pub fn cache(&self) -> PathBuf {
        HubSettings::from_environment().cache
    }
}

/// A file of a dataset that is a path, as it was when the run read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile {
    /// Its path in the dataset's folder; the file's own name where the dataset is a file.
    pub name: String,
    /// Its sha256.
    pub sha256: String,
}

/// The files below a path, in the order of their names; none where there is no such path. Hidden ones are no data.
///
/// # Errors
/// [`TrainError::File`].
pub(crate) fn files_of(path: &Path) -> Result<Vec<ReadFile>, TrainError> {
    if path.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![ReadFile { name, sha256: temper_files::sha256_of(path)? }]);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, "", &mut files)?;
    }
    Ok(files)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<ReadFile>) -> Result<(), TrainError> {
    let failed = |error| TrainError::file(folder, error);
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
        } else if path.is_file() {
            files.push(ReadFile { name, sha256: temper_files::sha256_of(&path)? });
        }
    }
    Ok(())
}

/// A model's folder on this machine.
#[derive(Clone, Debug)]
pub struct LocalModel {
    /// The folder.
    pub dir: PathBuf,
    /// Where its files came from.
    pub resolved: Resolved,
}

impl LocalModel {
    /// Whether a folder is a run with a model in it, or a model.
    pub fn is_folder(path: &std::path::Path) -> bool {
        path.join("model/config.json").is_file() || path.join("config.json").is_file()
    }

    /// Finds a model by name or path. A run folder stands for the model in it.
    ///
    /// # Errors
    /// [`TrainError::Hub`].
    pub fn find(hub: &Hub, name: &str) -> Result<Self, TrainError> {
        let name = in_run(name);
        let resolved = hub.model(&name)?;
        let config = resolved.file("config.json").map(|file| file.path.clone());
        let dir = config.as_deref().and_then(|path| path.parent()).unwrap_or(name.as_ref()).to_path_buf();
        Ok(Self { dir, resolved })
    }

    /// How the texts of a model become tensors; only the files that say so are fetched.
    ///
    /// # Errors
    /// Those of [`Self::find`] and [`Self::encoding`].
    pub fn encoding_of(hub: &Hub, name: &str) -> Result<ModelEncoding, TrainError> {
        let name = in_run(name);
        let resolved = hub.model_settings(&name)?;
        let config = resolved.file("config.json").and_then(|file| file.path.parent());
        ModelEncoding::read(config.unwrap_or(name.as_ref()))
    }

    /// How its texts become tensors.
    ///
    /// # Errors
    /// [`TrainError::File`] and [`TrainError::Data`] for files that cannot be understood.
    pub fn encoding(&self) -> Result<ModelEncoding, TrainError> {
        ModelEncoding::read(&self.dir)
    }

    /// The model's tokenizer.
    ///
    /// # Errors
    /// [`TrainError::Data`] when there is none; [`TrainError::ForeignTokenizer`] when it knows ids
    /// that the model has no embedding for.
    pub fn tokenizer(&self, vocab_size: usize) -> Result<TextTokenizer, TrainError> {
        let tokenizer = load_tokenizer(&self.dir)?;
        if tokenizer.vocab_size() > vocab_size {
            return Err(TrainError::ForeignTokenizer { highest_id: tokenizer.vocab_size() - 1, vocab_size });
        }
        Ok(tokenizer)
    }
}

/// The model in a run folder, or the name itself.
fn in_run(name: &str) -> String {
    let in_run = PathBuf::from(name).join("model");
    if in_run.join("config.json").is_file() { in_run.display().to_string() } else { name.into() }
}
