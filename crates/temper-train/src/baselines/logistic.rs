//! Logistic regression as scikit-learn 1.9's `LogisticRegression()` has it by default: an L2
//! penalty of half the squared weights added to the summed loss (C = 1), no penalty on the
//! intercepts, one set of weights for two classes, and one for each class if there are more.

use super::{SparseRows, minimise};

/// A linear classifier of sparse rows.
#[derive(Clone, Debug)]
pub struct LogisticRegression {
    /// The labels that training had, ascending.
    classes: Vec<usize>,
    /// `[features + 1, outputs]`, row by row; the intercepts come last.
    weights: Vec<f64>,
}

impl LogisticRegression {
    /// Finds the weights; the objective has one optimum.
    pub fn fit(rows: &SparseRows, labels: &[usize]) -> Self {
        let mut classes = labels.to_vec();
        classes.sort_unstable();
        classes.dedup();
        let targets: Vec<usize> =
            labels.iter().map(|label| classes.partition_point(|class| class < label)).collect();
        let problem = Problem { rows, targets: &targets, classes: classes.len() };
        let start = vec![0.0; (rows.width() + 1) * outputs(classes.len())];
        let weights = minimise(start, |weights, gradient| problem.value(weights, gradient));
        Self { classes, weights }
    }

    /// Natural logarithms of the probabilities, `[rows, labels]`; minus infinity for a label that
    /// training did not have.
    pub fn log_probabilities(&self, rows: &SparseRows, labels: usize) -> Vec<Vec<f64>> {
        let mut scores = vec![0.0; self.classes.len()];
        let of_row = |row: &[(u32, f64)]| {
            let log_sum = score(row, &self.weights, &mut scores);
            let mut logarithms = vec![f64::NEG_INFINITY; labels];
            for (&class, score) in self.classes.iter().zip(&scores) {
                logarithms[class] = score - log_sum;
            }
            logarithms
        };
        rows.rows().map(of_row).collect()
    }
}

/// Sets of weights: the first of two classes needs none, its score is 0.
fn outputs(classes: usize) -> usize {
    if classes <= 2 { classes.saturating_sub(1) } else { classes }
}

/// Fills in the scores of the classes and gives the logarithm of the sum of their exponentials.
fn score(row: &[(u32, f64)], weights: &[f64], scores: &mut [f64]) -> f64 {
    let outputs = outputs(scores.len());
    let without = scores.len() - outputs;
    scores[..without].fill(0.0);
    let intercepts = &weights[weights.len() - outputs..];
    scores[without..].copy_from_slice(intercepts);
    for &(column, value) in row {
        let of_column = &weights[column as usize * outputs..][..outputs];
        for (score, weight) in scores[without..].iter_mut().zip(of_column) {
            *score += weight * value;
        }
    }
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + scores.iter().map(|score| (score - highest).exp()).sum::<f64>().ln()
}

/// What the weights have to minimise.
struct Problem<'a> {
    rows: &'a SparseRows,
    /// Indices of classes.
    targets: &'a [usize],
    classes: usize,
}

impl Problem<'_> {
    /// Mean loss and penalty, both divided by the number of rows as scikit-learn does; fills in the
    /// gradient.
    fn value(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let scale = 1.0 / self.targets.len() as f64;
        let outputs = outputs(self.classes);
        let without = self.classes - outputs;
        let penalised = weights.len() - outputs;
        gradient.fill(0.0);
        let mut scores = vec![0.0; self.classes];
        let mut loss = 0.0;
        for (row, &target) in self.rows.rows().zip(self.targets) {
            let log_sum = score(row, weights, &mut scores);
            loss += log_sum - scores[target];
            // Of the score: probability, minus 1 for the target.
            for (class, score) in scores.iter_mut().enumerate() {
                *score = ((*score - log_sum).exp() - f64::from(u8::from(class == target))) * scale;
            }
            for &(column, value) in row {
                let of_column = &mut gradient[column as usize * outputs..][..outputs];
                for (sum, score) in of_column.iter_mut().zip(&scores[without..]) {
                    *sum += score * value;
                }
            }
            for (sum, score) in gradient[penalised..].iter_mut().zip(&scores[without..]) {
                *sum += score;
            }
        }
        let mut squares = 0.0;
        for (sum, weight) in gradient.iter_mut().zip(&weights[..penalised]) {
            *sum += weight * scale;
            squares += weight * weight;
        }
        (loss + 0.5 * squares) * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[[f64; 2]]) -> SparseRows {
        let mut rows = SparseRows::new(2);
        for row in values {
            rows.push((0..).zip(row.iter().copied()).filter(|&(_, value)| value != 0.0));
        }
        rows
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let rows = rows(&[[1.0, 0.0], [0.5, -1.0], [0.0, 2.0], [-1.0, 0.3]]);
        for (classes, targets) in [(2, [0, 1, 1, 0]), (3, [0, 1, 2, 0])] {
            let problem = Problem { rows: &rows, targets: &targets, classes };
            let weights: Vec<f64> = (0..3 * outputs(classes)).map(|index| 0.3 * index as f64 - 0.7).collect();
            let mut gradient = vec![0.0; weights.len()];
            problem.value(&weights, &mut gradient);
            for index in 0..weights.len() {
                let at = |shift: f64| {
                    let mut moved = weights.clone();
                    moved[index] += shift;
                    problem.value(&moved, &mut vec![0.0; weights.len()])
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((slope - gradient[index]).abs() < 1e-8, "{slope} {}", gradient[index]);
            }
        }
    }

    #[test]
    fn a_label_that_training_lacks_gets_nothing() {
        let rows = rows(&[[1.0, 0.0], [0.0, 1.0]]);
        let found = LogisticRegression::fit(&rows, &[0, 2]).log_probabilities(&rows, 3);
        assert!(found[0][0] > found[0][2] && found[1][2] > found[1][0]);
        assert_eq!(found[0][1], f64::NEG_INFINITY);
        let sum: f64 = found[0].iter().map(|value| value.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let only = LogisticRegression::fit(&rows, &[1, 1]).log_probabilities(&rows, 2);
        assert_eq!(only[0], [f64::NEG_INFINITY, 0.0]);
    }

    #[test]
    fn without_a_word_the_shares_decide() {
        let mut empty = SparseRows::new(0);
        (0..4).for_each(|_| empty.push([]));
        let found = LogisticRegression::fit(&empty, &[0, 1, 1, 1]).log_probabilities(&empty, 2);
        assert!((found[0][1].exp() - 0.75).abs() < 1e-6);
    }
}
