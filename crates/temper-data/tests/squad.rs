//! SQuAD: its own files, and its files on the Hub.

#[path = "common/datasets.rs"]
mod datasets;
#[path = "common/outside.rs"]
mod outside;
#[path = "common/questions.rs"]
mod questions;

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use temper_data::{Answer, AnswerError, DataError, Format, QuestionRequest, load_question_answering};

use crate::datasets::{hub, request, write};
use crate::questions::{answer_error, good, load, load_with};

/// A file of SQuAD with one context a question; `answers` and what follows of each question.
fn squad(version: &str, questions: &[(usize, &str)]) -> String {
    let paragraphs: Vec<String> = questions
        .iter()
        .map(|(id, rest)| {
            format!(
                "{{\"context\": \"It is {id}, no doubt.\", \"qas\": [{{\"id\": \"q{id}\", \
                 \"question\": \"What {id}?\", {rest}}}]}}"
            )
        })
        .collect();
    format!(
        "{{\"version\": \"{version}\", \"data\": [{{\"title\": \"A title\", \"paragraphs\": [{}]}}]}}",
        paragraphs.join(", ")
    )
}

#[test]
fn files_of_squad_are_read_by_their_names() {
    let root = tempfile::tempdir().unwrap();
    let answer = |id: usize| format!("\"answers\": [{{\"text\": \"{id}\", \"answer_start\": 6}}]");
    let answers: Vec<String> = (0..60).map(answer).collect();
    let file = |ids: std::ops::Range<usize>| {
        let questions: Vec<(usize, &str)> = ids.map(|id| (id, answers[id].as_str())).collect();
        squad("1.1", &questions)
    };
    write(root.path(), "d/train-v1.1.json", file(0..4));
    write(root.path(), "d/dev-v1.1.json", file(4..5));
    write(root.path(), "d/test.json", file(5..8));
    let data = load(root.path(), "d").unwrap();
    assert_eq!((data.rows.train.len(), data.rows.validation.len(), data.rows.test.len()), (4, 1, 3));
    let question = &data.rows.test[2];
    assert_eq!((question.id.as_str(), question.title.as_deref(), question.row), ("q7", Some("A title"), 3));
    assert_eq!(question.answers, [Answer { text: "7".into(), start: 6 }]);
    let report = data.rows.files[2].to_string();
    assert!(report.contains("train-v1.1.json: squad-json, UTF-8, 4 rows"), "{report}");
    assert_eq!(Format::of_file(&root.path().join("d/test.json")).unwrap(), Format::SquadJson);

    // A file alone; and JSON of another kind, which is read as objects and lacks the columns.
    write(root.path(), "one.json", file(0..60));
    let rows = load(root.path(), "one.json").unwrap().rows;
    assert_eq!(rows.train.len() + rows.validation.len() + rows.test.len(), 60);
    write(root.path(), "other.json", "[{\"question\": \"What?\"}]");
    let error = load(root.path(), "other.json").unwrap_err();
    assert!(matches!(error, DataError::MissingColumn { .. }), "{error}");
    write(root.path(), "d/train-2.json", "{\"rows\": []}");
    let error = load(root.path(), "d").unwrap_err();
    assert!(matches!(error, DataError::SplitFile { .. }), "{error}");
}

#[test]
fn the_version_of_a_file_says_whether_questions_may_have_no_answer() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "s/train.jsonl", (0..4).map(good).collect::<String>());
    write(root.path(), "s/dev.jsonl", (4..6).map(good).collect::<String>());
    write(root.path(), "s/test.json", squad("v2.0", &[(6, "\"answers\": []")]));
    assert!(load(root.path(), "s").unwrap().rows.test[0].is_impossible);
    write(root.path(), "s/test.json", squad("1.1", &[(6, "\"answers\": []")]));
    let error = answer_error(load(root.path(), "s").unwrap_err());
    assert!(matches!(error, AnswerError::NoAnswer { row: 1, .. }), "{error}");
}

/// A column of text in a row group.
fn write_texts(group: &mut SerializedRowGroupWriter<'_, std::fs::File>, texts: &[&str]) {
    let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&vec![1; texts.len()]), None).unwrap();
    column.close().unwrap();
}

/// A file as SQuAD's on the Hub: a question of two answers, and one of none.
fn write_parquet(path: &Path, context: &str, ids: [&str; 2]) {
    let schema = "message squad { optional binary id (STRING); optional binary title (STRING);
        optional binary context (STRING); optional binary question (STRING);
        optional group answers {
            optional group text (LIST) { repeated group list { optional binary element (STRING); } }
            optional group answer_start (LIST) { repeated group list { optional int32 element; } }
    } }";
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let file = std::fs::File::create(path).unwrap();
    let mut file = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = file.next_row_group().unwrap();
    write_texts(&mut group, &ids);
    write_texts(&mut group, &["Title", "Title"]);
    write_texts(&mut group, &[context, context]);
    write_texts(&mut group, &["What?", "Who?"]);
    let (definition, repetition) = (&[4, 4, 2], &[0, 1, 0]);
    let mut column = group.next_column().unwrap().unwrap();
    let texts = ["is", "It"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&texts, Some(definition), Some(repetition)).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[3, 0], Some(definition), Some(repetition)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

#[test]
fn the_cards_of_squad_read_the_hubs_files() {
    let root = tempfile::tempdir().unwrap();
    for (card, id) in [("squad", "rajpurkar/squad"), ("squad-articles", "mirror/squad_articles")] {
        let place = |split: &str| {
            root.path().join(format!("mirror/datasets/{id}/plain_text/{split}-00000-of-00001.parquet"))
        };
        write_parquet(&place("train"), "It is so.", ["a", "b"]);
        write_parquet(&place("validation"), "It is not.", ["c", "d"]);
        let load = |unanswerable| load_with(root.path(), card, unanswerable);
        let error = answer_error(load(false).unwrap_err());
        assert!(matches!(error, AnswerError::NoAnswer { row: 2, count: 1, .. }), "{error}");
        // The one context is held out or not as a whole, so that a split is empty.
        let error = load(true).unwrap_err();
        assert!(matches!(error, DataError::EmptySplit { .. }), "{error}");
    }
    write_parquet(&root.path().join("d/train.parquet"), "It is so.", ["a", "b"]);
    write_parquet(&root.path().join("d/dev.parquet"), "It is here.", ["a", "b"]);
    write_parquet(&root.path().join("d/test.parquet"), "It is not.", ["a", "b"]);
    let data = load_with(root.path(), "d", true).unwrap();
    let question = &data.rows.test[0];
    assert_eq!((question.id.as_str(), question.title.as_deref()), ("a", Some("Title")));
    let answers = [Answer { text: "is".into(), start: 3 }, Answer { text: "It".into(), start: 0 }];
    assert_eq!(question.answers, answers);
    assert!(data.rows.test[1].is_impossible);
}

#[test]
fn squad_articles_of_a_mirror_have_the_official_questions() {
    let Some(mirror) = outside::mirror_with("mirror/squad_articles") else { return };
    let root = tempfile::tempdir().unwrap();
    let request = QuestionRequest { rows: request(root.path(), "squad-articles"), unanswerable: false };
    let data = load_question_answering(&hub(root.path(), &mirror), &request).unwrap();
    let rows = &data.rows;
    // Counted by a script with pyarrow, which hashed the contexts, too.
    assert_eq!((rows.train.len(), rows.validation.len(), rows.test.len()), (6774, 718, 1500));
    assert_eq!((data.moved, rows.leaked), (0, 0));
    assert!(rows.train.iter().all(|row| row.title.is_some() && !row.answers.is_empty()));
}
