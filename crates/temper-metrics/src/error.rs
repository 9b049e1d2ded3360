//! Errors in what is scored.

/// What can be wrong with values that are to be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// Two lists that should go together and do not.
    #[error("{what}: {truth} true values but {predicted} predicted ones; give one for each")]
    Lengths {
        /// What is scored, such as "labels of example 3".
        what: String,
        /// Length of the true list.
        truth: usize,
        /// Length of the predicted list.
        predicted: usize,
    },
    /// Nothing to score.
    #[error("there are no examples to score; give at least one")]
    NoExamples,
    /// A value that no metric is defined for.
    #[error("{what} is {value}, which is not a finite number; leave out the example or fix the model")]
    NotFinite {
        /// Which value, such as "prediction 3".
        what: String,
        /// The value.
        value: f64,
    },
    /// A probability that is none.
    #[error("{what} is {value}, which is not between 0 and 1; give probabilities, not logits")]
    NotProbability {
        /// Which value, such as "the confidence of example 3".
        what: String,
        /// The value.
        value: f64,
    },
}
