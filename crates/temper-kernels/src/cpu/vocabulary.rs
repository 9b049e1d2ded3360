//! The map to a vocabulary and its softmax cross-entropy as one operation, in blocks of rows: the logits of all rows
//! never exist together.
//!
//! The idea is that of Liger Kernel (Hsu et al. 2024, `fused_linear_cross_entropy`): the loss is a sum, so that the
//! gradients of its inputs are known up to a factor when the logits of a block are there. Nothing is computed twice.

use super::cross_entropy::log_sum_exp_row;
use super::{
    Factor, FactorProduct, Finish, Matrix, Rounding, Start, TASK_ELEMENTS, buffer, exp, rows_per_task,
    run_tasks, sum_rows, tanh, vectorized, zeros,
};

/// Bytes of a block of logits: small compared with a model, and rows enough that a product with the vocabulary pays.
const BLOCK_BYTES: usize = 64 << 20;
/// Rows of a block at least.
const LEAST_ROWS: usize = 48;

/// The map from a hidden state to logits: `x W + b`.
#[derive(Clone, Copy, Debug)]
pub struct VocabularyMap<'a> {
    /// `[hidden, vocab]`, or `[vocab, hidden]` where it is the token embedding.
    pub weight: &'a [f32],
    /// Whether it is the latter.
    pub is_transposed: bool,
    /// `[vocab]`
    pub bias: Option<&'a [f32]>,
    /// Width of a hidden state.
    pub hidden: usize,
    /// Rows of the vocabulary.
    pub vocab: usize,
    /// Of the factors of its products.
    pub rounding: Rounding,
    /// Logits are `cap tanh(logit / cap)` (Gemma 2).
    pub soft_cap: Option<f32>,
}

/// Which gradients are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedGradients {
    /// That of the hidden states.
    pub x: bool,
    /// That of the weight.
    pub weight: bool,
    /// That of the bias.
    pub bias: bool,
}

/// What [`vocabulary_loss`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct VocabularyLoss {
    /// Loss of each row, 0 where there is no target, `[rows]`.
    pub losses: Vec<f32>,
    /// Where the target has the highest logit, of equal ones as the first, `[rows]`.
    pub hits: Vec<bool>,
    /// Gradient of the summed losses by x, `[rows, hidden]`; empty where it is not wanted, as are the next.
    pub x: Vec<f32>,
    /// By the weight in its own layout.
    pub weight: Vec<f32>,
    /// By the bias, `[vocab]`.
    pub bias: Vec<f32>,
}

impl VocabularyMap<'_> {
    /// `[hidden, vocab]`
    fn matrix(&self) -> Matrix<'_> {
        match self.is_transposed {
            false => Matrix::new(self.weight, self.vocab),
            true => Matrix::transposed(self.weight, self.hidden),
        }
    }

    /// `[vocab, hidden]`
    fn transpose(&self) -> Matrix<'_> {
        match self.is_transposed {
            false => Matrix::transposed(self.weight, self.vocab),
            true => Matrix::new(self.weight, self.hidden),
        }
    }

    /// Adds `xᵀ slopes` to a gradient of the weight.
    fn add_gradient(&self, x: &[f32], slopes: &[f32], gradient: &mut [f32]) {
        let (rows, hidden, vocab) = (slopes.len() / self.vocab, self.hidden, self.vocab);
        let (sizes, left, right) = match self.is_transposed {
            false => ([hidden, rows, vocab], Matrix::transposed(x, hidden), Matrix::new(slopes, vocab)),
            true => ([vocab, rows, hidden], Matrix::transposed(slopes, vocab), Matrix::new(x, hidden)),
        };
        self.multiply(sizes, (left, right), Start::Add, gradient);
    }

    fn multiply(
        &self,
        sizes: [usize; 3],
        (left, right): (Matrix<'_>, Matrix<'_>),
        start: Start<'_>,
        out: &mut [f32],
    ) {
        let [left, right] = [left, right].map(Factor::F32);
        FactorProduct { sizes, left, right, rounding: self.rounding }.compute(start, Finish::Plain, out);
    }
}

