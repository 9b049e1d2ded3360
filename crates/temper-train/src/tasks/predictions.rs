//! Predictions for examples, and their scores.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use temper_metrics::{Calibration, ConfusionMatrix};

/// A model's output for one sequence, on the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Numbers of a row.
    pub columns: usize,
    /// `[rows, columns]`: a row for the sequence, or one for each of its tokens.
    pub logits: Vec<f32>,
    /// The generated text, as ids; empty for tasks that generate none.
    pub written: Vec<u32>,
}

impl Output {
    /// Rows of so many numbers.
    pub fn new(columns: usize, logits: Vec<f32>) -> Self {
        Self { columns, logits, written: Vec::new() }
    }

    /// Whether all of them are finite.
    pub fn is_finite(&self) -> bool {
        self.logits.iter().all(|logit| logit.is_finite())
    }

    /// Largest absolute difference between two sets of outputs.
    pub fn difference(first: &[Self], second: &[Self]) -> f64 {
        let logits =
            |outputs: &[Self]| outputs.iter().flat_map(|output| output.logits.clone()).collect::<Vec<_>>();
        let (first, second) = (logits(first), logits(second));
        let differences = first.iter().zip(&second).map(|(left, right)| f64::from((left - right).abs()));
        // A NaN must not hide behind max, which ignores it.
        differences.fold(0.0, |most, next| if next.is_nan() { f64::INFINITY } else { most.max(next) })
    }
}

/// Predictions for examples: they receive outputs one at a time and keep what is needed of them.
pub trait Predictions: Send {
    /// Takes the output of a feature. They come in any order, each once.
    fn add(&mut self, feature: usize, output: Output);

    /// The prediction of an example in words.
    fn decode(&self, example: usize) -> Decoded;

    /// The probability of each label; nothing where an example does not have one label of several.
    fn probabilities(&self, _example: usize) -> Option<Vec<f64>> {
        None
    }

    /// Decides as a model's record says ([`DecisionOptions`](super::DecisionOptions)).
    fn decide_by(&mut self, _record: &Map<String, Value>) {}
}

/// Predictions for examples whose right answers are known.
pub trait ScoredPredictions: Predictions {
    /// Scores over all examples.
    fn scores(&self) -> Scores;

    /// The right prediction of an example, as in `predictions.jsonl`; nothing if that is the text itself.
    fn expected(&self, _example: usize) -> Option<Value> {
        None
    }

    /// The score of each example, the higher the better: what paired tests compare.
    fn example_scores(&self) -> Vec<f64>;

    /// The predictions that were wrong with the highest confidence, `count` at most: example and explanation.
    fn worst(&self, count: usize) -> Vec<(usize, String)>;

    /// The thresholds that are best on these examples, as a model records them; empty if there is nothing to choose.
    fn tuned(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// A prediction in words.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Columns of a line, separated by tabs.
    pub line: String,
    /// The same and more, by name.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Scores of one split.
#[derive(Clone, Debug, Serialize)]
pub struct Scores {
    /// Name and value, the one that chooses the best checkpoint first.
    #[serde(with = "crate::tasks::metrics_by_name")]
    pub metrics: Vec<(String, f64)>,
    /// Whether a lower value of the first metric is better.
    pub lower_is_better: bool,
    /// 95 % interval of the first metric.
    pub interval: Option<[f64; 2]>,
    /// The first metric of the simplest baseline.
    pub baseline: f64,
    /// The name of that baseline.
    pub baseline_name: &'static str,
    /// Counts by true and predicted label, where an example has one label.
    pub confusion: Option<ConfusionMatrix>,
    /// Calibration: how well probabilities agree with how often the label is right; only if an example has one label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Scores of parts, such as of each type of entity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<ScoreTable>,
}

/// Scores of parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreTable {
    /// What the parts are.
    pub title: &'static str,
    /// Names of the scores.
    pub columns: Vec<&'static str>,
    /// A part with its scores.
    pub rows: Vec<(String, Vec<f64>)>,
}

impl Scores {
    /// The metric that chooses the best checkpoint.
    pub fn headline(&self) -> f64 {
        self.metrics.first().map_or(0.0, |&(_, value)| value)
    }

    /// Its name.
    pub fn headline_name(&self) -> &str {
        self.metrics.first().map_or("", |(name, _)| name)
    }

    /// Whether the headline is better than another value of it.
    pub fn is_better_than(&self, other: f64) -> bool {
        if self.lower_is_better { self.headline() < other } else { self.headline() > other }
    }

    /// The metrics in a line.
    pub fn in_words(&self) -> String {
        let metrics: Vec<String> =
            self.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        metrics.join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(logits: &[f32]) -> Output {
        Output::new(logits.len(), logits.to_vec())
    }

    #[test]
    fn a_nan_is_an_infinite_difference() {
        let difference = Output::difference(&[output(&[1.0, f32::NAN])], &[output(&[1.5, 0.0])]);
        assert_eq!(difference, f64::INFINITY);
        assert_eq!(Output::difference(&[output(&[1.0, 2.0])], &[output(&[1.5, 2.0])]), 0.5);
    }

    #[test]
    fn numbers_that_are_none_are_seen() {
        assert!(output(&[1.0, 2.0]).is_finite());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!output(&[1.0, bad]).is_finite());
        }
    }

    #[test]
    fn better_is_higher_or_lower_as_the_metric_has_it() {
        let scores = |lower_is_better| Scores {
            metrics: vec![("loss".into(), 0.5), ("accuracy".into(), 0.9)],
            lower_is_better,
            interval: None,
            baseline: 1.0,
            baseline_name: "",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        };
        assert!(scores(true).is_better_than(0.6) && !scores(true).is_better_than(0.5));
        assert!(scores(false).is_better_than(0.4) && !scores(false).is_better_than(0.5));
        assert_eq!(scores(false).in_words(), "loss 0.5000  accuracy 0.9000");
    }
}
