use std::path::PathBuf;

use crate::strategy::FORMS;

/// What can go wrong when deciding what trains.
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
}

fn counted(available: usize) -> String {
    match available {
        0 => String::new(),
        count => format!(" (0 to {})", count - 1),
    }
}
