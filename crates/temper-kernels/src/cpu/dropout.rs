//! Dropout on its own and with the addition of a residual, element by element.

use super::{Dropout, buffer, rows_per_task, run_tasks, vectorized};

/// `x` with dropped elements zero and the others times `1 / (1 - p)`.
///
/// It is its own backward pass: the gradient of `x` is `dropout` of the output's gradient.
///
/// # Shapes
/// - `x`, output: `[rows, width]`
pub fn dropout(x: &[f32], width: usize, dropout: Dropout) -> Vec<f32> {
    by_rows(x.len(), width, |row, out| {
        let x = &x[row * width..][..width];
        let mask = dropout.row(row as u64);
        vectorized(
            #[inline(always)]
            || {
                for (column, (out, &x)) in out.iter_mut().zip(x).enumerate() {
                    *out = x * mask.factor(column);
                }
            },
        );
    })
}

/// `residual + dropout(x)`, as the blocks with norms in front have it.
///
/// The gradient of `residual` is that of the output, the gradient of `x` is [`dropout`] of it.
///
/// # Shapes
/// - `residual`, `x`, output: `[rows, width]`
pub fn residual_dropout(residual: &[f32], x: &[f32], width: usize, dropout: Dropout) -> Vec<f32> {
    assert_eq!(residual.len(), x.len(), "residual: lengths differ");
    by_rows(x.len(), width, |row, out| {
        let (x, residual) = (&x[row * width..][..width], &residual[row * width..][..width]);
        let mask = dropout.row(row as u64);
        vectorized(
            #[inline(always)]
            || {
                for (column, ((out, &x), &residual)) in out.iter_mut().zip(x).zip(residual).enumerate() {
                    *out = x.mul_add(mask.factor(column), residual);
                }
            },
        );
    })
}

/// A buffer of `len` elements, whose rows `fill` gets with their numbers.
fn by_rows(len: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    assert!(width > 0 && len.is_multiple_of(width), "{len} elements are not rows of {width}");
    let task_rows = rows_per_task(len / width, width);
    buffer(len, |out| {
        run_tasks(out.chunks_mut(task_rows * width).enumerate().collect(), |(task, rows)| {
            for (row, out) in rows.chunks_exact_mut(width).enumerate() {
                fill(task * task_rows + row, out);
            }
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROPOUT: Dropout = Dropout { probability: 0.3, seed: 11 };

    #[test]
    fn every_element_gets_the_factor_of_its_row_and_column() {
        for (rows, width) in [(0, 3), (1, 1), (5, 7), (3, 16_389), (2500, 17)] {
            let x: Vec<f32> = (0..rows * width).map(|i| i as f32 + 1.0).collect();
            let residual: Vec<f32> = (0..rows * width).map(|i| (i % 5) as f32).collect();
            let dropped = dropout(&x, width, DROPOUT);
            let sum = residual_dropout(&residual, &x, width, DROPOUT);
            assert_eq!((dropped.len(), sum.len()), (x.len(), x.len()));
            for i in 0..x.len() {
                let expected = x[i] * DROPOUT.row((i / width) as u64).factor(i % width);
                assert_eq!(dropped[i], expected, "{i} of {rows} x {width}");
                assert!((sum[i] - residual[i] - expected).abs() <= 1e-6 * expected.max(10.0));
            }
        }
    }

    #[test]
    #[should_panic(expected = "10 elements are not rows of 3")]
    fn refuses_broken_rows() {
        dropout(&[0.0; 10], 3, DROPOUT);
    }
}
