//! `temper convert`.

use std::path::PathBuf;

use burn::tensor::Device;
use temper_data::EncodeSettings;
use temper_files::publish;
use temper_models::{HeadRequest, Model};

use crate::terminal::{print_line, say};
use crate::{CutOptions, LocalModel, SourceOptions, TrainError};

/// Write a model as a plain folder: config.json, model.safetensors in f32, tokenizer. Reads folders of any form that
/// temper trains on, and files of llama.cpp (.gguf)
#[derive(Clone, Debug, clap::Args)]
pub struct ConvertArgs {
    /// Name, Hub id, folder, run, or .gguf file
    pub model: String,
    /// The folder to write; it must not exist
    pub out: PathBuf,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::Usage`] where the folder is there already; see [`TrainError`].
pub fn convert(args: &ConvertArgs) -> Result<(), TrainError> {
    if args.out.exists() {
        return Err(TrainError::Usage(format!("{} exists already; name another folder", args.out.display())));
    }
    let local = LocalModel::find(&args.sources.hub(false), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &Device::flex())?;
    let bounds = loaded.config.bounds();
    let tokenizer = local.tokenizer(bounds.vocab_size)?;
    let (cut, _) = local.encoding()?.cut(&CutOptions::default(), bounds.max_positions)?;
    let EncodeSettings { max_length, truncation } = cut;
    publish(&args.out, |dir| -> Result<(), TrainError> {
        loaded.model.save(&loaded.config, dir)?;
        Ok(tokenizer.save(dir, &EncodeSettings { max_length, truncation })?)
    })?;
    let count: usize = loaded.model.parameters().parameters.iter().map(temper_models::Parameter::count).sum();
    print_line(&format!("{}: {count} parameters in f32", args.out.display()))
}
