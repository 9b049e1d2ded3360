//! Products against sums in f64.

use super::few_rows::MOST_FEW_ROWS;
use super::*;

fn random(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

fn at(matrix: Matrix<'_>, row: usize, column: usize) -> f64 {
    f64::from(matrix.values[row * matrix.row_stride + column * matrix.column_stride])
}

/// Every combination of layouts and starts, in f64.
fn check([rows, depth, columns]: [usize; 3]) {
    let (a, b) = (random(rows * depth, 1), random(depth * columns, 2));
    let (bias, before) = (random(columns, 3), random(rows * columns, 4));
    let lefts = [Matrix::new(&a, depth), Matrix::transposed(&a, rows)];
    let rights = [Matrix::new(&b, columns), Matrix::transposed(&b, depth)];
    for (left, right) in lefts.into_iter().flat_map(|left| rights.map(|right| (left, right))) {
        for start in [Start::Zero, Start::Row(&bias), Start::Add] {
            let mut out = before.clone();
            multiply([rows, depth, columns], left, right, start, Finish::Plain, &mut out);
            for (index, value) in out.into_iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let product: f64 = (0..depth).map(|k| at(left, row, k) * at(right, k, column)).sum();
                let expected = product
                    + match start {
                        Start::Zero => 0.0,
                        Start::Row(bias) => f64::from(bias[column]),
                        Start::Add => f64::from(before[index]),
                    };
                let error = (f64::from(value) - expected).abs();
                assert!(error < 2e-6 * (depth as f64).sqrt().max(1.0), "{rows} {depth} {columns}: {error}");
            }
        }
    }
}

#[test]
fn products_agree_with_the_definition() {
    let sizes = [[0, 3, 4], [3, 0, 4], [3, 4, 0], [1, 1, 1], [6, 16, 16], [7, 5, 17], [5, 384, 15]];
    sizes.into_iter().for_each(check);
    // Few rows: whole steps of the depth and a rest, several tasks.
    [[1, 16, 16], [1, 9, 600], [8, 37, 2051], [9, 8, 530]].into_iter().for_each(check);
    // Beyond a task's rows and a block's depth.
    check([TASK_ROWS + 5, DEPTH + 3, 33]);
    check([MOST_FEW_ROWS + 1, 3, COLUMNS + TILE_COLUMNS + 1]);
}

#[test]
fn a_row_is_the_same_among_few_and_among_many() {
    for [depth, columns] in [[3, 5], [16, 33], [DEPTH + 7, 100], [2 * DEPTH + 1, 2063]] {
        let rows = MOST_FEW_ROWS + 5;
        let (a, b) = (random(rows * depth, 1), random(depth * columns, 2));
        let bias = random(columns, 3);
        for right in [Matrix::new(&b, columns), Matrix::transposed(&b, depth)] {
            for start in [Start::Zero, Start::Row(&bias)] {
                let product = |a: &[f32]| {
                    let mut out = vec![f32::NAN; a.len() / depth * columns];
                    multiply(
                        [a.len() / depth, depth, columns],
                        Matrix::new(a, depth),
                        right,
                        start,
                        Finish::Plain,
                        &mut out,
                    );
                    out
                };
                let many = product(&a);
                for few in [1, 2, 3, 5, 8, 9, 16, 17, 40, 64, 65] {
                    assert_eq!(product(&a[..few * depth]), many[..few * columns], "{few} {depth} {columns}");
                }
            }
        }
    }
}

#[test]
fn an_activation_sees_the_finished_sums() {
    let [rows, depth, columns] = [TASK_ROWS + 1, DEPTH + 1, 20];
    let (a, b) = (random(rows * depth, 1), random(depth * columns, 2));
    let product = |finish: Finish<'_>| {
        let (left, right) = (Matrix::new(&a, depth), Matrix::new(&b, columns));
        let mut out = vec![f32::NAN; rows * columns];
        multiply([rows, depth, columns], left, right, Start::Zero, finish, &mut out);
        out
    };
    let plain = product(Finish::Plain);
    let expected: Vec<f32> = plain.iter().map(|value| value.max(0.0)).collect();
    assert_eq!(product(Finish::Activate(Activation::Relu)), expected);
    let mut activated = vec![f32::NAN; plain.len()];
    assert_eq!(product(Finish::ActivateInto(Activation::Relu, &mut activated)), plain);
    assert_eq!(activated, expected);
    assert!(plain.iter().any(|value| *value < 0.0) && plain.iter().any(|value| *value > 0.0));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for [rows, depth, columns] in [[203, 500, 77], [1, 500, 777]] {
        let (a, b) = (random(rows * depth, 1), random(depth * columns, 2));
        let product = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut out = vec![0.0; rows * columns];
            let (left, right) = (Matrix::transposed(&a, rows), Matrix::new(&b, columns));
            pool.install(|| {
                multiply([rows, depth, columns], left, right, Start::Zero, Finish::Plain, &mut out)
            });
            out
        };
        assert_eq!(product(1), product(3));
    }
}
