use std::path::PathBuf;

use temper_models::ModelError;

/// What can go wrong when deciding what trains.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A strategy that cannot be read.
    #[error(
        "strategy \"{given}\" {reason}; use all, head, last:K, embeddings, freeze-embeddings, lora or pattern:REGEX[,REGEX]"
    )]
    Strategy {
        /// As given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More layers than the model has.
    #[error("last:{asked} asks for more layers than the model's {available}; use all or a smaller number")]
    TooManyLayers {
        /// Layers asked for.
        asked: usize,
        /// Layers there are.
        available: usize,
    },
    /// A pattern that matches no parameter.
    #[error("pattern \"{pattern}\" matches no parameter; patterns must match whole paths, such as {example}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// A path of this model.
        example: String,
    },
    /// Adapters that nothing names.
    #[error("no linear map is named for adapters; name some, such as query,value, or all-linear")]
    NoTargets,
    /// A target that no linear map has.
    #[error(
        "no linear map is called \"{target}\"; the model's: {known}; or give a regex over whole paths, or all-linear"
    )]
    Target {
        /// As given.
        target: String,
        /// Names of the model's linear maps.
        known: String,
    },
    /// A target that is neither a name nor a regex.
    #[error("target \"{target}\" is no regex: {reason}")]
    TargetPattern {
        /// As given.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A model without adapters where some are needed.
    #[error("the model has no adapters; attach some first")]
    NoAdapters,
    /// A file of an adapter that cannot be used.
    #[error("{path}: {reason}")]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An adapter that is computed otherwise than LoRA.
    #[error("{path}: {field} = {value} is not supported; the numbers would be wrong without it")]
    UnsupportedAdapter {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A model's parameters could not be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
}
