//! What an examination finds in datasets with known faults.

mod common;
#[path = "common/datasets.rs"]
mod datasets;

use std::path::Path;

use datasets::{hub, request, write};
use temper_data::{
    Diagnosis, Finding, FindingKind, LabelRequest, Measure, QuestionRequest, Severity, Spot, TagRequest,
    examine_question_answering, examine_text_classification, examine_token_classification,
    load_text_classification, load_tokenizer,
};

/// A sentence of words that no other number has.
fn sentence(number: usize) -> String {
    (0..12).map(|word| format!("word{number}x{word}")).collect::<Vec<_>>().join(" ")
}

/// Sound rows, and others after them.
fn rows(from: usize, count: usize, more: &[(&str, &str)]) -> String {
    let sound = (from..from + count).map(|number| {
        let label = if number % 2 == 0 { "neg" } else { "pos" };
        serde_json::json!({ "text": sentence(number), "label": label }).to_string()
    });
    let more =
        more.iter().map(|(text, label)| serde_json::json!({ "text": text, "label": label }).to_string());
    sound.chain(more).map(|row| row + "\n").collect()
}

fn examined(root: &Path, measure: Option<Measure<'_>>) -> Diagnosis {
    let rows = request(root, root.join("data").display());
    let asked = LabelRequest { rows, ..LabelRequest::default() };
    examine_text_classification(&hub(root, root), &asked, measure).unwrap()
}

fn found(diagnosis: &Diagnosis, kind: FindingKind) -> &Finding {
    let finding = diagnosis.findings.iter().find(|finding| finding.kind == kind);
    finding.unwrap_or_else(|| panic!("no {kind:?}: {diagnosis}"))
}

/// Split and row of each spot.
fn places(rows: &[Vec<Spot>]) -> Vec<Vec<(&str, usize)>> {
    rows.iter().map(|group| group.iter().map(|spot| (spot.split, spot.row)).collect()).collect()
}

#[test]
fn a_sound_dataset_has_no_findings() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "data/train.jsonl", rows(0, 40, &[]));
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[]));
    let diagnosis = examined(root.path(), None);
    assert!(diagnosis.findings.is_empty(), "{diagnosis}");
    let train = &diagnosis.splits[0];
    assert_eq!((train.rows, train.label_counts[0].clone()), (40, ("neg".to_string(), 20)));
    let longest = (0..40).map(|number| sentence(number).len()).max().unwrap();
    assert_eq!((train.lengths.unit, train.lengths.longest), ("characters", longest));
}

#[test]
fn copies_leaks_and_contradictions_are_named_by_their_rows() {
    let root = tempfile::tempdir().unwrap();
    let (first, second, fifth) = (sentence(1), sentence(2), sentence(5));
    // Rows 41 to 43: a copy of row 2, row 3 with another label, and a row that is in validation.
    let more = [(first.as_str(), "pos"), (second.as_str(), "pos"), (&sentence(40), "neg")];
    write(root.path(), "data/train.jsonl", rows(0, 40, &more));
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[(&fifth, "pos"), (&fifth, "pos")]));
    let diagnosis = examined(root.path(), None);
    let of = |kind| {
        let finding = found(&diagnosis, kind);
        assert_eq!(finding.severity, Severity::Warning);
        (finding.count, places(&finding.rows))
    };
    assert_eq!(
        of(FindingKind::Duplicate),
        (
            3,
            vec![
                vec![("train", 2), ("train", 41)],
                vec![("train", 3), ("train", 42)],
                vec![("test", 11), ("test", 12)]
            ]
        )
    );
    assert_eq!(of(FindingKind::ConflictingLabels), (1, vec![vec![("train", 3), ("train", 42)]]));
    assert_eq!(of(FindingKind::Leak), (1, vec![vec![("train", 6), ("test", 11), ("test", 12)]]));
    assert_eq!(of(FindingKind::SharedWithValidation), (1, vec![vec![("train", 43), ("validation", 1)]]));
    assert_eq!(diagnosis.findings.len(), 4, "{diagnosis}");
    let conflict = &found(&diagnosis, FindingKind::ConflictingLabels).rows[0];
    assert_eq!((conflict[0].detail.as_deref(), conflict[1].detail.as_deref()), (Some("neg"), Some("pos")));
}

