//! An epoch's order: steps of a fixed number of examples, cut into micro-batches by a budget of
//! tokens, with rows of like length together so that little is padding.

use super::Padding;
use super::shuffle::{epoch_generator, shuffle};

/// How an epoch is cut. Zeros count as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// Examples between two updates of the weights.
    pub examples_per_step: usize,
    /// Tokens of a micro-batch at most, padding included; a single longer row still makes one.
    pub tokens_per_batch: usize,
    /// Steps whose examples are sorted by length together. More steps, less padding; fewer
    /// steps, closer to a plain shuffle.
    pub window_steps: usize,
    /// How rows are filled up. With a fixed length nothing is sorted.
    pub padding: Padding,
    /// Whether epochs differ in order.
    pub shuffle: bool,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            examples_per_step: 32,
            tokens_per_batch: 4096,
            window_steps: 50,
            padding: Padding::Longest,
            shuffle: true,
        }
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
/// and equal arguments give equal plans on every machine. The examples of a short last step are
/// those that the shuffle put last, whatever their length.
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
    let step = settings.examples_per_step.max(1);
    let window = step.saturating_mul(settings.window_steps.max(1));
    let mut generator = epoch_generator(seed, epoch);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if settings.shuffle {
        shuffle(&mut order, &mut generator);
    }
    let rest = order.split_off(order.len() - order.len() % step);
    let mut steps = Vec::with_capacity(lengths.len().div_ceil(step));
    for examples in order.chunks(window) {
        let mut planned = plan_window(examples, step, lengths, settings);
        if settings.shuffle && settings.padding == Padding::Longest {
            // Without this, training would go from short texts to long ones in every window.
            shuffle(&mut planned, &mut generator);
        }
        steps.append(&mut planned);
    }
    steps.append(&mut plan_window(&rest, step, lengths, settings));
    steps
}

fn plan_window(examples: &[usize], step: usize, lengths: &[u32], settings: &BatchSettings) -> Vec<Step> {
    let mut examples = examples.to_vec();
    if settings.padding == Padding::Longest {
        examples.sort_by_key(|example| lengths[*example]);
    }
    examples
        .chunks(step)
        .map(|examples| Step { batches: cut(examples, lengths, settings.tokens_per_batch, settings.padding) })
        .collect()
}

/// Plans an evaluation: longest first, so that a lack of memory shows in the first batch.
///
/// Returns batches of indices into `lengths` of at most `tokens_per_batch` padded tokens, or of
/// one row.
pub fn plan_evaluation(lengths: &[u32], tokens_per_batch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|example| std::cmp::Reverse(lengths[*example]));
    cut(&order, lengths, tokens_per_batch, Padding::Longest)
}

/// Cuts a row of examples where the next one would exceed the budget.
fn cut(examples: &[usize], lengths: &[u32], budget: usize, padding: Padding) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for example in examples {
        let length = lengths[*example] as usize;
        let widened = longest.max(length);
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * padding.width(widened) <= budget => {
                batch.push(*example);
                longest = widened;
            }
            _ => {
                batches.push(vec![*example]);
                longest = length;
            }
        }
    }
    batches
}

/// Percent of an epoch's tokens that is padding.
pub fn padding_percent(steps: &[Step], lengths: &[u32], padding: Padding) -> f64 {
    let mut real = 0;
    let mut padded = 0;
    for batch in steps.iter().flat_map(|step| &step.batches) {
        let row_lengths = || batch.iter().map(|example| lengths[*example] as usize);
        real += row_lengths().sum::<usize>();
        padded += batch.len() * padding.width(row_lengths().max().unwrap_or(0));
    }
    if padded == 0 {
        return 0.0;
    }
    100.0 * (padded - real) as f64 / padded as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [u32; 10] = [5, 3, 9, 4, 7, 2, 8, 6, 3, 5];

    fn settings() -> BatchSettings {
        BatchSettings {
            examples_per_step: 3,
            tokens_per_batch: 14,
            window_steps: 2,
            padding: Padding::Longest,
            shuffle: true,
        }
    }

    fn indices(steps: &[Step]) -> Vec<Vec<Vec<usize>>> {
        steps.iter().map(|step| step.batches.clone()).collect()
    }

    /// A change of this plan means that runs of earlier versions can no longer be repeated. The
    /// expected plan was computed apart, from the ChaCha specification and the rules above.
    #[test]
    fn the_plan_of_a_seed_never_changes() {
        let expected = vec![
            vec![vec![5, 8, 3]],
            vec![vec![9], vec![6], vec![2]],
            vec![vec![1, 0], vec![7]],
            vec![vec![4]],
        ];
        assert_eq!(indices(&plan_epoch(&LENGTHS, &settings(), 42, 0)), expected);
    }

    #[test]
    fn without_shuffle_windows_are_sorted_by_length_and_ties_keep_their_order() {
        let settings = BatchSettings { shuffle: false, ..settings() };
        let steps = plan_epoch(&LENGTHS, &settings, 42, 0);
        // Windows: examples 0-5 (lengths 5 3 9 4 7 2), then 6-8 (8 6 3), then the rest.
        let expected =
            vec![vec![vec![5, 1, 3]], vec![vec![0, 4], vec![2]], vec![vec![8, 7], vec![6]], vec![vec![9]]];
        assert_eq!(indices(&steps), expected);
    }

    #[test]
    fn a_fixed_length_is_shuffled_but_not_sorted() {
        let settings = BatchSettings {
            padding: Padding::MaxLength(10),
            tokens_per_batch: 20,
            shuffle: false,
            ..settings()
        };
        let steps = plan_epoch(&LENGTHS[..5], &settings, 42, 0);
        assert_eq!(indices(&steps), vec![vec![vec![0, 1], vec![2]], vec![vec![3, 4]]]);
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
        let expected = vec![vec![2], vec![6, 4], vec![7, 0], vec![9, 3, 1], vec![8, 5]];
        assert_eq!(batches, expected);
    }

    #[test]
    fn padding_is_counted_against_the_padded_size() {
        let steps = [Step { batches: vec![vec![0, 1], vec![2]] }];
        // 2 x 5 with 8 real tokens, 1 x 9.
        let percent = padding_percent(&steps, &LENGTHS, Padding::Longest);
        assert!((percent - 100.0 * 2.0 / 19.0).abs() < 1e-12);
        let percent = padding_percent(&steps, &LENGTHS, Padding::MaxLength(10));
        assert!((percent - 100.0 * 13.0 / 30.0).abs() < 1e-12);
        assert_eq!(padding_percent(&[], &LENGTHS, Padding::Longest), 0.0);
    }

    #[test]
    fn zeros_in_the_settings_count_as_one() {
        let settings =
            BatchSettings { examples_per_step: 0, tokens_per_batch: 0, window_steps: 0, ..settings() };
        let steps = plan_epoch(&LENGTHS, &settings, 42, 0);
        assert_eq!(steps.len(), LENGTHS.len());
        assert!(plan_epoch(&[], &settings, 42, 0).is_empty());
    }
}
