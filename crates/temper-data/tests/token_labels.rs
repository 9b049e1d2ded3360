//! From a name or path to sentences with a tag for each word.

#[path = "common/datasets.rs"]
mod datasets;
#[path = "common/outside.rs"]
mod outside;

use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use temper_data::{
    DataError, LabelError, TagError, TagRequest, TagScheme, TaggedText, TokenClassificationData,
    load_token_classification,
};

use crate::datasets::{hub, request, write};

fn load(root: &Path, name: &str, strict: bool) -> Result<TokenClassificationData, DataError> {
    let known = root.join(name);
    let name = if known.exists() { known.display().to_string() } else { name.to_string() };
    let request = TagRequest { rows: request(root, name), strict };
    load_token_classification(&hub(root, &root.join("mirror")), &request)
}

/// Words with the names of their tags, as `word/tag`.
fn shown(data: &TokenClassificationData, row: &TaggedText) -> String {
    let tag = |(word, tag): (&String, &usize)| format!("{word}/{}", data.tag_names[*tag]);
    row.words.iter().zip(&row.tags).map(tag).collect::<Vec<_>>().join(" ")
}

/// Loads files `d/NAME` and checks what a refusal says.
fn refused(files: &[(&str, &str)], parts: &[&str]) -> DataError {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(root.path(), &format!("d/{name}"), content);
    }
    let error = load(root.path(), "d", false).unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part} not in: {message}");
    }
    error
}

fn label_error(error: DataError) -> LabelError {
    match error {
        DataError::Labels(error) => *error,
        other => panic!("{other}"),
    }
}

fn tag_error(error: DataError) -> TagError {
    match error {
        DataError::Tags(error) => *error,
        other => panic!("{other}"),
    }
}

const CONLL: &str =
    "-DOCSTART- -X- O\n\nAda NNP B-PER\nLovelace NNP I-PER\nwrote VBD O\n\nIn IN O\nLondon NNP B-LOC\n";

/// Splits with nothing in common, for a dataset of a train file of its own.
fn with_splits<'a>(end: &str, train: &'a str, other: [&'a str; 2]) -> [(String, &'a str); 3] {
    [(format!("train.{end}"), train), (format!("dev.{end}"), other[0]), (format!("test.{end}"), other[1])]
}

#[test]
fn conll_files_are_sentences_and_the_last_column_has_the_tags() {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in
        with_splits("conll", CONLL, ["Rome X B-LOC\n", "Bob X B-PER\r\n\r\nAda X B-PER\r\n"])
    {
        write(root.path(), &format!("d/{name}"), content);
    }
    let data = load(root.path(), "d", true).unwrap();
    assert_eq!(data.scheme, TagScheme::Bio);
    assert_eq!(data.tag_names, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]);
    let rows = &data.rows;
    assert_eq!(shown(&data, &rows.train[0]), "Ada/B-PER Lovelace/I-PER wrote/O");
    assert_eq!((rows.train[0].row, rows.train[1].row, rows.test[1].row), (3, 7, 3));
    assert_eq!((rows.train.len(), rows.validation.len(), rows.test.len()), (2, 1, 2));
    assert_eq!((data.invalid, rows.leaked, rows.full_train_rows), (0, 0, 2));
    assert_eq!(rows.notices, [""; 0]);
    let report = rows.files[2].to_string();
    assert!(report.contains("conll, UTF-8, 2 rows; comments and lines of -DOCSTART- skipped: 1"), "{report}");
    assert_eq!(rows.columns["tags"], "tags");
}

#[test]
fn another_column_of_a_conll_file_can_be_named() {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in with_splits("iob", CONLL, ["Rome NNP B-LOC\n", "Bob NNP B-PER\n"]) {
        write(root.path(), &format!("d/{name}"), content);
    }
    let mut rows = request(root.path(), root.path().join("d").display());
    rows.columns.asked = [("tags".to_string(), "2".to_string())].into();
    let hub = hub(root.path(), root.path());
    let data = load_token_classification(&hub, &TagRequest { rows, strict: true }).unwrap();
    assert_eq!(
        (data.scheme, data.tag_names),
        (TagScheme::Plain, ["IN", "NNP", "VBD"].map(String::from).to_vec())
    );
}

