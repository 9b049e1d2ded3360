//! What a fine-tuned classifier has to beat: the most common label, and words counted.

mod lbfgs;
mod logistic;
mod sparse;
mod tfidf;

pub use lbfgs::minimise;
pub use logistic::LogisticRegression;
pub use sparse::SparseRows;
pub use tfidf::TfIdf;

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Splits;
use crate::tasks::{Classified, Task, TextClassification};

/// How a baseline does on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its name.
    pub name: String,
    /// Name and value, the same as a model's and in the same order.
    pub metrics: Vec<(String, f64)>,
    /// 95 % interval of the first metric over the test examples.
    pub interval: [f64; 2],
    /// Wall time of training in seconds.
    pub training_seconds: f64,
    /// Whether each test example is right, in the split's order.
    pub right: Vec<bool>,
}

impl Baseline {
    /// The first metric.
    pub fn headline(&self) -> f64 {
        self.metrics.first().map_or(0.0, |&(_, value)| value)
    }
}

/// Trains the baselines on the raw training texts and scores them on the test split.
pub fn baselines(task: &TextClassification, splits: &Splits<TextClassification>) -> Vec<Baseline> {
    let score = |name: &str, started: Instant, predict: &dyn Fn() -> Vec<Classified>| {
        let training_seconds = started.elapsed().as_secs_f64();
        let (predictions, targets) = (predict(), &splits.test.examples.targets);
        let scores = task.score(&predictions, targets);
        let right = |(prediction, target)| task.is_right(prediction, target);
        Baseline {
            name: name.into(),
            metrics: scores.metrics.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            interval: scores.interval,
            training_seconds,
            right: predictions.iter().zip(targets.iter()).map(right).collect(),
        }
    };
    let (train, test) = (&splits.train, &splits.test);
    let started = Instant::now();
    let prior = log_shares(&train.examples.targets, task.labels.len());
    let majority = score("majority", started, &|| vec![prior.clone(); test.texts.len()]);
    let started = Instant::now();
    let words = TfIdf::fit(&train.texts);
    let regression = LogisticRegression::fit(&words.transform(&train.texts), &train.examples.targets);
    let counted = score("tf-idf + logistic regression", started, &|| {
        let rows = regression.log_probabilities(&words.transform(&test.texts), task.labels.len());
        rows.into_iter().map(classified).collect()
    });
    vec![majority, counted]
}

/// What the majority says of every text: the shares of the labels in training, so that its loss is
/// the best of any constant.
fn log_shares(labels: &[usize], count: usize) -> Classified {
    let of = |label| labels.iter().filter(|&&other| other == label).count() as f64;
    classified((0..count).map(|label| (of(label) / labels.len() as f64).ln()).collect())
}

fn classified(logarithms: Vec<f64>) -> Classified {
    Classified { logits: logarithms.into_iter().map(|value| value as f32).collect() }
}
