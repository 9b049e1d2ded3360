//! Tests of the task of answers.

use temper_data::{Answer, Encoded, EncodedSet};

use super::*;
use crate::examples::Features;

const CONTEXT: &str = "Łódź is in Poland";

/// Two questions on one context, of which the second may have no answer; each has one window of its four words.
fn answers(null_threshold: Option<f64>, second: &[(&str, usize)]) -> Answers {
    let question = |answers: &[(&str, usize)]| Question {
        id: String::new(),
        title: None,
        question: "where".into(),
        context: CONTEXT.into(),
        answers: answers.iter().map(|&(text, start)| Answer { text: text.into(), start }).collect(),
        is_impossible: answers.is_empty(),
        row: 1,
    };
    let rows = [question(&[("in Poland", 8), ("Poland", 11)]), question(second)];
    let places = vec![(0, 7), (8, 10), (11, 13), (14, 20)];
    let window = ContextWindow { null: 0, first: 1, places };
    let item = Encoded { ids: vec![0; 5], type_ids: vec![0; 5], tokens_lost: 0, lost_is_estimate: false };
    let targets = vec![Target::Ids(vec![4, 4]), Target::Ids(vec![0, 0])];
    let features = Features::one_each(EncodedSet::new(vec![item; 2], false), targets);
    let split = SplitQuestions { rows: Arc::new(rows), windows: vec![window; 2].into(), features };
    Answers::new(null_threshold, second.is_empty(), &split)
}

/// The output of a window that says this of no answer, and begins and ends an answer with these words.
fn output(null: f32, [start, end]: [usize; 2]) -> Output {
    let mut logits = vec![0.0; 10];
    (logits[0], logits[1]) = (null / 2.0, null / 2.0);
    (logits[2 * (start + 1)], logits[2 * (end + 1) + 1]) = (2.0, 2.0);
    Output::new(2, logits)
}

fn metrics(scores: &Scores) -> Vec<(&str, f64)> {
    scores.metrics.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn answers_are_slices_with_their_places_in_characters() {
    let mut answers = answers(None, &[("Łódź", 0)]);
    answers.add(1, output(99.0, [0, 0]));
    answers.add(0, output(0.0, [2, 3]));
    let decoded = answers.decode(0);
    assert_eq!(decoded.fields["text"], "in Poland");
    assert_eq!((&decoded.fields["start"], &decoded.fields["end"]), (&json!(8), &json!(17)));
    assert!(decoded.line.starts_with("in Poland\t0."), "{}", decoded.line);
    let n_best = decoded.fields["n_best"].as_array().unwrap();
    assert_eq!((n_best.len(), &n_best[0]["probability"]), (10, &decoded.fields["probability"]));
    let sum: f64 = n_best.iter().map(|span| span["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
    // Every question has an answer: what is said of none does not count.
    assert_eq!(answers.decode(1).fields["text"], "Łódź");
    let scores = answers.scores();
    let found = metrics(&scores);
    assert_eq!(found[..2], [("f1", 1.0), ("exact", 1.0)]);
    assert_eq!((found.len(), scores.baseline, scores.tables.len()), (3, 0.0, 0));
}

#[test]
fn no_answer_is_given_where_its_score_is_above_the_threshold() {
    let of = |threshold: f64| {
        let mut answers = answers(Some(threshold), &[]);
        answers.add(0, output(1.0, [3, 3]));
        answers.add(1, output(6.0, [0, 0]));
        answers
    };
    // The best span has 4: the margins are -3 and 2.
    let answers = of(0.0);
    let none = answers.decode(1);
    assert_eq!(
        (&none.fields["text"], &none.fields["start"], &none.fields["end"]),
        (&json!(""), &json!(0), &json!(0))
    );
    assert_eq!(none.fields["probability"], none.fields["n_best"][0]["probability"]);
    assert_eq!(answers.example_scores(), [1.0, 1.0]);
    let scores = answers.scores();
    let found = metrics(&scores);
    assert_eq!(
        (found[0], found[1], found[3], found[4]),
        (("f1", 1.0), ("exact", 1.0), ("best_f1", 1.0), ("best_f1_threshold", -3.0))
    );
    assert_eq!(scores.baseline, 0.5);
    let rows =
        [("has answer", 1.0), ("no answer", 1.0)].map(|(name, f1)| (name.to_owned(), vec![f1, 1.0, 1.0]));
    assert_eq!(scores.tables[0].rows, rows);
    assert_eq!(of(2.0).example_scores(), [1.0, 0.0], "a margin of the threshold is not above it");
    assert_eq!(of(-4.0).example_scores(), [0.0, 1.0]);
}

#[test]
fn the_surest_of_wrong_answers_come_first() {
    let mut answers = answers(Some(0.0), &[]);
    answers.add(0, output(-9.0, [0, 0]));
    answers.add(1, output(0.0, [1, 1]));
    assert_eq!(answers.example_scores(), [0.0, 0.0]);
    let worst = answers.worst(9);
    assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [0, 1]);
    assert!(
        worst[0].1.starts_with("\"Łódź\" (") && worst[0].1.ends_with("should be \"in Poland\""),
        "{worst:?}"
    );
    assert!(worst[1].1.ends_with("should be no answer"), "{worst:?}");
    assert_eq!(answers.worst(1).len(), 1);
}

#[test]
fn the_loss_is_the_mean_of_both_ends_over_windows() {
    let mut answers = answers(None, &[("Łódź", 0)]);
    answers.add(0, output(0.0, [3, 3]));
    answers.add(1, output(0.0, [0, 0]));
    let (two, rest) = (2.0_f64.exp(), 4.0);
    let sum = (two + rest).ln();
    let loss = metrics(&answers.scores())[2].1;
    assert!((loss - ((sum - 2.0) + sum) / 2.0).abs() < 1e-6, "{loss}");
}

#[test]
fn the_simple_guess_takes_other_words_of_the_sentence_that_fits() {
    let context = "It rains. The tower of Łódź was built by Ada Lovelace in spring. Nobody built it again.";
    let answer = |question: &str| &context[by_shared_words(question, context)];
    assert_eq!(answer("Who built the tower of Łódź, in spring?"), "by Ada Lovelace");
    assert_eq!(answer("By whom was the tower of Łódź built in spring?"), "Ada Lovelace");
    assert_eq!(answer("It rains"), "");
    assert_eq!(by_shared_words("who", ""), 0..0);
}
