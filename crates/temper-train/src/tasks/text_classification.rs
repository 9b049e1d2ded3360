use burn::tensor::{Int, Tensor, TensorData, activation};
use serde::Serialize;
use temper_models::{Mode, Model, TokenBatch};

use super::{Scores, Task};
use crate::metrics::{ConfusionMatrix, accuracy_interval};

/// One label a text.
#[derive(Clone, Debug)]
pub struct TextClassification {
    /// Names of the labels, by id.
    pub labels: Vec<String>,
}

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// One a label.
    pub logits: Vec<f32>,
}

impl Classified {
    /// The id of the label with the highest logit.
    pub fn label(&self) -> usize {
        let best = self.logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
        best.map_or(0, |(id, _)| id)
    }

    /// Softmax of the logits, one a label.
    pub fn probabilities(&self) -> Vec<f64> {
        let highest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = self.logits.iter().map(|&logit| f64::from(logit - highest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// Cross-entropy in nats.
    pub fn loss(&self, target: usize) -> f64 {
        -self.probabilities()[target].max(f64::MIN_POSITIVE).ln()
    }
}

impl TextClassification {
    fn logits(&self, model: &Model, tokens: &TokenBatch, mode: Mode) -> Tensor<2> {
        model.classify(tokens, mode).expect("the model was loaded with a classification head")
    }
}

impl Task for TextClassification {
    type Target = usize;
    type Prediction = Classified;

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[usize], mode: Mode) -> Tensor<1> {
        let logits = self.logits(model, tokens, mode);
        let ids: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
        let rows = ids.len();
        let device = logits.device().inner();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, 1]), &device);
        // [batch, labels] -> [batch, 1] -> [1]
        activation::log_softmax(logits, 1).gather(1, targets).sum().neg()
    }

    fn predict(&self, model: &Model, tokens: &TokenBatch) -> Vec<Classified> {
        let logits = self.logits(model, tokens, Mode::Evaluate);
        let labels = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        values.chunks(labels).map(|row| Classified { logits: row.to_vec() }).collect()
    }

    fn score(&self, predictions: &[Classified], targets: &[usize]) -> Scores {
        let pairs = targets.iter().copied().zip(predictions.iter().map(Classified::label));
        let confusion = ConfusionMatrix::new(self.labels.len(), pairs.clone());
        let right: Vec<bool> = pairs.map(|(truth, predicted)| truth == predicted).collect();
        let losses = predictions.iter().zip(targets).map(|(prediction, &target)| prediction.loss(target));
        Scores {
            metrics: vec![
                ("accuracy", confusion.accuracy()),
                ("macro_f1", confusion.macro_f1()),
                ("mcc", confusion.mcc()),
                ("loss", losses.sum::<f64>() / targets.len().max(1) as f64),
            ],
            interval: accuracy_interval(&right, 42),
            baseline: confusion.majority(),
            confusion: Some(confusion),
        }
    }

    fn worst(&self, predictions: &[Classified], targets: &[usize]) -> Vec<(usize, String)> {
        let mut wrong: Vec<(usize, f64)> = predictions
            .iter()
            .zip(targets)
            .enumerate()
            .filter(|(_, (prediction, target))| prediction.label() != **target)
            .map(|(example, (prediction, &target))| (example, prediction.loss(target)))
            .collect();
        wrong.sort_by(|left, right| right.1.total_cmp(&left.1));
        let explain = |example: usize| {
            let prediction = &predictions[example];
            let label = prediction.label();
            format!(
                "{} ({:.0} %), should be {}",
                self.labels[label],
                100.0 * prediction.probabilities()[label],
                self.labels[targets[example]]
            )
        };
        wrong.into_iter().take(10).map(|(example, _)| (example, explain(example))).collect()
    }

    fn difference(&self, first: &[Classified], second: &[Classified]) -> f64 {
        let logits = |predictions: &[Classified]| {
            predictions.iter().flat_map(|prediction| prediction.logits.clone()).collect::<Vec<_>>()
        };
        let (first, second) = (logits(first), logits(second));
        let differences = first.iter().zip(&second).map(|(left, right)| f64::from((left - right).abs()));
        // A NaN must not hide behind max, which ignores it.
        differences.fold(0.0, |most, next| if next.is_nan() { f64::INFINITY } else { most.max(next) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(logits: &[f32]) -> Classified {
        Classified { logits: logits.to_vec() }
    }

    #[test]
    fn probabilities_are_softmax_and_do_not_overflow() {
        let probabilities = classified(&[1000.0, 1000.0 + 2.0_f32.ln()]).probabilities();
        assert!((probabilities[0] - 1.0 / 3.0).abs() < 1e-4, "{probabilities:?}");
        assert!((classified(&[0.0, 0.0]).loss(1) - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn scores_and_worst_errors() {
        let task = TextClassification { labels: vec!["neg".into(), "pos".into()] };
        let predictions = [classified(&[2.0, 0.0]), classified(&[9.0, 0.0]), classified(&[0.0, 1.0])];
        let scores = task.score(&predictions, &[0, 1, 0]);
        assert!((scores.headline() - 1.0 / 3.0).abs() < 1e-9);
        assert!((scores.baseline - 2.0 / 3.0).abs() < 1e-9);
        let worst = task.worst(&predictions, &[0, 1, 0]);
        assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(worst[0].1, "neg (100 %), should be pos");
    }

    #[test]
    fn a_nan_is_an_infinite_difference() {
        let task = TextClassification { labels: Vec::new() };
        let difference = task.difference(&[classified(&[1.0, f32::NAN])], &[classified(&[1.5, 0.0])]);
        assert_eq!(difference, f64::INFINITY);
    }
}
