//! The errors of this crate.

use std::path::PathBuf;

use temper_models::ModelError;

use crate::strategy::FORMS;

/// What can go wrong when deciding what trains, and with the output of frozen layers.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A strategy that cannot be read.
    #[error("strategy \"{given}\" {reason}; use {FORMS}")]
    Strategy {
        /// As given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A strategy file that cannot be read.
    #[error("strategy file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that the model does not have.
    #[error("{strategy} asks for more layers than the model's {available}{}; use all or smaller numbers", counted(*available))]
    TooManyLayers {
        /// The strategy.
        strategy: String,
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
    /// A rate per layer that is no share.
    #[error("layer decay {given} is not above 0 and at most 1")]
    LayerDecay {
        /// As given.
        given: f64,
    },
    /// Adapters that nothing names.
    #[error("no linear map is named for the adapters; name some, such as query,value, or all-linear")]
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
    #[error("target \"{target}\" is not a regex: {reason}")]
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
    /// An adapter that cannot be honoured, or that does not fit its model, with every reason.
    #[error("{path}:{}", listed(problems))]
    AdapterMisfit {
        /// The file.
        path: PathBuf,
        /// What is wrong, a line each.
        problems: Vec<String>,
    },
    /// A model's parameters could not be read or written.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The kept output of frozen layers is not what they give now.
    #[error(
        "the cached output of the lowest {depth} layers differs by {difference:e} from a recomputed one, more than {tolerance:e}: a parameter or dropout below changes it"
    )]
    StaleTrunk {
        /// Number of layers.
        depth: usize,
        /// The largest difference, relative to the largest value or 1.
        difference: f64,
        /// The largest one allowed.
        tolerance: f64,
    },
}

/// The first lines, and how many follow.
fn listed(lines: &[String]) -> String {
    const MOST: usize = 20;
    let mut text: String = lines.iter().take(MOST).map(|line| format!("\n  {line}")).collect();
    if lines.len() > MOST {
        text += &format!("\n  and {} more", lines.len() - MOST);
    }
    text
}

fn counted(available: usize) -> String {
    match available {
        0 => String::new(),
        count => format!(" (0 to {})", count - 1),
    }
}