/// Sentences `word I` in JSON lines.
fn jsonl(rows: std::ops::Range<usize>, tags: impl Fn(usize) -> String) -> String {
    rows.map(|i| format!("{{\"tokens\": [\"word\", \"{i}\"], \"tags\": {}}}\n", tags(i))).collect()
}

#[test]
fn one_file_is_cut_by_the_hash_of_its_words() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.jsonl", jsonl(0..60, |i| format!("[\"O\", \"{}\"]", ["B-X", "O"][i % 2])));
    let data = load(root.path(), "a.jsonl", true).unwrap();
    let is_test = |row: &TaggedText| temper_data::unit_hash(&row.words.join(" ")) < 0.1;
    assert!(!data.rows.test.is_empty() && data.rows.test.iter().all(is_test));
    assert!(!data.rows.train.iter().any(is_test));
    assert_eq!(data.tag_names, ["O", "B-X", "I-X"]);
}

#[test]
fn numbers_are_ids_of_a_cards_labels_and_columns_have_their_usual_names() {
    let root = tempfile::tempdir().unwrap();
    let train = jsonl(0..60, |i| format!("[0, {}]", i % 3)).replace("tags", "ner_tags");
    write(root.path(), "a.jsonl", &train);
    let data = load(root.path(), "a.jsonl", true).unwrap();
    assert_eq!((data.scheme, data.tag_names.len()), (TagScheme::Plain, 3));
    assert!(data.rows.notices[0].contains("numbers without names"), "{:?}", data.rows.notices);
    assert_eq!(data.rows.columns["tags"], "ner_tags");

    write(root.path(), "mirror/datasets/me/tags/a.jsonl", &train);
    let card = |labels: &str| {
        let card = format!(
            "name = \"mine\"\ntitle = \"Mine\"\nhomepage = \"none\"\nlicence = \"CC0\"\n\
             task = \"token-classification\"\nformat = \"jsonl\"\nlabels = {labels}\n\
             [source]\nhub = \"me/tags\"\n[splits]\ntrain = [\"a.jsonl\"]\n\
             [columns]\ntokens = \"tokens\"\ntags = \"ner_tags\"\n[hold_out]\ntest = 0.1\nvalidation = 0.1\n"
        );
        write(root.path(), "cards/mine.toml", card);
    };
    card("[\"O\", \"I-X\", \"B-X\"]");
    let data = load(root.path(), "mine", false).unwrap();
    assert_eq!(data.tag_names, ["O", "I-X", "B-X"]);
    // A third of the rows have the second tag, I after O, and a third B: BIO, with faults.
    assert_eq!((data.scheme, data.invalid), (TagScheme::Bio, 20));
    assert!(matches!(
        tag_error(load(root.path(), "mine", true).unwrap_err()),
        TagError::Sequence { count: 20, .. }
    ));
    card("[\"O\", \"B-X\"]");
    let message = load(root.path(), "mine", false).unwrap_err().to_string();
    for part in ["a.jsonl, row 3", "the tag `2` of word 2 (`2`)", "one of the 2", "card or its files name"] {
        assert!(message.contains(part), "{part} not in: {message}");
    }
}

