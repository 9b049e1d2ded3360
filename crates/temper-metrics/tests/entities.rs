//! Entities compared with seqeval (xtask/reference/metrics_entities.py).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use temper_metrics::PrecisionRecall;
use temper_metrics::entities::{
    Entity, EntityScores, TagScheme, check_tags, lenient_entities, strict_entities,
};

/// Kind, start and end.
type Found = Vec<(String, usize, usize)>;

/// Precision, recall, F1 and support.
#[derive(Clone, Copy, Deserialize)]
struct Row(f64, f64, f64, usize);

fn cases<T: DeserializeOwned>(key: &str) -> Vec<T> {
    let mut all: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/entities.json")).expect("cases");
    let cases: Vec<T> = serde_json::from_value(all.remove(key).expect("the key")).expect("cases of the key");
    assert!(cases.len() > 200);
    cases
}

fn split(sentence: &str) -> Vec<&str> {
    sentence.split(' ').filter(|tag| !tag.is_empty()).collect()
}

fn scheme(name: &str) -> Option<TagScheme> {
    TagScheme::ALL.into_iter().find(|scheme| scheme.to_string().to_lowercase() == name)
}

fn parts(entities: Vec<Entity>) -> Found {
    entities.into_iter().map(|entity| (entity.kind, entity.start, entity.end)).collect()
}

#[test]
fn lenient_entities_are_seqeval_s() {
    for (sentence, theirs) in cases::<(String, Found)>("lenient") {
        assert_eq!(parts(lenient_entities(&split(&sentence))), theirs, "{sentence}");
    }
}

#[test]
fn strict_entities_are_seqeval_s() {
    let mut refused = 0;
    for (name, sentence, theirs) in cases::<(String, String, Option<Found>)>("strict") {
        let ours = strict_entities(&split(&sentence), scheme(&name).unwrap());
        refused += usize::from(ours.is_err());
        assert_eq!(ours.ok().map(parts), theirs, "{name} {sentence}");
    }
    assert!(refused > 50);
}

#[test]
fn both_modes_agree_on_valid_tags_where_seqeval_does() {
    let mut valid = 0;
    for (name, sentence, theirs) in cases::<(String, String, Option<Found>)>("strict") {
        let (tags, scheme) = (split(&sentence), scheme(&name).unwrap());
        // Its default mode does not know L and U.
        if scheme == TagScheme::Bilou || check_tags(&tags, scheme).is_err() {
            continue;
        }
        valid += 1;
        assert_eq!(Some(parts(lenient_entities(&tags))), theirs, "{name} {sentence}");
    }
    assert!(valid > 150, "{valid}");
}

#[test]
fn reports_are_seqeval_s() {
    type Report = BTreeMap<String, Option<Row>>;
    for (name, truth, predicted, theirs) in cases::<(String, Vec<String>, Vec<String>, Report)>("reports") {
        let entities = |sentence: &String| match scheme(&name) {
            Some(scheme) => strict_entities(&split(sentence), scheme).expect("tags of the scheme"),
            None => lenient_entities(&split(sentence)),
        };
        let mut scores = EntityScores::default();
        for (truth, predicted) in truth.iter().zip(&predicted) {
            scores.add(&entities(truth), &entities(predicted));
        }
        let report = scores.report();
        let mut ours = report.kinds;
        ours.insert("micro avg".to_owned(), report.micro);
        ours.insert("macro avg".to_owned(), report.r#macro);
        ours.insert("weighted avg".to_owned(), report.weighted);
        assert!(ours.keys().eq(theirs.keys()), "{name} {truth:?} {predicted:?}");
        for (ours, theirs) in ours.values().zip(theirs.values()) {
            // seqeval's macro average of nothing is not a number.
            let theirs = theirs.unwrap_or(Row(0.0, 0.0, 0.0, 0));
            assert!(is_close(*ours, theirs), "{name} {truth:?} {predicted:?} {ours:?}");
        }
    }
}

fn is_close(ours: PrecisionRecall, theirs: Row) -> bool {
    let pairs = [(ours.precision, theirs.0), (ours.recall, theirs.1), (ours.f1, theirs.2)];
    ours.support == theirs.3 && pairs.iter().all(|(ours, theirs)| (ours - theirs).abs() < 1e-9)
}
