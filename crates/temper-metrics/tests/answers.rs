//! Answers compared with the scripts of SQuAD (xtask/reference/metrics_answers.py).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use temper_metrics::answers::{
    AnswerScore, BestThreshold, ScoredQuestion, SquadReport, SquadScores, normalize_answer,
};

fn cases<T: DeserializeOwned>(key: &str) -> Vec<T> {
    let mut all: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/answers.json")).expect("cases");
    let cases: Vec<T> = serde_json::from_value(all.remove(key).expect("the key")).expect("cases of the key");
    assert!(cases.len() >= 200);
    cases
}

fn is_close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() < 1e-9
}

#[test]
fn answers_are_normalized_as_in_python() {
    for (text, theirs) in cases::<(String, String)>("normal") {
        assert_eq!(normalize_answer(&text), theirs, "{text:?}");
    }
}

#[test]
fn answers_are_scored_as_by_both_scripts() {
    type Case = (String, Vec<String>, Option<(bool, f64)>, (bool, f64));
    for (answer, truth, first, second) in cases::<Case>("questions") {
        let ours = AnswerScore::v1(&answer, &truth);
        assert_eq!(ours.map(|score| score.exact), first.map(|score| score.0), "{answer:?} {truth:?}");
        if let Some((ours, (_, f1))) = ours.zip(first) {
            assert!(is_close(ours.f1, f1), "{answer:?} {truth:?} {}", ours.f1);
        }
        let ours = AnswerScore::v2(&answer, &truth);
        assert_eq!(ours.exact, second.0, "{answer:?} {truth:?}");
        assert!(is_close(ours.f1, second.1), "{answer:?} {truth:?} {}", ours.f1);
    }
}

type Set = (Vec<(String, Vec<String>, f64)>, f64, BTreeMap<String, f64>, Option<[f64; 2]>);

#[test]
fn sets_are_scored_as_by_evaluate_v2() {
    for (questions, threshold, theirs, _) in cases::<Set>("sets") {
        let questions: Vec<ScoredQuestion> = questions
            .iter()
            .map(|(answer, truth, no_answer)| ScoredQuestion::new(answer, truth, *no_answer))
            .collect();
        let report = SquadReport::of(&questions, threshold).expect("questions");
        assert_scores(Some(report.all), &theirs, "");
        assert_scores(report.has_answer, &theirs, "HasAns_");
        assert_scores(report.no_answer, &theirs, "NoAns_");
        for (BestThreshold { score, threshold }, name) in
            [(report.best_exact, "best_exact"), (report.best_f1, "best_f1")]
        {
            assert!(is_close(score, theirs[name]), "{questions:?} {name} {score}");
            assert_eq!(threshold, theirs[&format!("{name}_thresh")], "{questions:?} {name}");
        }
    }
}

fn assert_scores(ours: Option<SquadScores>, theirs: &BTreeMap<String, f64>, prefix: &str) {
    let value = |name: &str| theirs.get(&format!("{prefix}{name}")).copied();
    assert_eq!(ours.map(|scores| scores.total as f64), value("total"), "{theirs:?}");
    let Some(ours) = ours else { return };
    for (ours, name) in [(ours.exact, "exact"), (ours.f1, "f1")] {
        assert!(value(name).is_some_and(|theirs| is_close(ours, theirs)), "{theirs:?} {prefix}{name} {ours}");
    }
}

#[test]
fn sets_are_scored_as_by_evaluate_v1() {
    for (questions, _, _, theirs) in cases::<Set>("sets") {
        let scores = questions.iter().filter_map(|(answer, truth, _)| AnswerScore::v1(answer, truth));
        let ours = SquadScores::of(scores);
        assert_eq!(ours.is_some(), theirs.is_some(), "{questions:?}");
        if let Some((ours, [exact, f1])) = ours.zip(theirs) {
            assert!(is_close(ours.exact, exact) && is_close(ours.f1, f1), "{questions:?} {ours:?}");
        }
    }
}