/// The loss of every row, and the gradients of their sum. Rows without a target cost nothing.
///
/// With a smoothing of `s`, a target is a distribution: `1 - s` for its class and `s` spread evenly over all classes, as
/// in `torch.nn.CrossEntropyLoss`.
///
/// # Shapes
/// - `x`: `[rows, hidden]`, `targets`: `[rows]`, a row of the vocabulary or `None`
///
/// # Panics
/// On a target outside the vocabulary.
pub fn vocabulary_loss(
    x: &[f32],
    map: &VocabularyMap<'_>,
    targets: &[Option<usize>],
    smoothing: f32,
    wanted: WantedGradients,
) -> VocabularyLoss {
    let VocabularyMap { hidden, vocab, .. } = *map;
    assert_eq!(x.len(), targets.len() * hidden, "vocabulary loss: x is not a row for each target");
    let rows: Vec<(usize, usize)> =
        targets.iter().enumerate().filter_map(|(row, target)| Some((row, (*target)?))).collect();
    if let Some((_, outside)) = rows.iter().find(|(_, target)| *target >= vocab) {
        panic!("target {outside} is outside the vocabulary of {vocab}");
    }
    let mut found = VocabularyLoss {
        losses: vec![0.0; targets.len()],
        hits: vec![false; targets.len()],
        x: if wanted.x { zeros(x.len()) } else { Vec::new() },
        weight: if wanted.weight { zeros(map.weight.len()) } else { Vec::new() },
        bias: if wanted.bias { zeros(vocab) } else { Vec::new() },
    };
    let block_rows = (BLOCK_BYTES / 4 / vocab.max(1)).max(LEAST_ROWS);
    rows.chunks(block_rows).for_each(|block| add_block(x, map, block, smoothing, wanted, &mut found));
    found
}

/// Adds the rows of a block, each with its target.
fn add_block(
    x: &[f32],
    map: &VocabularyMap<'_>,
    block: &[(usize, usize)],
    smoothing: f32,
    wanted: WantedGradients,
    found: &mut VocabularyLoss,
) {
    let VocabularyMap { hidden, vocab, .. } = *map;
    let x: Vec<f32> = block.iter().flat_map(|&(row, _)| &x[row * hidden..][..hidden]).copied().collect();
    let start = map.bias.map_or(Start::Zero, Start::Row);
    let mut logits = buffer(block.len() * vocab, |logits| {
        map.multiply([block.len(), hidden, vocab], (Matrix::new(&x, hidden), map.matrix()), start, logits);
    });
    let needs_slopes = wanted != WantedGradients::default();
    let mut results = vec![(0.0, false); block.len()];
    let task_rows = rows_per_task(block.len(), vocab);
    let tasks = logits.chunks_mut(task_rows * vocab).zip(results.chunks_mut(task_rows));
    run_tasks(tasks.zip(block.chunks(task_rows)).collect(), |((logits, results), block)| {
        for ((logits, result), &(_, target)) in logits.chunks_exact_mut(vocab).zip(results).zip(block) {
            if let Some(cap) = map.soft_cap {
                cap_row(logits, cap);
            }
            *result = loss_of_row(logits, (target, smoothing), map.soft_cap, needs_slopes);
        }
    });
    for (&(row, _), (loss, is_hit)) in block.iter().zip(results) {
        (found.losses[row], found.hits[row]) = (loss, is_hit);
    }
    // From here on they are the slopes of the logits.
    let slopes = logits;
    if wanted.x {
        let of_block = buffer(block.len() * hidden, |out| {
            let left = Matrix::new(&slopes, vocab);
            map.multiply([block.len(), vocab, hidden], (left, map.transpose()), Start::Zero, out);
        });
        for (&(row, _), gradient) in block.iter().zip(of_block.chunks_exact(hidden)) {
            found.x[row * hidden..][..hidden].copy_from_slice(gradient);
        }
    }
    if wanted.weight {
        map.add_gradient(&x, &slopes, &mut found.weight);
    }
    if wanted.bias {
        let sums = sum_rows(&slopes, vocab);
        found.bias.iter_mut().zip(sums).for_each(|(sum, of_block)| *sum += of_block);
    }
}

fn cap_row(logits: &mut [f32], cap: f32) {
    vectorized(
        #[inline(always)]
        || logits.iter_mut().for_each(|logit| *logit = cap * tanh(*logit / cap)),
    );
}

