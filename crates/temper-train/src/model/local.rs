//! A model's folder on this machine.

use std::path::{Path, PathBuf};

use temper_data::{TextTokenizer, load_tokenizer};
use temper_hub::{Hub, Replaced, Resolved, catalogue};

use super::ModelEncoding;
use super::gguf::unpacked;
use crate::TrainError;

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
    pub fn is_folder(path: &Path) -> bool {
        path.join("model/config.json").is_file() || path.join("config.json").is_file()
    }

    /// Finds a model by name or path. A run folder stands for the model in it.
    ///
    /// # Errors
    /// [`TrainError::Hub`].
    pub fn find(hub: &Hub, name: &str) -> Result<Self, TrainError> {
        let asked = name;
        refuse_other_folders(Path::new(asked))?;
        let name = in_run(asked);
        let mut resolved = hub.model(&name)?;
        if let Some(entry) = catalogue().find(asked).filter(|_| name != asked) {
            resolved.replaced = Some(Replaced { built_in: entry.name.clone(), by: PathBuf::from(&name) });
        }
        Self::of(resolved, &name)
    }

    /// Finds the files that say how a model's texts become tensors, by name or path: its weights are not needed.
    ///
    /// # Errors
    /// [`TrainError::Hub`].
    pub fn find_tokenizer(hub: &Hub, name: &str) -> Result<Self, TrainError> {
        refuse_other_folders(Path::new(name))?;
        let name = in_run(name);
        Self::of(hub.model_settings(&name)?, &name)
    }

    /// The folder of files that were found.
    fn of(mut resolved: Resolved, name: &str) -> Result<Self, TrainError> {
        if let Some(dir) = unpacked(&mut resolved)? {
            return Ok(Self { dir, resolved });
        }
        let config = resolved.file("config.json").and_then(|file| file.path.parent());
        let dir = config.unwrap_or(name.as_ref()).to_path_buf();
        Ok(Self { dir, resolved })
    }

    /// How the texts of a model become tensors; only the files that say so are fetched.
    ///
    /// # Errors
    /// Those of [`Self::find`] and [`Self::encoding`].
    pub fn encoding_of(hub: &Hub, name: &str) -> Result<ModelEncoding, TrainError> {
        ModelEncoding::read(&Self::find_tokenizer(hub, name)?.dir)
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

/// Refuses a folder that is something else than a model, with what to do with it.
///
/// # Errors
/// [`TrainError::Usage`] for a run that is not finished, and for an adapter.
pub(crate) fn refuse_other_folders(folder: &Path) -> Result<(), TrainError> {
    let (name, has) = (folder.display(), |file: &str| folder.join(file).is_file());
    if has("run.toml") && !has("model/config.json") {
        return Err(TrainError::Usage(format!(
            "{name} is a run that is not finished; continue it: temper finetune --resume {name}"
        )));
    }
    if has("adapter_config.json") && !has("model.safetensors") {
        return Err(TrainError::Usage(format!(
            "{name} is an adapter, not a model; merge it into its model first: temper merge MODEL {name} OUT"
        )));
    }
    Ok(())
}

/// The model in a run folder, or the name itself.
fn in_run(name: &str) -> String {
    let in_run = PathBuf::from(name).join("model");
    if in_run.join("config.json").is_file() { in_run.display().to_string() } else { name.into() }
}