/// A file of words and tags as the Hub's: lists, with the names of the classes in the schema.
fn write_parquet(path: &Path, rows: &[(&[&str], &[i64])]) {
    let schema = "message tags {
        optional group tokens (LIST) { repeated group list { optional binary element (STRING); } }
        optional group ner_tags (LIST) { repeated group list { optional int64 element; } }
    }";
    let features = r#"{"info": {"features": {
        "ner_tags": {"feature": {"names": ["O", "B-group", "I-group"], "_type": "ClassLabel"}, "_type": "Sequence"}}}}"#;
    let metadata = vec![KeyValue::new("huggingface".to_string(), features.to_string())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    // Definition 3 is an entry, 1 an empty list; repetition 1 continues with a list.
    let levels = |length: usize| (vec![if length == 0 { 1 } else { 3 }; length.max(1)], length.max(1));
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for (words, _) in rows {
        let (levels, count) = levels(words.len());
        definition.extend(levels);
        repetition.extend((0..count).map(|entry| i16::from(entry > 0)));
    }
    let words: Vec<ByteArray> =
        rows.iter().flat_map(|row| row.0).map(|word| ByteArray::from(*word)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&words, Some(&definition), Some(&repetition)).unwrap();
    column.close().unwrap();
    let tags: Vec<i64> = rows.iter().flat_map(|row| row.1).copied().collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&tags, Some(&definition), Some(&repetition)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

#[test]
fn a_card_reads_the_hubs_lists_with_the_names_of_their_schema() {
    let root = tempfile::tempdir().unwrap();
    let place = |split: &str| {
        root.path().join(format!("mirror/datasets/leondz/wnut_17/wnut_17/{split}-00000-of-00001.parquet"))
    };
    let train: [(&[&str], &[i64]); 3] = [(&["the", "Who"], &[1, 2]), (&[], &[]), (&["so", "far"], &[0, 2])];
    write_parquet(&place("train"), &train);
    write_parquet(&place("validation"), &[(&["no", "Who"], &[0, 1])]);
    write_parquet(&place("test"), &[(&["a", "Who"], &[0, 1])]);
    let data = load(root.path(), "wnut17", false).unwrap();
    assert_eq!(data.tag_names, ["O", "B-group", "I-group"]);
    assert_eq!(shown(&data, &data.rows.train[0]), "the/B-group Who/I-group");
    assert_eq!((data.rows.train.len(), data.rows.unlabelled, data.invalid), (2, 0, 1));
    let notices = data.rows.notices.join("\n");
    for part in [
        "rows without words are skipped: 1 (the first is row 2)",
        "does not allow the tags of 1 rows",
        "row 3 (word 2: `I-group` after `O`)",
    ] {
        assert!(notices.contains(part), "{part} not in: {notices}");
    }
    write_parquet(&place("test"), &[(&["a", "Who"], &[0, 3])]);
    let message = load(root.path(), "wnut17", false).unwrap_err().to_string();
    assert!(message.contains("row 1: the tag `3` of word 2 (`Who`)"), "{message}");
}

#[test]
fn spans_of_raw_text_become_words() {
    let root = tempfile::tempdir().unwrap();
    let row = |text: &str, spans: &str| format!("{{\"text\": \"{text}\", \"entities\": {spans}}}\n");
    let train =
        row("Ada, in Z\u{fc}rich.", "[[0, 3, \"PER\"], {\"start\": 8, \"end\": 14, \"label\": \"LOC\"}]")
            + &row("nothing", "[]")
            + &row("  ", "[]");
    write(root.path(), "d/train.jsonl", train);
    write(root.path(), "d/dev.jsonl", row("Bob", "[[0, 3, \"PER\"]]"));
    write(root.path(), "d/test.jsonl", row("Rome sweet Rome", "[[0, 10, \"LOC\"]]"));
    let data = load(root.path(), "d", true).unwrap();
    assert_eq!(data.tag_names, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]);
    assert_eq!(shown(&data, &data.rows.train[0]), "Ada/B-PER ,/O in/O Z\u{fc}rich/B-LOC ./O");
    assert_eq!(data.rows.train[0].text.as_deref(), Some("Ada, in Z\u{fc}rich."));
    assert_eq!(data.rows.train[0].ranges().unwrap()[3], 8..15);
    assert_eq!(shown(&data, &data.rows.test[0]), "Rome/B-LOC sweet/I-LOC Rome/O");
    assert_eq!(data.rows.train.len(), 2);
    assert!(data.rows.notices[0].contains("skipped: 1 (the first is row 3)"), "{:?}", data.rows.notices);

    write(root.path(), "d/test.jsonl", row("Rome", "[[0, 4, \"CITY\"]]"));
    let message = load(root.path(), "d", true).unwrap_err().to_string();
    assert!(message.contains("test.jsonl, row 1: the tag `B-CITY` of word 1 (`Rome`)"), "{message}");
    write(root.path(), "d/test.jsonl", row("Rome", "[[0, 5, \"LOC\"]]"));
    let message = load(root.path(), "d", true).unwrap_err().to_string();
    assert!(message.contains("test.jsonl, row 1: the span 0 to 5 (`LOC`) ends beyond the text"), "{message}");
    // Without a list nobody has looked for entities.
    write(root.path(), "d/test.jsonl", row("Rome", "[[0, 4, \"LOC\"]]") + "{\"text\": \"Oslo\"}\n");
    let error = load(root.path(), "d", true).unwrap_err();
    assert!(matches!(label_error(error), LabelError::Unlabelled { row: 2, count: 1, .. }));
}

