//! Sums over the rows of a matrix, column by column.

use rayon::prelude::*;

use super::vectorized;

/// Rows whose sum one task forms.
const TASK_ROWS: usize = 128;

/// The sum of all rows, the same for any number of threads.
///
/// # Shapes
/// - values: `[rows, columns]`; output: `[columns]`
pub fn sum_rows(values: &[f32], columns: usize) -> Vec<f32> {
    let partial: Vec<Vec<f32>> = values
        .par_chunks((TASK_ROWS * columns).max(1))
        .map(|rows| {
            vectorized(
                #[inline(always)]
                || sum_chunk(rows, columns),
            )
        })
        .collect();
    let mut total = vec![0.0; columns];
    for sums in partial {
        add(&mut total, &sums);
    }
    total
}

#[inline(always)]
fn sum_chunk(rows: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    for row in rows.chunks_exact(columns) {
        add(&mut sums, row);
    }
    sums
}

#[inline(always)]
fn add(sums: &mut [f32], row: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_every_row_once() {
        for rows in [0, 1, 127, 128, 129, 300] {
            let values: Vec<f32> = (0..rows * 3).map(|index| index as f32).collect();
            let expected: Vec<f32> =
                (0..3).map(|column| (0..rows).map(|row| (row * 3 + column) as f32).sum()).collect();
            assert_eq!(sum_rows(&values, 3), expected, "{rows} rows");
        }
    }
}