/// The loss of a row, and whether its target has the highest logit; the slopes of the loss take the place of the logits
/// where they are wanted: by what was there before the cap.
fn loss_of_row(
    logits: &mut [f32],
    (target, smoothing): (usize, f32),
    soft_cap: Option<f32>,
    needs_slopes: bool,
) -> (f32, bool) {
    let log = log_sum_exp_row(logits);
    let of_target = logits[target];
    // Of equal logits the first is the best, as where a token is chosen.
    let (before, others) = logits.split_at(target);
    let is_hit =
        before.iter().all(|&logit| logit < of_target) && others.iter().all(|&logit| logit <= of_target);
    let mut loss = log - f64::from(of_target);
    if smoothing > 0.0 {
        let mean = logits.iter().map(|&logit| f64::from(logit)).sum::<f64>() / logits.len() as f64;
        loss = f64::from(1.0 - smoothing) * loss + f64::from(smoothing) * (log - mean);
    }
    if needs_slopes {
        let (log, everywhere) = (log as f32, smoothing / logits.len() as f32);
        // cap tanh(x / cap) has the slope 1 - tanh(x / cap)².
        let of_cap = soft_cap.map_or(1.0, |cap| 1.0 - (of_target / cap).powi(2));
        match soft_cap {
            None => vectorized(
                #[inline(always)]
                || logits.iter_mut().for_each(|logit| *logit = exp(*logit - log) - everywhere),
            ),
            Some(cap) => vectorized(
                #[inline(always)]
                || {
                    logits.iter_mut().for_each(|logit| {
                        let share = *logit / cap;
                        *logit = (exp(*logit - log) - everywhere) * (1.0 - share * share);
                    });
                },
            ),
        }
        logits[target] -= (1.0 - smoothing) * of_cap;
    }
    (loss as f32, is_hit)
}

