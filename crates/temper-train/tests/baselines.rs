//! The baselines compared with scikit-learn (xtask/reference/baseline_fixture.py).

use serde::Deserialize;
use temper_train::baselines::{LogisticRegression, TfIdf};

#[derive(Deserialize)]
struct Case {
    train: Vec<String>,
    labels: Vec<usize>,
    test: Vec<String>,
    words: usize,
    row_sums: Vec<f64>,
    probabilities: Vec<Vec<f64>>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("fixtures/baselines.json")).expect("cases")
}

#[test]
fn words_are_weighted_as_scikit_learn_does() {
    for case in cases() {
        let rows = TfIdf::fit(&case.train).transform(&case.test);
        assert_eq!(rows.width(), case.words);
        assert_eq!(rows.len(), case.row_sums.len());
        for (row, theirs) in rows.rows().zip(&case.row_sums) {
            let ours: f64 = row.iter().map(|&(_, value)| value).sum();
            assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
        }
    }
}

#[test]
fn probabilities_are_scikit_learn_s() {
    for case in cases() {
        let words = TfIdf::fit(&case.train);
        let model = LogisticRegression::fit(&words.transform(&case.train), &case.labels);
        let ours = model.log_probabilities(&words.transform(&case.test), case.probabilities[0].len());
        assert_eq!(ours.len(), case.probabilities.len());
        for (ours, theirs) in ours.iter().flatten().zip(case.probabilities.iter().flatten()) {
            assert!((ours.exp() - theirs).abs() < 1e-6, "{} {theirs}", ours.exp());
        }
    }
}
