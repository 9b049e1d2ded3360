//! Layer norm and RMS norm, with what precedes them in a transformer block: dropout and the addition
//! of a residual.

use super::norm_row::{Norm, RowStatistics, add_row};
use super::{Dropout, buffer, rows_per_task, run_tasks, vectorized, zeros};

/// What [`Norm::forward`] returns.
#[derive(Debug)]
pub struct NormOutput {
    /// `[rows, width]`
    pub output: Vec<f32>,
    /// `residual + dropout(x)`, `[rows, width]`, the one large thing that backward needs; `None` where
    /// that is `x` itself.
    pub sum: Option<Vec<f32>>,
    /// What backward needs of each row.
    pub statistics: Vec<RowStatistics>,
}

/// What [`Norm::backward`] returns.
#[derive(Debug)]
pub struct NormGradients {
    /// Gradient of the sum, which is the gradient of the residual, `[rows, width]`.
    pub residual: Vec<f32>,
    /// Gradient of `x`, `[rows, width]`; `None` without dropout, where it is `residual`.
    pub x: Option<Vec<f32>>,
    /// `[width]`
    pub gain: Vec<f32>,
    /// `[width]`; `None` for a norm without bias.
    pub bias: Option<Vec<f32>>,
}

impl Norm<'_> {
    /// `norm(residual + dropout(x)) gain + bias`.
    ///
    /// Dropout draws by row of `x` and column.
    ///
    /// # Shapes
    /// - `x`, `residual`, output: `[rows, width]`, where `width` is the length of the gain
    pub fn forward(&self, x: &[f32], residual: Option<&[f32]>, dropout: Option<Dropout>) -> NormOutput {
        let (rows, width) = (self.rows(x), self.gain.len());
        assert!(residual.is_none_or(|residual| residual.len() == x.len()), "norm: residual's length differs");
        let task_rows = rows_per_task(rows, width);
        let task_len = task_rows * width;

        let keeps_sum = residual.is_some() || dropout.is_some();
        let mut output = Vec::new();
        let mut statistics = vec![RowStatistics::default(); rows];
        let sum = buffer(if keeps_sum { x.len() } else { 0 }, |sum| {
            output = buffer(x.len(), |output| {
                let mut sums = sum.chunks_mut(task_len);
                let tasks = output.chunks_mut(task_len).zip(statistics.chunks_mut(task_rows)).enumerate();
                let tasks = tasks.map(|(task, (output, statistics))| ForwardTask {
                    first_row: task * task_rows,
                    x: &x[task * task_len..][..output.len()],
                    residual: residual.map(|residual| &residual[task * task_len..][..output.len()]),
                    sum: sums.next(),
                    output,
                    statistics,
                });
                run_tasks(tasks.collect(), |mut task| {
                    vectorized(
                        #[inline(always)]
                        || self.forward_task(&mut task, dropout),
                    )
                });
            });
        });
        NormOutput { output, sum: keeps_sum.then_some(sum), statistics }
    }

    /// Gradients of [`Norm::forward`].
    ///
    /// # Shapes
    /// - `sum`: `[rows, width]`, the output's, or `x` where that has none
    /// - `statistics`: `[rows]`, the output's
    /// - `dy`: `[rows, width]`, gradient of the output
    pub fn backward(
        &self,
        sum: &[f32],
        statistics: &[RowStatistics],
        dy: &[f32],
        dropout: Option<Dropout>,
    ) -> NormGradients {
        let (rows, width) = (self.rows(sum), self.gain.len());
        assert!(dy.len() == sum.len() && statistics.len() == rows, "norm: shapes of backward differ");
        let task_rows = rows_per_task(rows, width);
        let task_len = task_rows * width;

        // [tasks, 2, width]: the gradients of gain and bias that a task's rows give
        let mut partial = zeros(rows.div_ceil(task_rows) * 2 * width);
        let mut residual = Vec::new();
        let x = buffer(if dropout.is_some() { sum.len() } else { 0 }, |dx| {
            residual = buffer(sum.len(), |ds| {
                let mut dxs = dx.chunks_mut(task_len);
                let tasks = ds.chunks_mut(task_len).zip(partial.chunks_mut(2 * width)).enumerate();
                let tasks = tasks.map(|(task, (ds, partial))| BackwardTask {
                    first_row: task * task_rows,
                    sum: &sum[task * task_len..][..ds.len()],
                    statistics: &statistics[task * task_rows..][..ds.len() / width],
                    dy: &dy[task * task_len..][..ds.len()],
                    dx: dxs.next(),
                    ds,
                    partial,
                });
                run_tasks(tasks.collect(), |mut task| {
                    vectorized(
                        #[inline(always)]
                        || self.backward_task(&mut task, dropout),
                    )
                });
            });
        });

        let mut gain = zeros(2 * width); // [2, width]
        for partial in partial.chunks(2 * width) {
            for (total, partial) in gain.iter_mut().zip(partial) {
                *total += partial;
            }
        }
        let bias = gain.split_off(width);
        NormGradients { residual, x: dropout.map(|_| x), gain, bias: self.bias.map(|_| bias) }
    }

    /// The number of rows in `values`.
    fn rows(&self, values: &[f32]) -> usize {
        let width = self.gain.len();
        assert!(width > 0 && self.bias.is_none_or(|bias| bias.len() == width), "norm: bias and gain differ");
        assert!(
            values.len().is_multiple_of(width),
            "norm: {} elements are not rows of {width}",
            values.len()
        );
        values.len() / width
    }

    #[inline(always)]
    fn forward_task(&self, task: &mut ForwardTask, dropout: Option<Dropout>) {
        let width = self.gain.len();
        for (row, statistics) in task.statistics.iter_mut().enumerate() {
            let columns = row * width..(row + 1) * width;
            let x = &task.x[columns.clone()];
            let sum = match &mut task.sum {
                Some(sum) => {
                    let sum = &mut sum[columns.clone()];
                    let residual = task.residual.map(|residual| &residual[columns.clone()]);
                    let mask = dropout.map(|dropout| dropout.row((task.first_row + row) as u64));
                    add_row(x, residual, mask, sum);
                    &*sum
                }
                None => x,
            };
            *statistics = self.statistics(sum);
            self.output_row(sum, *statistics, &mut task.output[columns]);
        }
    }

    #[inline(always)]
    fn backward_task(&self, task: &mut BackwardTask, dropout: Option<Dropout>) {
        let width = self.gain.len();
        let (dgain, dbias) = task.partial.split_at_mut(width);
        for (row, &statistics) in task.statistics.iter().enumerate() {
            let columns = row * width..(row + 1) * width;
            let (sum, dy) = (&task.sum[columns.clone()], &task.dy[columns.clone()]);
            let ds = &mut task.ds[columns.clone()];
            self.backward_row(sum, statistics, dy, ds, dgain, dbias);
            if let (Some(dx), Some(dropout)) = (&mut task.dx, dropout) {
                let mask = dropout.row((task.first_row + row) as u64);
                for (column, (dx, &ds)) in dx[columns].iter_mut().zip(&*ds).enumerate() {
                    *dx = ds * mask.factor(column);
                }
            }
        }
    }
}

