//! `temper convert`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use temper_data::{EncodeSettings, TextTokenizer};
use temper_files::publish;
use temper_gguf::Packing;
use temper_models::{HeadRequest, Model, ModelConfig};

use crate::model::write_file;
use crate::terminal::{print_line, say};
use crate::{CutOptions, LocalModel, SourceOptions, TrainError};

/// Write a model as a plain folder (config.json, model.safetensors in f32, tokenizer), or as a file of llama.cpp. Reads
/// folders of any form that temper trains on, and files of llama.cpp (.gguf)
#[derive(Clone, Debug, clap::Args)]
pub struct ConvertArgs {
    /// Name, Hub id, folder, run, or .gguf file
    pub model: String,
    /// The folder to write, or a file if the name ends in .gguf; it must not exist
    pub out: PathBuf,
    /// Type of the matrices in a .gguf file [default: f16]
    #[arg(long, value_name = "TYPE")]
    pub gguf_type: Option<GgufType>,
    /// Where files may come from
    #[command(flatten)]
    pub sources: SourceOptions,
}

/// The type of the matrices in a .gguf file.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum GgufType {
    /// 16 bits per number
    #[default]
    F16,
    /// 8 bits per number, and a scale for every 32
    #[value(name = "q8_0")]
    Q8_0,
    /// 32 bits per number: nothing is lost
    F32,
}

impl GgufType {
    fn packing(self) -> Packing {
        match self {
            Self::F16 => Packing::F16,
            Self::Q8_0 => Packing::Q8_0,
            Self::F32 => Packing::F32,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`TrainError::Usage`] where the folder is there already, or a type is given for one; see [`TrainError`].
pub fn convert(args: &ConvertArgs) -> Result<(), TrainError> {
    let out = &args.out;
    let is_file = out.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    if out.exists() {
        let kind = if is_file { "file" } else { "folder" };
        return Err(TrainError::Usage(format!("{} exists already; name another {kind}", out.display())));
    }
    if args.gguf_type.is_some() && !is_file {
        let what = "--gguf-type is of a file, whose name ends in .gguf, and not of the folder";
        return Err(TrainError::Usage(format!("{what} {}; name a file, or leave it out", out.display())));
    }
    let local = LocalModel::find(&args.sources.hub(false), &args.model)?;
    if let Some(notice) = local.resolved.notice() {
        say(&notice);
    }
    let config = ModelConfig::read(&local.dir)?;
    let bounds = config.bounds();
    let tokenizer = local.tokenizer(bounds.vocab_size)?;
    let (encode, _) = local.encoding()?.cut(&CutOptions::default(), bounds.max_positions)?;
    if is_file {
        let packing = args.gguf_type.unwrap_or_default().packing();
        let written = write_file(&local, &config, tokenizer.files(&encode), packing, out)?;
        let (count, packed) = (written.parameters, written.in_words());
        return print_line(&format!("{}: {count} parameters in {packed}", out.display()));
    }
    write_folder(&local, &tokenizer, &encode, out)
}

fn write_folder(
    local: &LocalModel,
    tokenizer: &TextTokenizer,
    encode: &EncodeSettings,
    out: &Path,
) -> Result<(), TrainError> {
    let loaded = Model::load(&local.dir, &HeadRequest::FromConfig, &Device::flex())?;
    publish(out, |dir| -> Result<(), TrainError> {
        loaded.model.save(&loaded.config, dir)?;
        Ok(tokenizer.save(dir, encode)?)
    })?;
    let count: usize = loaded.model.parameters().parameters.iter().map(temper_models::Parameter::count).sum();
    print_line(&format!("{}: {count} parameters in f32", out.display()))
}
