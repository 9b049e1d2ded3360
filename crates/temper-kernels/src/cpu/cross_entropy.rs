//! Softmax cross-entropy over rows of logits.

use super::{buffer, exp, lane_sum, rows_per_task, run_tasks, vectorized};

/// Logits that are read once from memory and then twice more from the first-level cache.
const BLOCK: usize = 2048;

/// What [`cross_entropy`] returns.
#[derive(Debug)]
pub struct CrossEntropy {
    /// `-ln softmax(logits)[target]` of each row, zero where there is no target, `[rows]`.
    pub losses: Vec<f32>,
    /// `ln Σ exp(logits)` of each row, which backward needs, `[rows]`; zero where there is no target.
    pub log_sum_exp: Vec<f32>,
}

/// The loss of every row; rows without a target cost nothing.
///
/// # Shapes
/// - `logits`: `[rows, classes]`
/// - `targets`: `[rows]`, a class or `None`
///
/// # Panics
/// On a target outside the classes.
pub fn cross_entropy(logits: &[f32], targets: &[Option<usize>]) -> CrossEntropy {
    let classes = classes(logits, targets);
    let mut losses = vec![0.0; targets.len()];
    let mut log_sum_exp = vec![0.0; targets.len()];
    if classes > 0 {
        let task_rows = rows_per_task(targets.len(), classes);
        let results = losses.chunks_mut(task_rows).zip(log_sum_exp.chunks_mut(task_rows));
        let inputs = logits.chunks(task_rows * classes).zip(targets.chunks(task_rows));
        run_tasks(inputs.zip(results).collect(), |((logits, targets), (losses, log_sum_exp))| {
            for (row, &target) in targets.iter().enumerate() {
                if let Some(target) = target {
                    let logits = &logits[row * classes..][..classes];
                    let log = log_sum_exp_row(logits);
                    log_sum_exp[row] = log as f32;
                    losses[row] = (log - f64::from(logits[target])) as f32;
                }
            }
        });
    }
    CrossEntropy { losses, log_sum_exp }
}

/// The gradient of `Σ weights losses`: `weight (softmax(logits) - onehot(target))` in each row, zero
/// where there is no target.
///
/// # Shapes
/// - `logits`, output: `[rows, classes]`
/// - `targets`, `log_sum_exp`, `weights`: `[rows]`
///
/// # Panics
/// On a target outside the classes.
pub fn cross_entropy_backward(
    logits: &[f32],
    targets: &[Option<usize>],
    log_sum_exp: &[f32],
    weights: &[f32],
) -> Vec<f32> {
    let classes = classes(logits, targets);
    let rows = targets.len();
    assert!(log_sum_exp.len() == rows && weights.len() == rows, "cross-entropy: numbers of rows differ");
    if classes == 0 {
        return Vec::new();
    }
    let task_rows = rows_per_task(rows, classes);
    buffer(logits.len(), |gradient| {
        run_tasks(gradient.chunks_mut(task_rows * classes).enumerate().collect(), |(task, gradient)| {
            for (row, gradient) in gradient.chunks_exact_mut(classes).enumerate() {
                let row = task * task_rows + row;
                match targets[row] {
                    Some(target) => {
                        let logits = &logits[row * classes..][..classes];
                        gradient_row(logits, log_sum_exp[row], weights[row], gradient);
                        gradient[target] -= weights[row];
                    }
                    None => gradient.fill(0.0),
                }
            }
        });
    })
}

/// The number of classes, after a check of the shapes and targets.
fn classes(logits: &[f32], targets: &[Option<usize>]) -> usize {
    let classes = logits.len().checked_div(targets.len()).unwrap_or(0);
    assert_eq!(classes * targets.len(), logits.len(), "cross-entropy: logits are not rows of classes");
    if let Some(outside) = targets.iter().flatten().find(|&&target| target >= classes) {
        panic!("target {outside} is outside the {classes} classes");
    }
    classes
}

/// `ln Σ exp(logits)` in one pass over memory: whenever a block brings a new maximum, the sum so far is
/// scaled to it.
pub(super) fn log_sum_exp_row(logits: &[f32]) -> f64 {
    // Not minus infinity, whose difference with itself is NaN.
    let mut maximum = f32::MIN;
    let mut sum = 0.0_f64;
    for block in logits.chunks(BLOCK) {
        let (new_maximum, block_sum) = vectorized(
            #[inline(always)]
            || {
                let new_maximum = lane_maximum(block, maximum);
                (new_maximum, lane_sum(block, |logit| exp(logit - new_maximum)))
            },
        );
        sum = sum * (f64::from(maximum) - f64::from(new_maximum)).exp() + f64::from(block_sum);
        maximum = new_maximum;
    }
    f64::from(maximum) + sum.ln()
}

/// The largest of `values` and `least`. A NaN counts as small here and comes through in the sum.
#[inline(always)]
fn lane_maximum(values: &[f32], least: f32) -> f32 {
    const LANES: usize = 32;
    let mut largest = [least; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (largest, &value) in largest.iter_mut().zip(chunk) {
            *largest = if value > *largest { value } else { *largest };
        }
    }
    largest.into_iter().chain(rest.iter().copied()).fold(least, f32::max)
}