/// Multiplies all values by a factor.
pub fn scale(values: &mut [f32], factor: f32) {
    let scaled = |part: &mut [f32]| part.iter_mut().for_each(|value| *value *= factor);
    run_tasks(values.chunks_mut(TASK_ELEMENTS).collect(), scaled);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{cross_entropy, cross_entropy_backward};

    fn noise(len: usize, size: f32, seed: usize) -> Vec<f32> {
        (0..len).map(|i| (((i + seed) * 7919) % 10_007) as f32 / 5000.0 * size - size).collect()
    }

    /// The same of whole matrices, one operation after the other.
    fn composed(x: &[f32], map: &VocabularyMap<'_>, targets: &[Option<usize>]) -> VocabularyLoss {
        let VocabularyMap { hidden, vocab, .. } = *map;
        let rows = targets.len();
        let start = map.bias.map_or(Start::Zero, Start::Row);
        let mut logits = vec![0.0; rows * vocab];
        map.multiply([rows, hidden, vocab], (Matrix::new(x, hidden), map.matrix()), start, &mut logits);
        let computed = cross_entropy(&logits, targets);
        let slopes = cross_entropy_backward(&logits, targets, &computed.log_sum_exp, &vec![1.0; rows]);
        let mut of_x = vec![0.0; x.len()];
        let of_slopes = (Matrix::new(&slopes, vocab), map.transpose());
        map.multiply([rows, vocab, hidden], of_slopes, Start::Zero, &mut of_x);
        let mut weight = vec![0.0; map.weight.len()];
        map.add_gradient(x, &slopes, &mut weight);
        let bias = sum_rows(&slopes, vocab);
        VocabularyLoss { losses: computed.losses, hits: Vec::new(), x: of_x, weight, bias }
    }

    fn assert_near(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= 3e-6 * largest, "{what} {place}: {found}, not {expected}");
        }
    }

    const ALL: WantedGradients = WantedGradients { x: true, weight: true, bias: true };

    /// A vocabulary so large that a block has 48 rows, so that there are several.
    #[test]
    fn blocks_give_what_whole_matrices_give() {
        for (rows, hidden, vocab) in [(1, 3, 2), (7, 5, 11), (100, 4, 350_001), (130, 8, 97)] {
            let (x, weight) = (noise(rows * hidden, 1.0, 1), noise(hidden * vocab, 0.5, 2));
            let bias = noise(vocab, 0.3, 3);
            let targets: Vec<Option<usize>> =
                (0..rows).map(|row| (row % 3 != 1).then_some(row * 31 % vocab)).collect();
            for is_transposed in [false, true] {
                let map = VocabularyMap {
                    weight: &weight,
                    is_transposed,
                    bias: Some(&bias),
                    hidden,
                    vocab,
                    rounding: Rounding::None,
                    soft_cap: None,
                };
                let found = vocabulary_loss(&x, &map, &targets, 0.0, ALL);
                let expected = composed(&x, &map, &targets);
                assert_near(&found.losses, &expected.losses, "loss");
                assert_near(&found.x, &expected.x, "x");
                assert_near(&found.weight, &expected.weight, "weight");
                assert_near(&found.bias, &expected.bias, "bias");
                let alone = vocabulary_loss(&x, &map, &targets, 0.0, WantedGradients::default());
                assert_eq!((alone.losses, alone.hits), (found.losses, found.hits));
                assert!(alone.x.is_empty() && alone.weight.is_empty() && alone.bias.is_empty());
            }
        }
    }

    /// `torch.nn.functional.cross_entropy(torch.tensor([[1., 2., 0.5]]), torch.tensor([0]), label_smoothing=0.3)` and
    /// its gradient, of torch 2.15.
    #[test]
    fn smoothing_is_that_of_pytorch() {
        let map = VocabularyMap {
            weight: &[1.0, 2.0, 0.5],
            is_transposed: false,
            bias: None,
            hidden: 1,
            vocab: 3,
            rounding: Rounding::None,
            soft_cap: None,
        };
        let found = vocabulary_loss(&[1.0], &map, &[Some(0)], 0.3, ALL);
        assert!((found.losses[0] - 1.414_368_9).abs() < 1e-6, "{}", found.losses[0]);
        for (found, expected) in found.weight.iter().zip([-0.568_776_1, 0.528_531_7, 0.040_244_4]) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
        assert_eq!(found.hits, [false]);
    }

    /// `z = 2 * tanh(torch.tensor([[1., 2., -0.5]]) * w / 2)` at `w = 1`, `cross_entropy(z, [0], label_smoothing=0.3)`, and
    /// the gradient by the logits before the cap, of torch 2.15.
    #[test]
    fn capped_logits_are_those_of_pytorch() {
        let map = VocabularyMap {
            weight: &[1.0, 2.0, -0.5],
            is_transposed: false,
            bias: None,
            hidden: 1,
            vocab: 3,
            rounding: Rounding::None,
            soft_cap: Some(2.0),
        };
        let found = vocabulary_loss(&[1.0], &map, &[Some(0)], 0.3, ALL);
        assert!((found.losses[0] - 1.201_025_7).abs() < 1e-6, "{}", found.losses[0]);
        for (found, expected) in found.weight.iter().zip([-0.372_431_43, 0.207_546_13, -0.019_388_85]) {
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }

    #[test]
    fn the_highest_logit_is_a_hit() {
        let weight = [0.0, 3.0, 1.0];
        let map = VocabularyMap {
            weight: &weight,
            is_transposed: true,
            bias: None,
            hidden: 1,
            vocab: 3,
            rounding: Rounding::None,
            soft_cap: None,
        };
        let targets = [Some(1), Some(2), None, Some(0), Some(0), Some(2)];
        // The last two rows have equal logits.
        let x = [1.0, 1.0, 1.0, -1.0, 0.0, 0.0];
        let found = vocabulary_loss(&x, &map, &targets, 0.0, WantedGradients::default());
        assert_eq!(found.hits, [true, false, false, true, true, false]);
        assert_eq!(found.losses[2], 0.0);
    }

    #[test]
    fn is_the_same_on_any_number_of_threads() {
        let (rows, hidden, vocab) = (120, 16, 1003);
        let (x, weight) = (noise(rows * hidden, 1.0, 1), noise(hidden * vocab, 0.5, 2));
        let targets: Vec<Option<usize>> = (0..rows).map(|row| Some(row * 31 % vocab)).collect();
        let map = VocabularyMap {
            weight: &weight,
            is_transposed: true,
            bias: None,
            hidden,
            vocab,
            rounding: Rounding::None,
            soft_cap: None,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| vocabulary_loss(&x, &map, &targets, 0.1, ALL))
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    #[should_panic(expected = "target 4 is outside the vocabulary of 4")]
    fn refuses_a_target_outside_the_vocabulary() {
        let map = VocabularyMap {
            weight: &[0.0; 4],
            is_transposed: false,
            bias: None,
            hidden: 1,
            vocab: 4,
            rounding: Rounding::None,
            soft_cap: None,
        };
        vocabulary_loss(&[0.0; 2], &map, &[Some(3), Some(4)], 0.0, ALL);
    }
}
