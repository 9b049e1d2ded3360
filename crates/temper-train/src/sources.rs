use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use temper_data::{TextTokenizer, load_tokenizer};
use temper_hub::{Hub, HubSettings, Replaced, Resolved, catalogue};

use crate::TrainError;

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
        let asked = name;
        let in_run = PathBuf::from(name).join("model");
        let is_run = in_run.join("config.json").is_file();
        let name = if is_run { in_run.display().to_string() } else { name.into() };
        let mut resolved = hub.model(&name)?;
        if let Some(entry) = catalogue().find(asked).filter(|_| is_run) {
            resolved.replaced = Some(Replaced { built_in: entry.name.clone(), by: in_run });
        }
        let config = resolved.file("config.json").map(|file| file.path.clone());
        let dir = config.as_deref().and_then(|path| path.parent()).unwrap_or(name.as_ref()).to_path_buf();
        Ok(Self { dir, resolved })
    }

    /// The longest text in tokens that the tokenizer's folder records: what training used.
    pub fn recorded_max_length(&self) -> Option<usize> {
        let text = std::fs::read_to_string(self.dir.join("tokenizer_config.json")).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        // transformers writes 1e30 where there is no limit.
        value.get("model_max_length")?.as_u64().and_then(|length| usize::try_from(length).ok())
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
