//! The errors of this crate.

use std::fmt;
use std::path::PathBuf;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No weights in a folder.
    #[error("{dir} holds no weights (looked for {looked_for}); give a folder with one of them")]
    NoWeights {
        /// The folder.
        dir: PathBuf,
        /// The names tried.
        looked_for: String,
    },
    /// Shards without the index that says which tensor is where.
    #[error(
        "{dir} holds {shard}, a part of sharded weights, but not {index}, without which parts are not read; fetch it into the same folder"
    )]
    NoIndex {
        /// The folder.
        dir: PathBuf,
        /// One of the parts.
        shard: String,
        /// The missing file.
        index: &'static str,
    },
    /// What git-lfs leaves in place of a file that it has not fetched.
    #[error(
        "{path} is a pointer of git-lfs, not the file itself; run 'git lfs pull' in its repository, or fetch the file from the Hub"
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// Weights in a form that is not plain numbers.
    #[error(
        "{path}: {tensor} is stored as {dtype}: quantised weights are not read{method}; use the model's float weights, or dequantise it with transformers (model.dequantize()) and save it again"
    )]
    Quantized {
        /// The weights.
        path: PathBuf,
        /// One of the tensors.
        tensor: String,
        /// How it is stored.
        dtype: String,
        /// What `quantization_config` of config.json says, to be appended.
        method: String,
    },
    /// Weights that were saved under a wrapper of the model.
    #[error(
        "{path}: every name begins with \"{prefix}\": the weights were saved under {wrapper}; save those of the model inside (model.module.save_pretrained, after torch.compile model._orig_mod.save_pretrained), or take the prefix off the names"
    )]
    Wrapped {
        /// The weights.
        path: PathBuf,
        /// What the names begin with.
        prefix: &'static str,
        /// What adds it.
        wrapper: &'static str,
    },
    /// A file that cannot be read as what its name says.
    #[error("{path} cannot be read: {reason}; it may be damaged or truncated: fetch it again")]
    BrokenFile {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A pickle that names a callable which no weights need.
    #[error(
        "{path} names {callable}, which no weights need: it could run code when unpickled; use a safetensors version of the model or a file you trust"
    )]
    ForbiddenCall {
        /// The file.
        path: PathBuf,
        /// Its module and name.
        callable: String,
    },
    /// An index names files that are not there.
    #[error("{index} names shards that are missing: {missing}; fetch them into the same folder")]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The missing files.
        missing: String,
    },
    /// A configuration that contradicts itself or cannot be parsed.
    #[error("config.json: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// A switch that transformers honours and this crate does not.
    #[error("config.json: {field} = {value} is not supported; the numbers would be wrong without it")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A family that the registry does not know.
    #[error("config.json: model_type = \"{model_type}\" is not a known family; known: {known}")]
    UnknownFamily {
        /// As written in the file.
        model_type: String,
        /// The families there are.
        known: String,
    },
    /// A family that is added under a name that the registry has.
    #[error("the family `{model_type}` is registered already; give yours another model_type")]
    FamilyTwice {
        /// Its name.
        model_type: &'static str,
    },
    /// A head that transformers does not have for a family.
    #[error("{family} has no head for {task}; its heads: {known}")]
    NoHead {
        /// The family.
        family: String,
        /// What the head should be for.
        task: String,
        /// The classes there are.
        known: String,
    },
    /// The checkpoint and the configuration disagree.
    #[error("{path} does not fit its config.json:\n{misfits}")]
    Misfit {
        /// The weights.
        path: PathBuf,
        /// Every disagreement.
        misfits: Misfits,
    },
    /// A parameter without a row in the weight map, so that it could not be saved.
    #[error("parameter {path} has no row in the weight map, so it cannot be written; add one")]
    Unmapped {
        /// Its path.
        path: String,
    },
    /// A setting that cannot be, or that contradicts another.
    #[error("{setting} = {value}: {reason}")]
    Setting {
        /// Hugging Face's name of it.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting of text generation that transformers honours and this crate does not.
    #[error(
        "generation_config.json: {setting} = {value} is not supported; without it the text would be different. Remove it to generate anyway"
    )]
    UnsupportedSetting {
        /// Hugging Face's name of it.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// A setting next to a model that has a value which it cannot have.
    #[error("{path}: {setting} = {value}: {reason}; correct or remove it")]
    BadSetting {
        /// The file.
        path: PathBuf,
        /// Hugging Face's name of it.
        setting: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model that writes no text.
    #[error(
        "{architecture} has no language-model head, so it cannot generate text; classes of this family that can: {known}"
    )]
    NoGenerator {
        /// The class that config.json names, or the family where it names none.
        architecture: String,
        /// The classes that write text.
        known: String,
    },
    /// A prompt without a token.
    #[error("prompt {prompt} has no tokens; give one at least, such as the token that opens a text")]
    EmptyPrompt {
        /// Its number, from 1.
        prompt: usize,
    },
    /// A prompt with a token that the model does not embed.
    #[error("prompt {prompt} has the token id {id}, but the model embeds {vocab_size} tokens")]
    UnknownToken {
        /// Its number, from 1.
        prompt: usize,
        /// The token.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
    /// A prompt that, with what is to follow, does not fit the model's positions.
    #[error(
        "prompt {prompt} has {tokens} tokens and {new} new ones are asked for, but the model has {max_positions} positions; shorten the prompt or lower max_new_tokens"
    )]
    PromptTooLong {
        /// Its number, from 1.
        prompt: usize,
        /// Tokens of the prompt.
        tokens: usize,
        /// New tokens that are asked for.
        new: usize,
        /// Positions that there are.
        max_positions: usize,
    },
    /// A model whose scores are NaN or infinite.
    #[error(
        "the model's scores for prompt {prompt} are not finite: its weights are damaged, or too large for the precision"
    )]
    NotFinite {
        /// The prompt's number, from 1.
        prompt: usize,
    },
    /// No token can follow.
    #[error("no token can follow prompt {prompt}: {reason}")]
    NoNextToken {
        /// Its number, from 1.
        prompt: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A file that cannot be written.
    #[error("{path} cannot be written: {reason}; nothing was left there: make room or choose another folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Every disagreement between a checkpoint and a configuration, listed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Parameters that no stored tensor fills.
    pub missing: Vec<String>,
    /// Stored tensors that no parameter needs.
    pub unexpected: Vec<String>,
    /// Stored tensors of another shape: name, shape in the file, shape wanted.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfits {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshapen.is_empty()
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Lines of a kind; the others are counted.
        const SHOWN: usize = 32;
        for path in self.missing.iter().take(SHOWN) {
            writeln!(out, "  missing:    {path}")?;
        }
        more(out, self.missing.len().saturating_sub(SHOWN), "missing")?;
        for name in self.unexpected.iter().take(SHOWN) {
            writeln!(out, "  unexpected: {name}")?;
        }
        more(out, self.unexpected.len().saturating_sub(SHOWN), "unexpected")?;
        for (name, found, wanted) in self.misshapen.iter().take(SHOWN) {
            writeln!(out, "  shape:      {name} is {found:?} in the file, {wanted:?} by the configuration")?;
        }
        more(out, self.misshapen.len().saturating_sub(SHOWN), "of another shape")?;
        write!(out, "use the config.json and the weights of one and the same model")
    }
}

fn more(out: &mut fmt::Formatter<'_>, count: usize, what: &str) -> fmt::Result {
    if count > 0 { writeln!(out, "  ... and {count} more {what}") } else { Ok(()) }
}