struct ForwardTask<'a> {
    first_row: usize,
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    sum: Option<&'a mut [f32]>,
    output: &'a mut [f32],
    statistics: &'a mut [RowStatistics],
}

struct BackwardTask<'a> {
    first_row: usize,
    sum: &'a [f32],
    statistics: &'a [RowStatistics],
    dy: &'a [f32],
    ds: &'a mut [f32],
    dx: Option<&'a mut [f32]>,
    partial: &'a mut [f32],
}

#[cfg(test)]
mod tests {
    use super::super::norm_row::NormKind;
    use super::*;
    use proptest::prelude::*;

    const DROPOUT: Dropout = Dropout { probability: 0.3, seed: 5 };

    fn noise(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 5000.0 - 1.0).collect()
    }

    fn sum_f64(x: &[f32], residual: Option<&[f32]>, width: usize, dropout: Option<Dropout>) -> Vec<f64> {
        let factor = |i| dropout.map_or(1.0, |d| f64::from(d.row((i / width) as u64).factor(i % width)));
        let residual = |i: usize| residual.map_or(0.0, |residual| f64::from(residual[i]));
        (0..x.len()).map(|i| f64::from(x[i]) * factor(i) + residual(i)).collect()
    }

    /// The definition, in f64.
    fn norm_f64(kind: NormKind, sum: &[f64], gain: &[f64], bias: &[f64], epsilon: f64) -> Vec<f64> {
        let mut output = Vec::new();
        for row in sum.chunks(gain.len()) {
            let count = row.len() as f64;
            let mean = if kind == NormKind::Layer { row.iter().sum::<f64>() / count } else { 0.0 };
            let variance = row.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count;
            for (column, s) in row.iter().enumerate() {
                output.push((s - mean) / (variance + epsilon).sqrt() * gain[column] + bias[column]);
            }
        }
        output
    }

    fn exact(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&value| f64::from(value)).collect()
    }

    fn assert_close(name: &str, result: &[f32], expected: &[f64]) {
        assert_eq!(result.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
        for (i, (&result, expected)) in result.iter().zip(expected).enumerate() {
            let error = (f64::from(result) - expected).abs();
            assert!(error <= 1e-5 * largest, "{name}[{i}] = {result}, not {expected}");
        }
    }

    /// Gradients of `Σ dy norm(values...)` for `values[which]`, by central differences.
    fn differences(values: [&[f64]; 3], which: usize, dy: &[f32], kind: NormKind) -> Vec<f64> {
        let loss = |values: &[Vec<f64>; 3]| -> f64 {
            let output = norm_f64(kind, &values[0], &values[1], &values[2], 1e-5);
            output.iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum()
        };
        let step = 1e-5;
        (0..values[which].len())
            .map(|i| {
                let mut moved = values.map(<[f64]>::to_vec);
                moved[which][i] += step;
                let above = loss(&moved);
                moved[which][i] -= 2.0 * step;
                (above - loss(&moved)) / (2.0 * step)
            })
            .collect()
    }

    fn check(kind: NormKind, rows: usize, width: usize, with: (bool, bool, bool)) {
        let (with_bias, with_residual, with_dropout) = with;
        let (x, r, dy) = (noise(rows * width, 1), noise(rows * width, 2), noise(rows * width, 3));
        let (gain, bias) = (noise(width, 4), noise(width, 5));
        let (residual, dropout) = (with_residual.then_some(&r[..]), with_dropout.then_some(DROPOUT));
        let norm = Norm { kind, gain: &gain, bias: with_bias.then_some(&bias), epsilon: 1e-5 };

        let NormOutput { output, sum, statistics } = norm.forward(&x, residual, dropout);
        let exact_sum = sum_f64(&x, residual, width, dropout);
        let exact_gain = exact(&gain);
        let exact_bias = if with_bias { exact(&bias) } else { vec![0.0; width] };
        assert_close("output", &output, &norm_f64(kind, &exact_sum, &exact_gain, &exact_bias, 1e-5));
        assert_eq!(sum.is_some(), with_residual || with_dropout);
        assert_close("sum", sum.as_ref().unwrap_or(&x), &exact_sum);

        let gradients = norm.backward(sum.as_ref().unwrap_or(&x), &statistics, &dy, dropout);
        let values = [&exact_sum[..], &exact_gain, &exact_bias];
        let ds = differences(values, 0, &dy, kind);
        assert_close("residual", &gradients.residual, &ds);
        assert_close("gain", &gradients.gain, &differences(values, 1, &dy, kind));
        assert_eq!(gradients.bias.is_some(), with_bias);
        if let Some(bias) = gradients.bias {
            assert_close("bias", &bias, &differences(values, 2, &dy, kind));
        }
        assert_eq!(gradients.x.is_some(), with_dropout);
        if let Some(x) = gradients.x {
            let factor = |i| f64::from(DROPOUT.row((i / width) as u64).factor(i % width));
            assert_close("x", &x, &ds.iter().enumerate().map(|(i, ds)| ds * factor(i)).collect::<Vec<_>>());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn agrees_with_the_definition_and_its_differences(
            layer in any::<bool>(), rows in 0_usize..6, width in 2_usize..70, with in any::<(bool, bool, bool)>(),
        ) {
            check(if layer { NormKind::Layer } else { NormKind::Rms }, rows, width, with);
        }
    }

    #[test]
    fn many_tasks_give_what_single_rows_give_on_any_number_of_threads() {
        let (rows, width) = (3000, 37);
        let (x, residual, dy) = (noise(rows * width, 1), noise(rows * width, 2), noise(rows * width, 3));
        let (gain, bias) = (noise(width, 4), noise(width, 5));
        let norm = Norm { kind: NormKind::Layer, gain: &gain, bias: Some(&bias), epsilon: 1e-12 };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let NormOutput { output, sum, statistics } = norm.forward(&x, Some(&residual), Some(DROPOUT));
                let gradients = norm.backward(&sum.unwrap(), &statistics, &dy, Some(DROPOUT));
                [output, gradients.residual, gradients.x.unwrap(), gradients.gain, gradients.bias.unwrap()]
            })
        };
        let [output, ds, dx, dgain, dbias] = run(1);
        assert_eq!([&output, &ds, &dx, &dgain, &dbias], run(3).each_ref());

        let exact_sum = sum_f64(&x, Some(&residual), width, Some(DROPOUT));
        assert_close(
            "output",
            &output,
            &norm_f64(NormKind::Layer, &exact_sum, &exact(&gain), &exact(&bias), 1e-12),
        );
        let (mut gain_total, mut bias_total) = (vec![0.0; width], vec![0.0; width]);
        for row in 0..rows {
            let columns = row * width..(row + 1) * width;
            let sum: Vec<f32> = exact_sum[columns.clone()].iter().map(|&s| s as f32).collect();
            let alone = norm.forward(&sum, None, None);
            let alone = norm.backward(&sum, &alone.statistics, &dy[columns.clone()], None);
            assert_close("row", &ds[columns], &exact(&alone.residual));
            for column in 0..width {
                gain_total[column] += f64::from(alone.gain[column]);
                bias_total[column] += f64::from(alone.bias.as_ref().unwrap()[column]);
            }
        }
        assert_close("gain", &dgain, &gain_total);
        assert_close("bias", &dbias, &bias_total);
    }

    #[test]
    fn a_constant_row_gives_the_bias_and_a_far_mean_costs_no_precision() {
        let (gain, bias) = (vec![2.0; 40], vec![0.5; 40]);
        let norm = Norm { kind: NormKind::Layer, gain: &gain, bias: Some(&bias), epsilon: 1e-12 };
        assert_eq!(norm.forward(&[3.0; 40], None, None).output, bias);
        let near = noise(40, 1).iter().map(|v| (v * 128.0).round()).collect::<Vec<f32>>();
        let far = near.iter().map(|v| v + 4096.0).collect::<Vec<f32>>();
        let expected = norm.forward(&near, None, None).output;
        assert_close("output", &norm.forward(&far, None, None).output, &exact(&expected));
    }
}
