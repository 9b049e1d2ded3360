//! From a name or path to questions with their contexts and answers.

#[path = "common/datasets.rs"]
mod datasets;
#[path = "common/questions.rs"]
mod questions;

use std::collections::HashSet;
use std::path::Path;

use temper_data::{Answer, AnswerError, DataError, Question, QuestionAnsweringData, unit_hash};

use crate::datasets::write;
use crate::questions::{answer_error, good, load, load_with, row};

/// Writes train, validation and test files; the last is what a test is about.
fn write_splits(root: &Path, test: &str) {
    write(root, "d/train.jsonl", (0..4).map(good).collect::<String>());
    write(root, "d/dev.jsonl", (4..6).map(good).collect::<String>());
    write(root, "d/test.jsonl", good(6) + test);
}

fn refused(test: &str, parts: &[&str]) -> AnswerError {
    let root = tempfile::tempdir().unwrap();
    write_splits(root.path(), test);
    let error = load(root.path(), "d").unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part} not in: {message}");
    }
    answer_error(error)
}

#[test]
fn json_lines_have_answers_in_several_forms() {
    let root = tempfile::tempdir().unwrap();
    let context = "Na\u{ef}ve caf\u{e9}s of Paris.";
    let forms = [
        "{\"text\": [\"Paris\"], \"answer_start\": [15]}",
        "{\"text\": \"Paris\", \"answer_start\": 15}",
        "[{\"answer_start\": 15, \"text\": \"Paris\"}]",
        "\"Paris\", \"answer_start\": 15",
    ];
    let rows: String = forms.iter().enumerate().map(|(i, form)| row(i + 20, context, form)).collect();
    write_splits(root.path(), &rows);
    let data = load(root.path(), "d").unwrap();
    assert_eq!(data.rows.test.len(), 5);
    for question in &data.rows.test[1..] {
        assert_eq!(question.answers, [Answer { text: "Paris".into(), start: 15 }]);
        assert_eq!((question.context.as_str(), question.is_impossible), (context, false));
    }
    let first = &data.rows.train[0];
    let expected = Question {
        id: "q0".into(),
        title: None,
        question: "What 0?".into(),
        context: "It is 0.".into(),
        answers: vec![Answer { text: "0".into(), start: 6 }],
        is_impossible: false,
        row: 1,
    };
    assert_eq!(*first, expected);
    assert_eq!((data.moved, data.rows.leaked), (0, 0));
    assert_eq!(data.rows.notices, [""; 0]);
    let columns: Vec<&str> = data.rows.columns.keys().map(String::as_str).collect();
    assert_eq!(columns, ["answer_start", "answers", "context", "id", "question"]);
}

#[test]
fn the_questions_of_a_context_are_held_out_together_and_leak_alone() {
    let root = tempfile::tempdir().unwrap();
    let rows = |contexts: std::ops::Range<usize>| -> String {
        contexts
            .flat_map(|context| (0..3).map(move |part| (context, part)))
            .map(|(context, part)| {
                let answers = "{\"text\": [\"Text\"], \"answer_start\": [0]}";
                row(10 * context + part, &format!("Text {context}."), answers)
            })
            .collect()
    };
    write(root.path(), "a.jsonl", rows(0..60));
    let data = load(root.path(), "a.jsonl").unwrap();
    let contexts = |rows: &[Question]| rows.iter().map(|row| row.context.clone()).collect::<HashSet<_>>();
    let (train, test) = (contexts(&data.rows.train), contexts(&data.rows.test));
    assert!(train.is_disjoint(&test) && train.is_disjoint(&contexts(&data.rows.validation)));
    assert!(!test.is_empty() && test.iter().all(|context| unit_hash(context) < 0.1));
    assert_eq!(data.rows.test.len(), 3 * test.len());

    write(root.path(), "d/train.jsonl", rows(0..60));
    // Of a known context, one question that train has and one that it lacks.
    let known = "{\"text\": [\"Text\"], \"answer_start\": [0]}";
    write(root.path(), "d/test.jsonl", row(10, "Text 1.", known) + &row(9000, "Text 1.", known));
    let data = load(root.path(), "d").unwrap();
    assert_eq!((data.rows.leaked, data.rows.test.len()), (1, 2));
    assert_eq!(data.rows.train.len() + data.rows.validation.len(), 179);
}