#[test]
fn rows_that_are_almost_the_same_are_found_within_and_across_splits() {
    let root = tempfile::tempdir().unwrap();
    let long = |number: usize| (0..60).map(|word| format!("w{number}x{word}")).collect::<Vec<_>>();
    let text = |words: &[String]| words.join(" ");
    // One word of sixty is another: three of 58 shingles differ on either side, 55 / 61 = 0.90.
    let mut changed = long(100);
    changed[30] = "another".into();
    let upper = text(&long(100)).to_uppercase();
    // Every fifth word differs: nothing is left of the shingles.
    let mut other = long(100);
    (0..60).step_by(3).for_each(|word| other[word] = "x".into());
    let more = [(text(&long(100)), "neg"), (text(&changed), "neg"), (text(&other), "pos")];
    let more: Vec<(&str, &str)> = more.iter().map(|(text, label)| (text.as_str(), *label)).collect();
    write(root.path(), "data/train.jsonl", rows(0, 40, &more));
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[(&upper, "neg")]));
    let diagnosis = examined(root.path(), None);
    let near = found(&diagnosis, FindingKind::NearDuplicate);
    assert_eq!((near.count, places(&near.rows)), (1, vec![vec![("train", 41), ("train", 42)]]));
    let leak = found(&diagnosis, FindingKind::NearLeak);
    assert_eq!(leak.count, 2);
    assert_eq!(places(&leak.rows), [vec![("test", 11), ("train", 41), ("train", 42)]]);
    assert_eq!(diagnosis.findings.len(), 2, "{diagnosis}");
}

#[test]
fn damaged_empty_and_rare_rows_are_found() {
    let root = tempfile::tempdir().unwrap();
    let more = [("", "pos"), ("Le cafÃ© est bon", "pos"), ("a<br />b", "pos"), ("one of a kind", "rare")];
    write(root.path(), "data/train.jsonl", rows(0, 40, &more));
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[]));
    let diagnosis = examined(root.path(), None);
    let row = |kind| places(&found(&diagnosis, kind).rows)[0][0].1;
    assert_eq!(row(FindingKind::EmptyText), 41);
    assert_eq!(row(FindingKind::DamagedText), 42);
    assert_eq!(row(FindingKind::Markup), 43);
    assert!(found(&diagnosis, FindingKind::RareLabel).message.ends_with("rare 1"), "{diagnosis}");
    assert!(found(&diagnosis, FindingKind::Imbalance).message.contains("pos 23, rare 1"), "{diagnosis}");
    let severities: Vec<Severity> = diagnosis.findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted(), "{severities:?}");
    assert_eq!((diagnosis.count(Severity::Error), diagnosis.count(Severity::Note)), (0, 2));
}

#[test]
fn rows_that_cannot_be_read_are_all_named_and_can_be_left_out() {
    let root = tempfile::tempdir().unwrap();
    let bad = "{\"text\": 7, \"label\": \"pos\"}\n{\"text\": \"no label\"}\n";
    write(root.path(), "data/train.jsonl", rows(0, 40, &[]) + bad);
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[("a label of its own", "new")]));
    let diagnosis = examined(root.path(), None);
    let unreadable = found(&diagnosis, FindingKind::UnreadableRow);
    assert_eq!((unreadable.severity, unreadable.count), (Severity::Error, 3));
    assert_eq!(places(&unreadable.rows), [[("test", 11)], [("train", 41)], [("train", 42)]]);
    let reasons: Vec<&str> = unreadable.rows.iter().map(|row| row[0].detail.as_deref().unwrap()).collect();
    assert!(reasons[0].contains("new") && reasons[1].contains("whole number"), "{reasons:?}");

    let path = root.path().join("data").display().to_string();
    let load = |skip_unreadable| {
        let mut asked = LabelRequest { rows: request(root.path(), &path), ..LabelRequest::default() };
        asked.rows.skip_unreadable = skip_unreadable;
        load_text_classification(&hub(root.path(), root.path()), &asked)
    };
    assert!(load(false).is_err());
    let data = load(true).unwrap();
    assert_eq!((data.rows.train.len(), data.rows.test.len()), (40, 10));
    let left_out: Vec<(&str, usize)> = data.rows.unreadable.iter().map(|row| (row.split, row.row)).collect();
    assert_eq!(left_out, [("test", 11), ("train", 41), ("train", 42)]);
    assert_eq!(data.label_names, ["neg", "pos"]);
}

