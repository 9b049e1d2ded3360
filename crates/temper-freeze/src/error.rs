/// What can go wrong when deciding what trains, and with what frozen layers made.
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
    /// The kept output of frozen layers is not what they give now.
    #[error(
        "the kept output of the lowest {depth} layers differs by {difference:e} from a fresh one, more than {tolerance:e}: something below changes or drops out"
    )]
    StaleTrunk {
        /// Number of layers.
        depth: usize,
        /// The largest difference, beside the largest value or 1.
        difference: f64,
        /// The largest one allowed.
        tolerance: f64,
    },
}