#[test]
fn rows_that_cannot_be_tagged_are_named() {
    let good = jsonl(0..4, |_| "[\"O\", \"B-X\"]".into());
    let other = jsonl(5..6, |_| "[\"O\", \"B-X\"]".into());
    let case = |bad: &str, parts: &[&str]| {
        let test = jsonl(9..10, |_| "[\"B-X\", \"O\"]".into()) + bad + "\n";
        refused(&[("train.jsonl", &good), ("dev.jsonl", &other), ("test.jsonl", &test)], parts)
    };
    let error = case(
        "{\"tokens\": [\"a\", \"b\"], \"tags\": [\"O\"]}",
        &["test.jsonl, row 2: 2 words, but 1 tags", "correct the row"],
    );
    assert!(matches!(tag_error(error), TagError::Lengths { row: 2, tokens: 2, tags: 1, .. }));
    let error = case(
        "{\"tokens\": [\"a\"], \"tags\": [\"B-Y\"]}",
        &["test.jsonl, row 2", "`B-Y` of word 1 (`a`)", "`O`, `B-X`, `I-X`", "its train split has"],
    );
    assert!(matches!(tag_error(error), TagError::Unknown { row: 2, word: 1, .. }));
    case(
        "{\"tokens\": [\"a\"], \"tags\": \"O\"}",
        &["row 2: column `tags` holds text where a list is needed"],
    );
    case(
        "{\"tokens\": \"a\", \"tags\": [\"O\"]}",
        &["row 2: column `tokens` holds text where a list is needed"],
    );
    case("{\"tokens\": [7], \"tags\": [\"O\"]}", &["row 2: entry 1 of column `tokens` is a whole number"]);
    case("{\"tokens\": [\"a\"], \"tags\": [null]}", &["row 2: entry 1 of column `tags` is nothing"]);
    case("{\"tokens\": [\"a\"]}", &["row 2: no label in column `tags`"]);
    case("{\"tags\": [\"O\"]}", &["row 2: 0 words, but 1 tags"]);
    // A prefix that train lacks with its type is known; the unknown type was refused above.
    let test = jsonl(9..10, |_| "[\"B-X\", \"I-X\"]".into());
    let root = tempfile::tempdir().unwrap();
    for (name, content) in with_splits("jsonl", &good, [&other, &test]) {
        write(root.path(), &format!("d/{name}"), content);
    }
    assert_eq!(load(root.path(), "d", true).unwrap().rows.test[0].tags, [1, 2]);
}

#[test]
fn numbers_and_names_do_not_mix_and_a_table_of_text_has_no_lists() {
    let train = jsonl(0..4, |_| "[\"O\", \"B-X\"]".into()) + &jsonl(4..5, |_| "[0, 1]".into());
    let error = refused(&[("train.jsonl", &train)], &["row 5", "numbers here and names in row 1"]);
    assert!(matches!(label_error(error), LabelError::MixedLabels { row: 5, first_row: 1, .. }));
    let error = refused(&[("train.csv", "tokens,tags\na b,O O\n")], &["column `tags` holds text"]);
    assert!(matches!(tag_error(error), TagError::NotList { .. }));
    let error = refused(&[("train.csv", "word,tag\na,O\n")], &["`text` and `spans`", "`word`, `tag`"]);
    assert!(matches!(error, DataError::MissingColumn { .. }), "{error}");
}

