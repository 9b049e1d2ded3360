//! An epoch's order: a shuffle, steps of a fixed number of examples, and micro-batches within a
//! budget of tokens.

use super::shuffle::{epoch_generator, shuffle};

/// How an epoch is cut. Zeros count as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// Examples between two updates of the weights.
    pub examples_per_step: usize,
    /// Tokens of a micro-batch at most; a single longer example still makes one.
    pub tokens_per_batch: usize,
    /// Micro-batches of a step at least; a step has a multiple of this, unless it has fewer examples.
    pub min_micro_batches: usize,
    /// True if the order differs between epochs.
    pub shuffle: bool,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self { examples_per_step: 32, tokens_per_batch: 4096, min_micro_batches: 1, shuffle: true }
    }
}

/// One update of the weights: micro-batches of indices into the lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The micro-batches, none of them empty.
    pub batches: Vec<Vec<usize>>,
}

impl Step {
    /// Examples in all micro-batches.
    pub fn examples(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}

/// Plans an epoch over examples of these lengths (in tokens).
///
/// Every example appears exactly once, every step but the last has `examples_per_step` of them,
/// and equal arguments give equal plans on every machine. The order is a plain shuffle: batches
/// have no padding, so nothing is gained by keeping like lengths together.
///
/// # Examples
/// ```
/// use temper_data::{BatchSettings, plan_epoch};
///
/// let settings = BatchSettings { examples_per_step: 2, ..BatchSettings::default() };
/// let steps = plan_epoch(&[5, 9, 7], &settings, 42, 0);
/// assert_eq!(steps.len(), 2);
/// ```
pub fn plan_epoch(lengths: &[u32], settings: &BatchSettings, seed: u64, epoch: u64) -> Vec<Step> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if settings.shuffle {
        shuffle(&mut order, &mut epoch_generator(seed, epoch));
    }
    order
        .chunks(settings.examples_per_step.max(1))
        .map(|examples| Step { batches: micro_batches(examples, lengths, settings) })
        .collect()
}

/// Plans an evaluation: longest first, so that a lack of memory shows in the first batch.
///
/// Returns batches of indices into `lengths` of at most `tokens_per_batch` tokens, or of one
/// example.
pub fn plan_evaluation(lengths: &[u32], tokens_per_batch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|example| std::cmp::Reverse(lengths[*example]));
    cut(&order, lengths, tokens_per_batch)
}

/// The micro-batches of a step, in the order of its examples.
fn micro_batches(examples: &[usize], lengths: &[u32], settings: &BatchSettings) -> Vec<Vec<usize>> {
    let (budget, multiple) = (settings.tokens_per_batch, settings.min_micro_batches.max(1));
    let batches = cut(examples, lengths, budget);
    let count = batches.len().next_multiple_of(multiple).min(examples.len());
    if batches.len() == count { batches } else { cut_evenly(examples, lengths, budget, count) }
}