/// `gradient = weight softmax(logits)`.
fn gradient_row(logits: &[f32], log_sum_exp: f32, weight: f32, gradient: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (gradient, &logit) in gradient.iter_mut().zip(logits) {
                *gradient = weight * exp(logit - log_sum_exp);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(len: usize, size: f32) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) % 10_007) as f32 / 5000.0 * size - size).collect()
    }

    fn targets(rows: usize, classes: usize) -> Vec<Option<usize>> {
        (0..rows).map(|row| (row % 3 != 1).then_some(row * 31 % classes)).collect()
    }

    /// Softmax of a row by the definition.
    fn softmax_f64(row: &[f32]) -> Vec<f64> {
        let largest = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
        let powers: Vec<f64> = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    fn check(rows: usize, classes: usize, size: f32) {
        let logits = noise(rows * classes, size);
        let targets = targets(rows, classes);
        let weights: Vec<f32> = (0..rows).map(|row| 1.0 + row as f32 / 8.0).collect();
        let CrossEntropy { losses, log_sum_exp } = cross_entropy(&logits, &targets);
        let gradient = cross_entropy_backward(&logits, &targets, &log_sum_exp, &weights);
        assert_eq!((losses.len(), gradient.len()), (rows, logits.len()));
        for row in 0..rows {
            let gradient = &gradient[row * classes..][..classes];
            let Some(target) = targets[row] else {
                assert!(losses[row] == 0.0 && gradient.iter().all(|&g| g == 0.0), "ignored row {row}");
                continue;
            };
            let softmax = softmax_f64(&logits[row * classes..][..classes]);
            let expected = -softmax[target].ln();
            let error = (f64::from(losses[row]) - expected).abs();
            assert!(error <= 2e-6 * expected.max(1.0), "row {row}: {}, not {expected}", losses[row]);
            for class in 0..classes {
                let onehot = f64::from(u8::from(class == target));
                let expected = f64::from(weights[row]) * (softmax[class] - onehot);
                let error = (f64::from(gradient[class]) - expected).abs();
                // The logarithm that backward starts from has the absolute error of its size.
                let tolerance = 1e-6 * f64::from(weights[row]) * f64::from(size.max(4.0));
                assert!(error <= tolerance, "{row}, {class}: {}, not {expected}", gradient[class]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn agrees_with_the_definition(rows in 0_usize..9, classes in 1_usize..200, size in 0.0_f32..30.0) {
            check(rows, classes, size);
        }
    }

    #[test]
    fn agrees_with_the_definition_over_several_blocks_and_tasks() {
        check(1, 3 * BLOCK + 7, 5.0);
        check(40, BLOCK + 1, 5.0);
        check(3000, 40, 5.0);
    }

    #[test]
    fn rising_logits_far_apart_do_not_overflow() {
        let logits: Vec<f32> = (0..4 * BLOCK).map(|i| i as f32).collect();
        let last = logits.len() - 1;
        let CrossEntropy { losses, .. } = cross_entropy(&logits, &[Some(last)]);
        let expected = -(1.0 - (-1.0_f32).exp()).ln();
        assert!((losses[0] - expected).abs() < 1e-3 * expected, "{}", losses[0]);
    }

    #[test]
    fn classes_masked_with_minus_infinity_have_no_probability_and_nan_is_seen() {
        let mut logits = vec![f32::NEG_INFINITY; 2 * BLOCK];
        logits[2 * BLOCK - 1] = 1.5;
        logits[2 * BLOCK - 2] = 1.5;
        let targets = [Some(2 * BLOCK - 1)];
        let CrossEntropy { losses, log_sum_exp } = cross_entropy(&logits, &targets);
        assert!((losses[0] - std::f32::consts::LN_2).abs() < 1e-6);
        let gradient = cross_entropy_backward(&logits, &targets, &log_sum_exp, &[1.0]);
        assert_eq!(gradient[0], 0.0);
        assert!((gradient[2 * BLOCK - 2] - 0.5).abs() < 1e-6 && (gradient[2 * BLOCK - 1] + 0.5).abs() < 1e-6);

        logits[3] = f32::NAN;
        assert!(cross_entropy(&logits, &targets).losses[0].is_nan());
    }

    #[test]
    fn is_the_same_on_any_number_of_threads() {
        let (rows, classes) = (300, 1003);
        let (logits, targets) = (noise(rows * classes, 4.0), targets(rows, classes));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let CrossEntropy { losses, log_sum_exp } = cross_entropy(&logits, &targets);
                let gradient = cross_entropy_backward(&logits, &targets, &log_sum_exp, &vec![0.5; rows]);
                [losses, log_sum_exp, gradient]
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    #[should_panic(expected = "target 4 is outside the 4 classes")]
    fn refuses_a_target_outside_the_classes() {
        cross_entropy(&[0.0; 8], &[Some(3), Some(4)]);
    }
}
