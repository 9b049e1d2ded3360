/// What can go wrong when deciding what trains.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A strategy that cannot be read.
    #[error(
        "strategy \"{given}\" {reason}; use all, head, last:K, embeddings, freeze-embeddings or pattern:REGEX[,REGEX]"
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
}