#[test]
fn what_nothing_can_be_learned_from_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let one = |from: usize| -> String {
        let row = |number| serde_json::json!({ "text": sentence(number), "label": "pos" }).to_string() + "\n";
        (from..from + 12).map(row).collect()
    };
    write(root.path(), "data/train.jsonl", one(0));
    write(root.path(), "data/validation.jsonl", one(12));
    write(root.path(), "data/test.jsonl", one(24));
    let diagnosis = examined(root.path(), None);
    let finding = found(&diagnosis, FindingKind::Untrainable);
    assert!(finding.severity == Severity::Error && finding.message.contains("pos"), "{diagnosis}");
}

#[test]
fn texts_longer_than_the_model_reads_are_counted_in_tokens() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "data/train.jsonl", rows(0, 40, &[("one two three", "pos")]));
    write(root.path(), "data/validation.jsonl", rows(40, 10, &[]));
    write(root.path(), "data/test.jsonl", rows(50, 10, &[]));
    common::write_bert_vocab(root.path());
    let tokenizer = load_tokenizer(root.path()).unwrap();
    let diagnosis = examined(root.path(), Some(Measure { tokenizer: &tokenizer, max_length: 8 }));
    let long = found(&diagnosis, FindingKind::LongText);
    assert_eq!(long.count, 60);
    assert!(long.message.contains("8 tokens: what is beyond that is cut off"), "{}", long.message);
    assert_eq!(diagnosis.splits[0].lengths.unit, "tokens");
}

#[test]
fn invalid_tags_and_moved_answers_are_kept_and_named() {
    let root = tempfile::tempdir().unwrap();
    let tagged = |from: usize| -> String {
        let row = |number: usize| {
            let tags = if number == 3 { ["O", "I-x"] } else { ["B-x", "I-x"] };
            serde_json::json!({ "tokens": [format!("a{number}"), format!("b{number}")], "tags": tags })
                .to_string()
        };
        (from..from + 12).map(row).map(|row| row + "\n").collect()
    };
    for (name, from) in [("train", 0), ("validation", 12), ("test", 24)] {
        write(root.path(), &format!("data/{name}.jsonl"), tagged(from));
    }
    let rows = request(root.path(), root.path().join("data").display());
    let asked = TagRequest { rows, strict: false };
    let hub = hub(root.path(), root.path());
    let diagnosis = examine_token_classification(&hub, &asked, None).unwrap();
    let invalid = found(&diagnosis, FindingKind::InvalidTags);
    assert_eq!((invalid.count, places(&invalid.rows)), (1, vec![vec![("train", 4)]]));
    assert_eq!(diagnosis.splits[0].rows, 12);

    let question = |number: usize, start: usize| {
        let answers = serde_json::json!({ "text": ["blue"], "answer_start": [start] });
        let context = format!("In year {number} the sky was blue.");
        let question = format!("What colour was it in {number}?");
        serde_json::json!({ "question": question, "context": context, "answers": answers }).to_string() + "\n"
    };
    let right = "In year 10 the sky was ".len();
    for (name, from) in [("train", 10), ("validation", 30), ("test", 50)] {
        let start = |number| if number == 12 { 0 } else { right };
        let text: String = (from..from + 12).map(|number| question(number, start(number))).collect();
        write(root.path(), &format!("questions/{name}.jsonl"), text);
    }
    let rows = request(root.path(), root.path().join("questions").display());
    let asked = QuestionRequest { rows, unanswerable: false };
    let diagnosis = examine_question_answering(&hub, &asked, None).unwrap();
    let moved = found(&diagnosis, FindingKind::MovedAnswer);
    assert_eq!((moved.count, places(&moved.rows)), (1, vec![vec![("train", 3)]]));
    assert_eq!(moved.rows[0][0].detail.as_deref(), Some("from 0 to 23"));
}