#[test]
fn questions_without_answers_are_impossible_where_the_source_says_so() {
    let root = tempfile::tempdir().unwrap();
    let answered = |ids: std::ops::Range<usize>| -> String { ids.map(good).collect() };
    let empty = "{\"text\": [], \"answer_start\": []}";
    let write_test = |test: &str| {
        write(root.path(), "d/train.jsonl", answered(0..4));
        write(root.path(), "d/dev.jsonl", answered(4..6));
        write(root.path(), "d/test.jsonl", answered(6..7) + test);
    };
    // Nothing is said.
    write_test(&row(20, "It is so.", empty));
    let error = answer_error(load(root.path(), "d").unwrap_err());
    assert!(matches!(error, AnswerError::NoAnswer { row: 2, count: 1, .. }), "{error}");
    assert!(error.to_string().contains("test.jsonl, row 2: the question has no answer"), "{error}");
    let data = load_with(root.path(), "d", true).unwrap();
    assert!(data.rows.test[1].is_impossible && data.rows.test[1].answers.is_empty());
    assert!(!data.rows.test[0].is_impossible);
    // The row says it, in a file alone: the others have no such column.
    write_test(&row(20, "It is so.", &format!("{empty}, \"is_impossible\": true")));
    let data = load(root.path(), "d").unwrap();
    assert!(data.rows.test[1].is_impossible);
    assert!(data.rows.columns.contains_key("is_impossible"));
    // The row says otherwise, or has an answer.
    write_test(&row(20, "It is so.", &format!("{empty}, \"is_impossible\": false")));
    for unanswerable in [false, true] {
        let error = answer_error(load_with(root.path(), "d", unanswerable).unwrap_err());
        assert!(matches!(error, AnswerError::NoAnswer { row: 2, .. }), "{error}");
    }
    let both = "{\"text\": [\"It\"], \"answer_start\": [0]}, \"is_impossible\": true";
    refused(&row(20, "It is so.", both), &["row 2: it is marked `is_impossible` and has an answer"]);
}

#[test]
fn a_card_says_what_becomes_of_questions_without_answers() {
    let root = tempfile::tempdir().unwrap();
    let rows = (0..40).map(good).collect::<String>() + &row(40, "It is so.", "[]");
    write(root.path(), "mirror/datasets/me/questions/a.jsonl", rows);
    let load = |unlabelled: &str| {
        let card = format!(
            "name = \"mine\"\ntitle = \"Mine\"\nhomepage = \"none\"\nlicence = \"CC0\"\n\
             task = \"question-answering\"\nformat = \"jsonl\"\nunlabelled = \"{unlabelled}\"\n\
             [source]\nhub = \"me/questions\"\n[splits]\ntrain = [\"a.jsonl\"]\n\
             [columns]\nquestion = \"question\"\ncontext = \"context\"\nanswers = \"answers\"\n\
             [hold_out]\ntest = 0.1\nvalidation = 0.1\n"
        );
        write(root.path(), "cards/mine.toml", card);
        self::load(root.path(), "mine")
    };
    let rows = |data: &QuestionAnsweringData| {
        data.rows.train.len() + data.rows.validation.len() + data.rows.test.len()
    };
    let data = load("keep").unwrap();
    assert_eq!((rows(&data), data.rows.unlabelled), (41, 0));
    let data = load("drop").unwrap();
    assert_eq!((rows(&data), data.rows.unlabelled), (40, 1));
    let error = answer_error(load("error").unwrap_err());
    assert!(matches!(error, AnswerError::NoAnswer { row: 41, .. }), "{error}");
}

#[test]
fn answers_that_stand_in_one_other_place_are_taken_from_there() {
    let root = tempfile::tempdir().unwrap();
    let answer = |start: i64| format!("{{\"text\": [\"Paris\"], \"answer_start\": [{start}]}}");
    let test: String = [9, -1, 300, 7]
        .iter()
        .enumerate()
        .map(|(i, start)| row(20 + i, "I was in Paris.", &answer(*start)))
        .collect();
    write_splits(root.path(), &test);
    let data = load(root.path(), "d").unwrap();
    assert_eq!(data.moved, 3);
    assert!(data.rows.test[1..].iter().all(|row| row.answers[0].start == 9));
    let notice = &data.rows.notices[0];
    for part in ["test.jsonl: answers", ": 3 (row 3: from -1 to 9, row 4: from 300 to 9, row 5: from 7 to 9)"]
    {
        assert!(notice.contains(part), "{part} not in: {notice}");
    }
    assert!(!notice.contains("if they count"), "{notice}");
}

