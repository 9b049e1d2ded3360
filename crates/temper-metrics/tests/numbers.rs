//! Regression, tests and intervals compared with scikit-learn, scipy and numpy (xtask/reference/metrics_numbers.py).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use temper_metrics::{RegressionScores, bootstrap_interval, mean_interval, wilcoxon_signed_rank};

fn cases<T: DeserializeOwned>(key: &str) -> Vec<T> {
    let mut all: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/numbers.json")).expect("cases");
    let cases: Vec<T> = serde_json::from_value(all.remove(key).expect("the key")).expect("cases of the key");
    assert!(cases.len() >= 10);
    cases
}

fn assert_close(ours: Option<f64>, theirs: Option<f64>, what: &str) {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-9, "{what}: {ours} {theirs}"),
        _ => assert_eq!(ours, theirs, "{what}"),
    }
}

#[test]
fn regression_is_scored_as_by_scikit_learn_and_scipy() {
    for (truth, predicted, theirs) in cases::<(Vec<f64>, Vec<f64>, [Option<f64>; 5])>("regression") {
        let ours = RegressionScores::of(&truth, &predicted).expect("numbers");
        let what = format!("{truth:?} {predicted:?}");
        assert_eq!(ours.count, truth.len());
        let ours = [Some(ours.mse), Some(ours.rmse), Some(ours.mae), ours.pearson, ours.spearman];
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            // Of squares of 10^9 only relative errors can be small.
            let scale = theirs.map_or(1.0, |theirs| theirs.abs().max(1.0));
            assert_close(ours.map(|ours| ours / scale), theirs.map(|theirs| theirs / scale), &what);
        }
    }
}

#[test]
fn signed_ranks_are_tested_as_by_scipy() {
    let cases = cases::<(Vec<f64>, Option<f64>)>("wilcoxon");
    assert!(cases.iter().any(|(differences, _)| differences.contains(&0.0)));
    for (differences, theirs) in cases {
        assert_close(wilcoxon_signed_rank(&differences), theirs, &format!("{differences:?}"));
    }
}

#[test]
fn intervals_of_means_are_scipy_s() {
    for (scores, theirs) in cases::<(Vec<f64>, [f64; 2])>("intervals") {
        let ours = mean_interval(&scores).expect("an interval");
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert_close(Some(ours), Some(theirs), &format!("{} scores", scores.len()));
        }
    }
}

#[test]
fn bootstrap_intervals_are_those_of_another_program() {
    for (scores, seed, name, theirs) in cases::<(Vec<f64>, u64, String, [f64; 2])>("bootstrap") {
        let ours = bootstrap_interval(scores.len(), seed, |places| {
            let drawn = places.iter().map(|&place| scores[place]);
            match name.as_str() {
                "mean" => drawn.sum::<f64>() / places.len() as f64,
                _ => drawn.fold(f64::NEG_INFINITY, f64::max),
            }
        });
        for (ours, theirs) in ours.expect("an interval").into_iter().zip(theirs) {
            assert_close(Some(ours), Some(theirs), &format!("{name} of {} scores", scores.len()));
        }
    }
}
