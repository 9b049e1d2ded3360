//! Labels compared with scikit-learn (xtask/reference/metrics_numbers.py).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use temper_metrics::multilabel::{MultiLabelScores, Threshold, label_thresholds, micro_threshold};
use temper_metrics::{ConfusionMatrix, PrecisionRecall};

#[derive(Deserialize)]
struct MultiLabel {
    micro: [f64; 3],
    r#macro: [f64; 3],
    weighted: [f64; 3],
    samples: [f64; 3],
    /// Precision, recall and F1 of all labels.
    labels: [Vec<f64>; 3],
    subset_accuracy: f64,
    hamming_loss: f64,
    micro_threshold: Option<(f64, f64)>,
    label_thresholds: Vec<Option<(f64, f64)>>,
}

fn cases<T: DeserializeOwned>(key: &str) -> Vec<T> {
    let mut all: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/labels.json")).expect("cases");
    let cases: Vec<T> = serde_json::from_value(all.remove(key).expect("the key")).expect("cases of the key");
    assert!(cases.len() >= 200);
    cases
}

fn is_close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < 1e-9
}

fn assert_scores(ours: PrecisionRecall, theirs: [f64; 3], what: &str) {
    for (ours, theirs) in [ours.precision, ours.recall, ours.f1].into_iter().zip(theirs) {
        assert!(is_close(ours, theirs), "{what}: {ours} {theirs}");
    }
}

#[test]
fn single_labels_are_scored_as_by_scikit_learn() {
    for (labels, truth, predicted, theirs) in cases::<(usize, Vec<usize>, Vec<usize>, [f64; 4])>("confusion")
    {
        let names: Vec<String> = (0..labels).map(|label| label.to_string()).collect();
        let pairs = truth.iter().copied().zip(predicted.iter().copied());
        let matrix = ConfusionMatrix::new(&names, pairs);
        let ours = [matrix.accuracy(), matrix.macro_f1(), matrix.macro_recall(), matrix.mcc()];
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            assert!(is_close(ours, theirs), "{truth:?} {predicted:?}: {ours} {theirs}");
        }
    }
}

fn bits(rows: &[String]) -> Vec<Vec<bool>> {
    rows.iter().map(|row| row.chars().map(|bit| bit == '1').collect()).collect()
}

#[test]
fn several_labels_are_scored_as_by_scikit_learn() {
    for (rows, probabilities, theirs) in cases::<(Vec<String>, Vec<Vec<f64>>, MultiLabel)>("multilabel") {
        let mut scores = MultiLabelScores::new(theirs.label_thresholds.len());
        for (truth, row) in bits(&rows).iter().zip(&probabilities) {
            let predicted: Vec<bool> = row.iter().map(|&probability| probability >= 0.5).collect();
            scores.add(truth, &predicted).expect("equal lengths");
        }
        let report = scores.report();
        assert_scores(report.micro, theirs.micro, "micro");
        assert_scores(report.r#macro, theirs.r#macro, "macro");
        assert_scores(report.weighted, theirs.weighted, "weighted");
        assert_scores(report.samples, theirs.samples, "samples");
        for (label, &ours) in report.labels.iter().enumerate() {
            assert_scores(ours, std::array::from_fn(|score| theirs.labels[score][label]), "label");
        }
        assert!(is_close(report.subset_accuracy, theirs.subset_accuracy), "{rows:?}");
        assert!(is_close(report.hamming_loss, theirs.hamming_loss), "{rows:?}");
    }
}

#[test]
fn thresholds_are_the_best_of_all() {
    let assert_threshold = |ours: Option<Threshold>, theirs: Option<(f64, f64)>| {
        assert_eq!(ours.map(|best| best.threshold), theirs.map(|best| best.0));
        if let Some((ours, (_, f1))) = ours.zip(theirs) {
            assert!(is_close(ours.f1, f1), "{} {f1}", ours.f1);
        }
    };
    for (rows, probabilities, theirs) in cases::<(Vec<String>, Vec<Vec<f64>>, MultiLabel)>("multilabel") {
        let truth = bits(&rows);
        assert_threshold(micro_threshold(&probabilities, &truth).expect("numbers"), theirs.micro_threshold);
        let ours = label_thresholds(&probabilities, &truth).expect("numbers");
        assert_eq!(ours.len(), theirs.label_thresholds.len());
        for (ours, theirs) in ours.into_iter().zip(theirs.label_thresholds) {
            assert_threshold(ours, theirs);
        }
    }
}
