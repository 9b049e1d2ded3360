//! A dataset, encoded for a task.

use temper_data::{ColumnNames, DataReport, EncodedSet};
use temper_hub::Resolved;

use crate::tasks::Task;
use crate::training::Examples;

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// What a run trains on.
    Train,
    /// What chooses the best checkpoint.
    Validation,
    /// What is reported.
    Test,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

/// A split's texts and their encoded examples.
#[derive(Clone, Debug)]
pub struct SplitSet<T: Task> {
    /// Each example in words; the two texts of a pair with a TAB between.
    pub texts: Vec<String>,
    /// As the model takes them.
    pub examples: Examples<T>,
}

/// A dataset's splits; those that were not asked for are empty.
#[derive(Clone, Debug)]
pub struct Splits<T: Task> {
    /// The dataset's name (the stand-in's, where one was used), or its path.
    pub name: String,
    /// Where the files came from, unless a path was given.
    pub resolved: Option<Resolved>,
    /// The columns that were read.
    pub columns: ColumnNames,
    /// To train on.
    pub train: SplitSet<T>,
    /// To choose by.
    pub validation: SplitSet<T>,
    /// To report.
    pub test: SplitSet<T>,
    /// Tokens of the whole training split, before any limit, estimated from the part that was
    /// encoded.
    pub full_train_tokens: usize,
    /// The dataset as the run sees it.
    pub report: DataReport,
}

impl<T: Task> Splits<T> {
    /// One of the splits.
    pub fn split(&self, split: Split) -> &SplitSet<T> {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }
}

/// Keeps as many rows as a token budget allows, evenly over the whole file: the first rows alone
/// would leave a label out where a file is sorted by label.
pub(crate) fn thin_out<R>(rows: Vec<R>, encoded: EncodedSet, budget: Option<usize>) -> (Vec<R>, EncodedSet) {
    let total: usize = encoded.lengths().iter().map(|&length| length as usize).sum();
    let Some(budget) = budget.filter(|&budget| budget < total) else { return (rows, encoded) };
    let share = budget as f64 / total as f64;
    // Row i is taken where the running count of i * share reaches a new whole number.
    let taken = |row: usize| ((row + 1) as f64 * share) as usize > (row as f64 * share) as usize;
    let numbered = rows.into_iter().zip(encoded.items).enumerate();
    let (rows, items) = numbered.filter(|(row, _)| taken(*row)).map(|(_, pair)| pair).unzip();
    (rows, EncodedSet::new(items, encoded.from_cache))
}

#[cfg(test)]
mod tests {
    use temper_data::Encoded;

    use super::*;

    #[test]
    fn a_token_budget_thins_out_the_whole_file() {
        let rows: Vec<usize> = (0..100).collect();
        let items =
            vec![
                Encoded { ids: vec![1; 10], type_ids: vec![0; 10], tokens_lost: 0, lost_is_estimate: false };
                100
            ];
        let (kept, encoded) = thin_out(rows, EncodedSet::new(items, false), Some(200));
        assert_eq!((kept.len(), encoded.items.len()), (20, 20));
        assert_eq!(kept.iter().filter(|&&row| row < 50).count(), 10);
    }
}
