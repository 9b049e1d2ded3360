//! Baselines that a fine-tuned classifier has to beat: the most common label, and TF-IDF.

mod lbfgs;
mod logistic;
mod sparse;
mod tfidf;

pub use lbfgs::minimise;
pub use logistic::LogisticRegression;
pub use sparse::SparseRows;
pub use tfidf::TfIdf;

use std::time::Instant;

/// A baseline, fitted to training texts.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Its name.
    pub name: String,
    /// Logarithms of the probabilities of the labels, a row for each test text.
    pub log_probabilities: Vec<Vec<f64>>,
    /// Wall time of training in seconds.
    pub training_seconds: f64,
}

/// Fits the baselines to texts with their labels, which are ids below `labels`, and applies them to other texts.
pub fn fitted(train: &[String], train_labels: &[usize], labels: usize, test: &[String]) -> Vec<Fitted> {
    let fitted = |name: &str, started: Instant, apply: &dyn Fn() -> Vec<Vec<f64>>| {
        let training_seconds = started.elapsed().as_secs_f64();
        Fitted { name: name.into(), log_probabilities: apply(), training_seconds }
    };
    let started = Instant::now();
    let prior = log_shares(train_labels, labels);
    let majority = fitted("majority", started, &|| vec![prior.clone(); test.len()]);
    let started = Instant::now();
    let words = TfIdf::fit(train);
    let regression = LogisticRegression::fit(&words.transform(train), train_labels);
    let counted = fitted("tf-idf + logistic regression", started, &|| {
        regression.log_probabilities(&words.transform(test), labels)
    });
    vec![majority, counted]
}

/// What the majority says of every text: the shares of the labels in training, so that its loss is
/// the best of any constant.
fn log_shares(labels: &[usize], count: usize) -> Vec<f64> {
    let of = |label| labels.iter().filter(|&&other| other == label).count() as f64;
    (0..count).map(|label| (of(label) / labels.len() as f64).ln()).collect()
}