#[test]
fn sequences_of_other_schemes_are_read_checked_and_kept() {
    let sentence = |tags: &str| {
        tags.split(' ').enumerate().map(|(i, tag)| format!("{tags}{i}\t{tag}\n")).collect::<String>() + "\n"
    };
    for (scheme, good, bad, names) in [
        (TagScheme::Iob1, "O I-X I-X B-X", "O B-X", &["O", "B-X", "I-X"][..]),
        (TagScheme::Bioes, "O B-X E-X S-X", "O B-X", &["O", "B-X", "I-X", "E-X", "S-X"]),
        (TagScheme::Bilou, "O B-X L-X U-X", "I-X O", &["O", "B-X", "I-X", "L-X", "U-X"]),
        (TagScheme::Bio, "O B-X I-X B-X", "I-X O", &["O", "B-X", "I-X"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let train = sentence(good) + &sentence(&format!("{good} O")) + &sentence(bad);
        write(root.path(), "d/train.bio", train);
        write(root.path(), "d/dev.bio", sentence(&format!("O O {good}")));
        write(root.path(), "d/test.bio", sentence(&format!("O O O {good}")));
        let data = load(root.path(), "d", false).unwrap();
        assert_eq!((data.scheme, data.invalid), (scheme, 1));
        assert_eq!(data.tag_names, names);
        let kept: Vec<&str> = data.rows.train[2].tags.iter().map(|tag| names[*tag]).collect();
        assert_eq!(kept.join(" "), bad);
        let line = 2 * good.split(' ').count() + 4;
        let notice = data.rows.notices.join("\n");
        assert!(notice.contains(&format!("train.bio, row {line} (word ")), "{notice}");
        let message = load(root.path(), "d", true).unwrap_err().to_string();
        assert!(message.contains(&format!("row {line}: {}", scheme.name())), "{message}");
        assert!(message.contains("1 such rows"), "{message}");
    }
}

#[test]
fn words_of_one_tag_teach_nothing() {
    let rows = |range, tag: &str| jsonl(range, |_| format!("[\"O\", \"{tag}\"]"));
    let error = refused(&[("train.jsonl", &rows(0..60, "O"))], &["the tag `O`", "column of the tags"]);
    assert!(matches!(tag_error(error), TagError::OneTag { .. }));

    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.jsonl", rows(0..59, "O") + &rows(59..62, "B-X"));
    let mut rows = request(root.path(), root.path().join("a.jsonl").display());
    rows.max_train_samples = Some(1);
    let hub = hub(root.path(), root.path());
    let error = load_token_classification(&hub, &TagRequest { rows, strict: true }).unwrap_err();
    assert!(error.to_string().contains("--max-train-samples"), "{error}");
}

#[test]
fn wnut17_of_a_mirror_has_the_published_sentences() {
    let Some(mirror) = outside::mirror_with("leondz/wnut_17") else { return };
    let root = tempfile::tempdir().unwrap();
    let request = TagRequest { rows: request(root.path(), "wnut17"), strict: false };
    let data = load_token_classification(&hub(root.path(), &mirror), &request).unwrap();
    let rows = &data.rows;
    let read: Vec<usize> = rows.files.iter().map(|file| file.rows).collect();
    // Files come as validation, test, train; leaked sentences are dropped afterwards.
    assert_eq!(read, [1009, 1287, 3394]);
    assert_eq!(rows.train.len() + rows.validation.len() + rows.leaked, 3394 + 1009);
    assert_eq!((rows.test.len(), data.scheme, data.tag_names.len()), (1287, TagScheme::Bio, 13));
    assert_eq!(data.tag_names[..3], ["O", "B-corporation", "I-corporation"]);
    assert_eq!((rows.leaked, data.invalid), (0, 0));
}