#[test]
fn offsets_in_other_units_are_told() {
    let context = "\u{1f600} caf\u{e9}: Paris";
    let answer = |start: i64| format!("{{\"text\": \"Paris\", \"answer_start\": {start}}}");
    for (start, unit) in [(9, "code units of UTF-16"), (12, "bytes of UTF-8")] {
        let root = tempfile::tempdir().unwrap();
        write_splits(root.path(), &row(20, context, &answer(start)));
        let data = load(root.path(), "d").unwrap();
        assert_eq!(data.rows.test[1].answers[0].start, 8);
        let notice = &data.rows.notices[0];
        assert!(notice.contains(&format!("(1) are right if they count {unit}")), "{notice}");
        // In several places: which one is meant cannot be known, but what the offsets count is reported.
        let twice = row(20, context, &answer(start)) + &row(21, &format!("{context} Paris"), &answer(start));
        let error =
            refused(&twice, &["row 3", "in 2 other places", &format!("(2) are right if they count {unit}")]);
        assert!(matches!(error, AnswerError::Misplaced { row: 3, places: 2, .. }), "{error}");
        // One that is wrong in any unit.
        let other = row(20, context, &answer(start)) + &row(21, "Paris or Paris", &answer(3));
        let error =
            refused(&other, &["offset 3 of its context, which has `is or` there; it is in 2 other places;"]);
        assert!(matches!(error, AnswerError::Misplaced { row: 3, places: 2, .. }), "{error}");
    }
}

#[test]
fn rows_that_are_no_questions_are_named() {
    let good = "{\"text\": [\"It\"], \"answer_start\": [0]}";
    let error = refused(
        &row(20, "It is so.", "{\"text\": [\"Paris\"], \"answer_start\": [3]}"),
        &[
            "test.jsonl, row 2: the answer `Paris` is not at offset 3",
            "`is so` there; it is nowhere in the context",
        ],
    );
    assert!(matches!(error, AnswerError::Misplaced { row: 2, places: 0, start: 3, .. }), "{error}");
    let error = refused(&row(20, " ", good), &["row 2: the context is empty"]);
    assert!(matches!(error, AnswerError::Empty { what: "context", row: 2, .. }), "{error}");
    let error = refused(&row(20, "It", good).replace("What 20?", "\\n"), &["row 2: the question is empty"]);
    assert!(matches!(error, AnswerError::Empty { what: "question", row: 2, .. }), "{error}");
    for (answers, part) in [
        ("{\"text\": [\"It\"], \"answer_start\": []}", "1 answers, but 0 offsets"),
        ("{\"text\": [\"It\"]}", "without `answer_start`"),
        ("{\"text\": [\"\"], \"answer_start\": [0]}", "without characters"),
        ("[\"It\"]", "text in the list of answers"),
        (
            "{\"text\": [\"It\"], \"answer_start\": [0]}, \"is_impossible\": \"no\"",
            "`is_impossible` holds text",
        ),
    ] {
        let error = refused(&row(20, "It is so.", answers), &["test.jsonl, row 2: ", part]);
        assert!(matches!(error, AnswerError::BadCell { row: 2, .. }), "{error}");
    }
    let error =
        refused(&row(6, "It is so.", good), &["row 2: the id `q6`", "test.jsonl, row 1;", "its own id"]);
    assert!(matches!(error, AnswerError::RepeatedId { row: 2, first_row: 1, .. }), "{error}");
    let root = tempfile::tempdir().unwrap();
    write_splits(root.path(), &row(20, "It is so.", good).replace("\"What 20?\"", "null"));
    let error = load(root.path(), "d").unwrap_err();
    assert!(matches!(error, DataError::NotText { row: 2, .. }), "{error}");
    write(root.path(), "d/train.jsonl", "{\"question\": \"a\", \"context\": \"b\"}\n");
    let message = load(root.path(), "d").unwrap_err().to_string();
    assert!(message.contains("no column `answers`") && message.contains("dataset card"), "{message}");
}

#[test]
fn ids_may_be_missing_or_the_same_in_two_splits() {
    let root = tempfile::tempdir().unwrap();
    let rows = |context: &str| -> String {
        (0..3).map(|i| row(i, &format!("{context} {i}"), "{\"text\": \"a\", \"answer_start\": 0}")).collect()
    };
    write(root.path(), "d/train.jsonl", rows("a train"));
    write(root.path(), "d/dev.jsonl", rows("a dev"));
    write(root.path(), "d/test.jsonl", rows("a test").replace("\"id\"", "\"key\""));
    let data = load(root.path(), "d").unwrap();
    let ids = |rows: &[Question]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&data.rows.train), ["q0", "q1", "q2"]);
    assert_eq!(ids(&data.rows.validation), ["q0", "q1", "q2"]);
    assert_eq!(ids(&data.rows.test), ["test.jsonl:1", "test.jsonl:2", "test.jsonl:3"]);
}

#[test]
fn training_questions_without_any_answer_teach_nothing() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "d/train.jsonl", (0..4).map(|i| row(i, "It is so.", "[]")).collect::<String>());
    write(root.path(), "d/dev.jsonl", good(4));
    write(root.path(), "d/test.jsonl", good(5));
    let error = answer_error(load_with(root.path(), "d", true).unwrap_err());
    assert!(matches!(error, AnswerError::NothingAnswered { rows: 4, .. }), "{error}");
}
