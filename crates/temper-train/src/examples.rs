//! Features, the form in which a model reads examples: token ids with their targets, by split.

use std::sync::Arc;

use temper_data::EncodedSet;

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Training examples.
    Train,
    /// Chooses the best checkpoint.
    Validation,
    /// Its scores are reported.
    Test,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

/// What a model should predict for a feature. Its meaning depends on the task.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Unknown: the feature is only predicted.
    Unknown,
    /// Ids, such as one label, or one for each token.
    Ids(Vec<i32>),
    /// Numbers, such as one for each output.
    Values(Vec<f32>),
    /// Tokens of which some are masked.
    Masked(MaskedTarget),
}

/// The tokens of a feature of which some are masked and predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedTarget {
    /// The id of each token that is predicted or, before any is masked, that may be; negative for the others.
    pub ids: Vec<i32>,
    /// Whether each token is of the same word as the previous one.
    pub continues: Vec<bool>,
    /// Whether the second text of a pair follows the first, where that is predicted, too.
    pub follows: Option<bool>,
}

impl Target {
    /// Its ids; none of another target.
    pub fn ids(&self) -> &[i32] {
        match self {
            Self::Ids(ids) | Self::Masked(MaskedTarget { ids, .. }) => ids,
            _ => &[],
        }
    }

    /// Its numbers; none of another target.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Values(values) => values,
            _ => &[],
        }
    }
}

/// The features of a split. An example has one or, where it is spread over windows, several, one after the other.
#[derive(Clone, Debug)]
pub struct Features {
    /// Token ids of each feature.
    pub encoded: Arc<EncodedSet>,
    /// Target of each feature.
    pub targets: Arc<Vec<Target>>,
    /// The weight of each feature's loss in the mean of a step: the number of its targets, or the sum of their weights.
    pub weights: Arc<Vec<f64>>,
    /// The example that each feature belongs to, ascending.
    pub examples: Arc<Vec<usize>>,
    /// Tokens that a decoder reads for each feature; none for models without one.
    pub decoder_lengths: Option<Arc<Vec<u32>>>,
}

impl Features {
    /// A feature for each example, with one target each.
    pub fn one_each(encoded: EncodedSet, targets: Vec<Target>) -> Self {
        let count = encoded.items.len();
        Self {
            encoded: Arc::new(encoded),
            targets: Arc::new(targets),
            weights: Arc::new(vec![1.0; count]),
            examples: Arc::new((0..count).collect()),
            decoder_lengths: None,
        }
    }

    /// The same features, with the number of tokens that a decoder reads for each.
    pub fn with_decoder(self, lengths: Vec<u32>) -> Self {
        Self { decoder_lengths: Some(Arc::new(lengths)), ..self }
    }

    /// A feature for each example, without targets.
    pub fn unlabelled(encoded: EncodedSet) -> Self {
        let targets = vec![Target::Unknown; encoded.items.len()];
        Self::one_each(encoded, targets)
    }

    /// The same features, with the weights of their losses.
    pub fn weighted(self, weights: Vec<f64>) -> Self {
        Self { weights: Arc::new(weights), ..self }
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Number of examples.
    pub fn example_count(&self) -> usize {
        self.examples.last().map_or(0, |last| last + 1)
    }

    /// Tokens of each feature, those of a decoder included.
    pub fn lengths(&self) -> Vec<u32> {
        let lengths = self.encoded.lengths();
        match &self.decoder_lengths {
            None => lengths,
            Some(decoder) => {
                lengths.into_iter().zip(decoder.iter()).map(|(length, more)| length + more).collect()
            }
        }
    }

    /// The weights of some features together. 1 where none of them has a target: their loss is 0.
    pub fn weight(&self, features: impl Iterator<Item = usize>) -> f64 {
        let sum: f64 = features.map(|feature| self.weights[feature]).sum();
        if sum > 0.0 { sum } else { 1.0 }
    }

    /// The first features, `count` at most.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        let items = self.encoded.items[..count].to_vec();
        Self {
            encoded: Arc::new(EncodedSet::new(items, self.encoded.from_cache)),
            targets: Arc::new(self.targets[..count].to_vec()),
            weights: Arc::new(self.weights[..count].to_vec()),
            examples: Arc::new(self.examples[..count].to_vec()),
            decoder_lengths: self.decoder_lengths.as_ref().map(|lengths| Arc::new(lengths[..count].to_vec())),
        }
    }
}

/// Which rows a token budget keeps, evenly over the whole file: only the first rows would miss a label if a file is
/// sorted by label. All of them without a budget, or with a large enough one.
pub(crate) fn within_budget(tokens: usize, rows: usize, budget: Option<usize>) -> Vec<bool> {
    let Some(budget) = budget.filter(|&budget| budget < tokens) else { return vec![true; rows] };
    let share = budget as f64 / tokens as f64;
    // Row i is taken where the running count of i * share reaches a new whole number.
    (0..rows).map(|row| ((row + 1) as f64 * share) as usize > (row as f64 * share) as usize).collect()
}

/// Tokens of a whole training split, estimated from the rows of it that were encoded.
pub(crate) fn full_train_tokens(encoded: &EncodedSet, rows: usize, full_rows: usize) -> usize {
    let mean = encoded.tokens_total as f64 / rows.max(1) as f64;
    (mean * full_rows as f64) as usize
}

#[cfg(test)]
mod tests {
    use temper_data::Encoded;

    use super::*;

    #[test]
    fn a_token_budget_thins_out_the_whole_file() {
        let kept = within_budget(1000, 100, Some(200));
        assert_eq!(kept.iter().filter(|&&kept| kept).count(), 20);
        assert_eq!(kept[..50].iter().filter(|&&kept| kept).count(), 10);
        assert_eq!(within_budget(1000, 3, Some(1000)), [true; 3]);
        assert_eq!(within_budget(1000, 3, None), [true; 3]);
    }

    #[test]
    fn features_without_a_target_weigh_nothing() {
        let item = Encoded { ids: vec![1], type_ids: vec![0], tokens_lost: 0, lost_is_estimate: false };
        let encoded = EncodedSet::new(vec![item; 3], false);
        let features = Features { weights: Arc::new(vec![2.0, 0.0, 0.5]), ..Features::unlabelled(encoded) };
        assert_eq!(features.weight([0, 1, 2].into_iter()), 2.5);
        assert_eq!(features.weight([1].into_iter()), 1.0);
        assert_eq!((features.len(), features.example_count(), features.first(2).len()), (3, 3, 2));
    }
}