/// Cuts a row of examples into `count` batches within the budget, whose longest is as short as can be.
fn cut_evenly(examples: &[usize], lengths: &[u32], budget: usize, count: usize) -> Vec<Vec<usize>> {
    // The more tokens a batch may have, the fewer batches.
    let (mut low, mut high) = (0, budget);
    while low < high {
        let middle = low.midpoint(high);
        if cut(examples, lengths, middle).len() > count {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut batches = cut(examples, lengths, low);
    let tokens = |batch: &[usize]| batch.iter().map(|&example| lengths[example] as usize).sum::<usize>();
    // Equal lengths may give fewer: the longest batches that can be are cut in two.
    while batches.len() < count {
        let divisible = (0..batches.len()).filter(|&place| batches[place].len() > 1);
        let Some(longest) = divisible.max_by_key(|&place| tokens(&batches[place])) else { break };
        let half = batches[longest].len() / 2;
        let last = batches[longest].split_off(half);
        batches.insert(longest + 1, last);
    }
    batches
}

/// Cuts a row of examples where the next one would exceed the budget.
fn cut(examples: &[usize], lengths: &[u32], budget: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for &example in examples {
        let length = lengths[example] as usize;
        match batches.last_mut() {
            Some(batch) if tokens + length <= budget => {
                batch.push(example);
                tokens += length;
            }
            _ => {
                batches.push(vec![example]);
                tokens = length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [u32; 10] = [5, 3, 9, 4, 7, 2, 8, 6, 3, 5];

    fn settings() -> BatchSettings {
        BatchSettings { examples_per_step: 3, tokens_per_batch: 14, min_micro_batches: 1, shuffle: true }
    }

    fn indices(steps: &[Step]) -> Vec<Vec<Vec<usize>>> {
        steps.iter().map(|step| step.batches.clone()).collect()
    }

    /// A change of this plan means that runs of earlier versions can no longer be repeated. The
    /// expected plan was computed apart, from the ChaCha specification and the rules above.
    #[test]
    fn the_plan_of_a_seed_never_changes() {
        let expected =
            vec![vec![vec![6, 3], vec![8]], vec![vec![9, 5], vec![2]], vec![vec![1, 7, 0]], vec![vec![4]]];
        assert_eq!(indices(&plan_epoch(&LENGTHS, &settings(), 42, 0)), expected);
    }

    #[test]
    fn without_shuffle_examples_keep_their_order() {
        let settings = BatchSettings { shuffle: false, ..settings() };
        let steps = plan_epoch(&LENGTHS, &settings, 42, 0);
        // Lengths 5 3 9, 4 7 2, 8 6 3 and 5; the third step fills its first batch to the last token.
        let expected =
            vec![vec![vec![0, 1], vec![2]], vec![vec![3, 4, 5]], vec![vec![6, 7], vec![8]], vec![vec![9]]];
        assert_eq!(indices(&steps), expected);
    }

    #[test]
    fn an_example_beyond_the_budget_makes_a_batch_of_its_own() {
        let settings = BatchSettings { tokens_per_batch: 8, shuffle: false, ..settings() };
        let steps = plan_epoch(&[5, 9, 3], &settings, 42, 0);
        assert_eq!(indices(&steps), vec![vec![vec![0], vec![1], vec![2]]]);
    }

    #[test]
    fn a_step_has_a_multiple_of_the_micro_batches_asked_for() {
        let step = |lengths: &[u32], tokens_per_batch, min_micro_batches| -> Vec<usize> {
            let settings = BatchSettings {
                examples_per_step: lengths.len(),
                tokens_per_batch,
                min_micro_batches,
                shuffle: false,
            };
            let batches = plan_epoch(lengths, &settings, 42, 0).remove(0).batches;
            assert!(batches.concat().into_iter().eq(0..lengths.len()), "{batches:?}");
            batches.iter().map(Vec::len).collect()
        };
        assert_eq!(step(&[10; 8], 1000, 1), [8]);
        assert_eq!(step(&[10; 8], 1000, 2), [4, 4]);
        assert_eq!(step(&[10; 8], 1000, 3), [3, 3, 2]);
        assert_eq!(step(&[10; 8], 30, 1), [3, 3, 2]);
        assert_eq!(step(&[10; 8], 30, 2), [2, 2, 2, 2]);
        assert_eq!(step(&[10; 8], 30, 3), [3, 3, 2]);
        assert_eq!(step(&[1, 1, 1, 7], 1000, 2), [3, 1]);
        assert_eq!(step(&[5, 5, 5, 5, 9, 1], 1000, 4), [2, 2, 1, 1], "one of three batches of ten is cut");
        assert_eq!(step(&[100, 1, 1, 1], 10, 4), [1, 1, 1, 1]);
        assert_eq!(step(&[10; 3], 1000, 7), [1, 1, 1], "a batch has an example");
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let plan = |seed, epoch| plan_epoch(&LENGTHS, &settings(), seed, epoch);
        assert_ne!(plan(42, 0), plan(42, 1));
        assert_ne!(plan(42, 0), plan(43, 0));
        assert_ne!(plan(0, 1), plan(1, 0));
    }

    #[test]
    fn an_evaluation_goes_from_long_to_short() {
        let batches = plan_evaluation(&LENGTHS, 16);
        let expected = vec![vec![2], vec![6, 4], vec![7, 0, 9], vec![3, 1, 8, 5]];
        assert_eq!(batches, expected);
    }

    #[test]
    fn zeros_in_the_settings_count_as_one() {
        let settings =
            BatchSettings { examples_per_step: 0, tokens_per_batch: 0, min_micro_batches: 0, ..settings() };
        let steps = plan_epoch(&LENGTHS, &settings, 42, 0);
        assert_eq!(steps.len(), LENGTHS.len());
        assert!(plan_epoch(&[], &settings, 42, 0).is_empty());
    }
}
