//! From a name or path to labelled texts in three splits.

#[path = "common/classification.rs"]
mod common;

use std::path::Path;

use common::{columns, csv_of, hub, label_error, load, load_card, load_path, request, write, write_card};
use temper_data::{
    ColumnChoice, DataError, LabelError, LabelKind, LabelRequest, LabelledText, LanguageRequest, RowsRequest,
    TaskKind, TextClassificationData, TextLabel, load_language, load_text_classification, unit_hash,
};

fn texts(rows: &[LabelledText]) -> Vec<&str> {
    rows.iter().map(|row| row.text.as_str()).collect()
}

#[test]
fn one_file_is_cut_by_the_hash_of_its_texts() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "reviews.csv", &csv_of(0..40));
    let data = load_path(root.path(), "reviews.csv").unwrap();
    // As the reference script has it (tests of the split).
    assert_eq!(texts(&data.rows.test), [12, 13, 19, 20, 26, 30].map(|i| format!("text {i}")));
    assert_eq!(texts(&data.rows.validation), [6, 14, 17, 28, 34].map(|i| format!("text {i}")));
    assert_eq!((data.rows.train.len(), data.rows.full_train_rows, data.rows.leaked), (29, 29, 0));
    assert_eq!(data.label_names, ["0", "1"]);
    let first = &data.rows.test[0];
    assert_eq!((&first.label, first.row), (&TextLabel::One(0), 13));
    assert!(data.rows.card.is_none() && data.rows.resolved.is_none());
}

#[test]
fn string_labels_become_sorted_ids_and_columns_can_be_named() {
    let root = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..40)
        .map(|i| {
            let label = ["sport", "art"][i % 2];
            format!("{{\"title\": \"text {i}\", \"body\": \"more {i}\", \"topic\": \"{label}\"}}\n")
        })
        .collect();
    write(root.path(), "news.jsonl", &rows.concat());
    let request = RowsRequest {
        columns: ColumnChoice {
            asked: columns(&[("text", "title"), ("text_pair", "body"), ("label", "topic")]),
            ..ColumnChoice::default()
        },
        ..request(root.path().join("news.jsonl").display())
    };
    let data = load(&hub(root.path()), &request).unwrap();
    assert_eq!(data.label_names, ["art", "sport"]);
    let row = &data.rows.train[0];
    assert_eq!((row.text.as_str(), row.pair.as_deref()), ("text 0", Some("more 0")));
    assert_eq!(row.label, TextLabel::One(1));
    // A pair is hashed with both of its texts.
    let tested = |row: &LabelledText| unit_hash(&format!("{}\tmore {}", row.text, row.row - 1)) < 0.1;
    assert!(data.rows.test.iter().all(tested) && !data.rows.train.iter().any(tested));
}

#[test]
fn texts_of_the_test_split_are_dropped_from_the_others() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "data/train.csv", &csv_of(0..20));
    write(root.path(), "data/dev.csv", &csv_of(18..24));
    write(root.path(), "data/test.csv", &csv_of([3, 4, 19, 40].into_iter()));
    let data = load_path(root.path(), "data").unwrap();
    // 3, 4 and 19 from train, 19 from dev.
    assert_eq!(data.rows.leaked, 4);
    assert_eq!((data.rows.train.len(), data.rows.validation.len(), data.rows.test.len()), (17, 5, 4));
    assert!(!texts(&data.rows.train).contains(&"text 3"));
}

#[test]
fn subsets_keep_the_smallest_hashes_of_each_split() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "data/train.csv", &csv_of(0..20));
    write(root.path(), "data/dev.csv", &csv_of(20..30));
    write(root.path(), "data/test.csv", &csv_of(30..40));
    let load = |seed| {
        let request = RowsRequest {
            seed,
            max_train_samples: Some(8),
            max_eval_samples: Some(4),
            max_test_samples: Some(100),
            ..request(root.path().join("data").display())
        };
        load(&hub(root.path()), &request).unwrap()
    };
    let data = load(42);
    assert_eq!((data.rows.train.len(), data.rows.validation.len(), data.rows.test.len()), (8, 4, 10));
    assert_eq!(data.rows.full_train_rows, 20);
    assert!(data.rows.train.is_sorted_by_key(|row| row.row));
    assert_eq!(data.rows.train, load(42).rows.train);
    assert_ne!(data.rows.train, load(43).rows.train);
}

#[test]
fn a_card_names_files_columns_and_classes() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "mirror/datasets/me/reviews/a/train.csv", &csv_of(0..40));
    write(root.path(), "mirror/datasets/me/reviews/a/test.csv", &csv_of(50..60));
    write_card(root.path(), "reviews", "", "me/reviews");
    let data = load_card(root.path(), "reviews").unwrap();
    assert_eq!(data.label_names, ["bad", "good"]);
    assert_eq!((data.rows.train.len(), data.rows.validation.len(), data.rows.test.len()), (29, 11, 10));
    let resolved = data.rows.resolved.unwrap();
    assert_eq!(resolved.files.len(), 2);
    assert_eq!(resolved.stand_in_for, None);
}

#[test]
fn a_stand_in_is_read_by_its_own_card_and_recorded() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "mirror/datasets/me/small/a/train.csv", &csv_of(0..40));
    write(root.path(), "mirror/datasets/me/small/a/test.csv", &csv_of(50..60));
    write_card(root.path(), "small", "", "me/small");
    write_card(root.path(), "large", "stand_in = \"small\"", "me/large");
    let data = load_card(root.path(), "large").unwrap();
    assert_eq!(data.rows.name, "small");
    assert_eq!(data.rows.card.unwrap().name, "small");
    assert!(data.rows.resolved.unwrap().stand_in_for.is_some());
    assert_eq!(data.rows.train.len(), 29);

    write_card(root.path(), "large", "", "me/large");
    let error = load_card(root.path(), "large").unwrap_err();
    assert!(matches!(error, DataError::Hub(_)), "{error}");
}

#[test]
fn a_card_may_drop_rows_without_a_label() {
    let root = tempfile::tempdir().unwrap();
    let train = csv_of(0..40) + "text 40,-1\ntext 41,\n";
    write(root.path(), "mirror/datasets/me/reviews/a/train.csv", &train);
    write(root.path(), "mirror/datasets/me/reviews/a/test.csv", &csv_of(50..60));
    write_card(root.path(), "reviews", "unlabelled = \"drop\"", "me/reviews");
    let data = load_card(root.path(), "reviews").unwrap();
    assert_eq!(data.rows.train.len() + data.rows.validation.len(), 40);
}

#[test]
fn a_language_model_reads_the_texts_of_a_card_for_labels() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "mirror/datasets/me/reviews/a/train.csv", &csv_of(0..40));
    write(root.path(), "mirror/datasets/me/reviews/a/test.csv", &csv_of(50..60));
    write_card(root.path(), "reviews", "", "me/reviews");
    let rows = RowsRequest { card_directories: vec![root.path().join("cards")], ..request("reviews") };
    let request = LanguageRequest { task: TaskKind::MaskedLanguageModeling, rows, template: None };
    let data = load_language(&hub(root.path()), &request).unwrap();
    assert_eq!(data.rows.columns, columns(&[("text", "text")]));
    assert!(!data.is_running && data.rows.train.iter().all(|document| document.text.starts_with("text ")));
}

#[test]
fn texts_of_several_lines_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let rows: String =
        (0..40).map(|i| format!("\"Dear {i},\nI like it.\nAda, of {i}\",{}\n", i % 2)).collect();
    write(root.path(), "a.csv", &format!("text,label\n{rows}"));
    let data = load_path(root.path(), "a.csv").unwrap();
    assert_eq!(data.rows.train.len() + data.rows.validation.len() + data.rows.test.len(), 40);
    assert!(data.rows.notices.is_empty(), "{:?}", data.rows.notices);
}

#[test]
fn strings_that_look_like_numbers_stay_classes_and_numbers_of_a_csv_file_are_one() {
    let root = tempfile::tempdir().unwrap();
    let row =
        |i: usize| format!("{{\"text\": \"text {i}\", \"label\": \"{}\"}}\n", ["007", "7", "08"][i % 3]);
    write(root.path(), "codes.jsonl", &(0..90).map(row).collect::<String>());
    let data = load_path(root.path(), "codes.jsonl").unwrap();
    assert_eq!(data.label_names, ["007", "08", "7"]);

    let row = |i: usize| format!("text {i},{}{}\n", i % 2, if i < 40 { "" } else { ".0" });
    write(root.path(), "a.csv", &format!("text,label\n{}", (0..80).map(row).collect::<String>()));
    let data = load_path(root.path(), "a.csv").unwrap();
    assert_eq!(data.label_names, ["0", "1"]);
    assert!(data.rows.notices[0].contains("`0.0` is the class `0`"), "{:?}", data.rows.notices);
}

#[test]
fn hidden_folders_are_no_classes_and_the_report_says_what_was_left_out() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..60 {
        write(root.path(), &format!("acl/train/{}/{i}.txt", ["neg", "pos"][i % 2]), &format!("text {i}"));
    }
    std::fs::create_dir(root.path().join("acl/train/.ipynb_checkpoints")).unwrap();
    let data = load_path(root.path(), "acl").unwrap();
    assert_eq!(data.label_names, ["neg", "pos"]);
    let report = data.rows.files[0].to_string();
    assert!(report.contains("60 rows; files and folders left out: 1 (.ipynb_checkpoints/)"), "{report}");
}

#[test]
fn blank_lines_are_passed_over_and_told() {
    let root = tempfile::tempdir().unwrap();
    let row = |i: usize| format!("{{\"text\": \"text {i}\", \"label\": {}}}\n\n", i % 2);
    write(root.path(), "a.jsonl", &(0..40).map(row).collect::<String>());
    let data = load_path(root.path(), "a.jsonl").unwrap();
    assert_eq!((data.rows.files[0].rows, data.rows.files[0].blank_lines), (40, 40));
    assert_eq!(data.rows.test[0].row, 25, "the line, not the count");
}

#[test]
fn rows_without_a_label_that_a_card_drops_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let train = csv_of(0..40) + "text 40,-1\ntext 41,\n";
    write(root.path(), "mirror/datasets/me/reviews/a/train.csv", &train);
    write(root.path(), "mirror/datasets/me/reviews/a/test.csv", &csv_of(50..60));
    write_card(root.path(), "reviews", "unlabelled = \"drop\"", "me/reviews");
    assert_eq!(load_card(root.path(), "reviews").unwrap().rows.unlabelled, 2);
}

#[test]
fn json_lines_with_keys_of_their_own_are_read() {
    let root = tempfile::tempdir().unwrap();
    let row = |i: usize| format!("{{\"text\": \"text {i}\", \"label\": {}, \"key {i}\": 1}}\n", i % 2);
    // As a table of all keys this would be 20 000 x 20 002 cells.
    write(root.path(), "a.jsonl", &(0..20_000).map(row).collect::<String>());
    assert_eq!(load_path(root.path(), "a.jsonl").unwrap().rows.files[0].rows, 20_000);
}

#[test]
fn columns_of_the_training_are_taken_where_they_are_and_nobody_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |header: &str| {
        let rows = (0..60).map(|row| format!("first {row},second {row},{}\n", ["a", "b"][row % 2]));
        format!("{header}\n{}", rows.collect::<String>())
    };
    let trained = columns(&[("text", "one"), ("text_pair", "two"), ("label", "class")]);
    let load = |header: &str, asked: Option<&str>| {
        let path = dir.path().join("data.csv");
        std::fs::write(&path, rows(header)).unwrap();
        let request = RowsRequest {
            columns: ColumnChoice {
                asked: asked.iter().map(|name| ("text_pair".to_string(), name.to_string())).collect(),
                trained: trained.clone(),
            },
            ..request(path.display())
        };
        load(&hub(dir.path()), &request).unwrap()
    };
    let data = load("one,two,class", None);
    assert_eq!(data.rows.columns, trained);
    assert_eq!(data.rows.train[0].pair.as_ref().map(|pair| &pair[..6]), Some("second"));
    // Another table has the usual names, and no second text unless one is named.
    let data = load("text,two2,label", None);
    assert_eq!(data.rows.columns, columns(&[("text", "text"), ("label", "label")]));
    assert_eq!(load("text,more,label", Some("more")).rows.columns["text_pair"], "more");
}

fn load_as(
    root: &Path,
    name: &str,
    kind: Option<LabelKind>,
    separator: Option<&str>,
) -> Result<TextClassificationData, DataError> {
    let rows = request(root.join(name).display());
    let separator = separator.map(String::from);
    load_text_classification(&hub(root), &LabelRequest { rows, kind, separator })
}

#[test]
fn lists_are_any_number_of_labels_and_so_are_parts_of_a_text() {
    let root = tempfile::tempdir().unwrap();
    let sets = ["[\"b\", \"a\", \"b\"]", "[]", "[\"c\"]"];
    let row = |i: usize| format!("{{\"text\": \"text {i}\", \"label\": {}}}\n", sets[i % 3]);
    write(root.path(), "lists.jsonl", &(0..60).map(row).collect::<String>());
    let data = load_as(root.path(), "lists.jsonl", None, None).unwrap();
    assert_eq!((data.kind, data.label_names), (LabelKind::Several, vec!["a".into(), "b".into(), "c".into()]));
    let several = |i: usize| TextLabel::Several([vec![0, 1], vec![], vec![2]][i % 3].clone());
    assert!(data.rows.train.iter().all(|row| row.label == several(row.row - 1)));

    let sets = ["b|a", "", "c"];
    let lines = (0..60).map(|i| format!("text {i},{}\n", sets[i % 3]));
    write(root.path(), "parts.csv", &format!("text,label\n{}", lines.collect::<String>()));
    let parts = load_as(root.path(), "parts.csv", None, Some("|")).unwrap();
    assert_eq!(parts.label_names, ["a", "b", "c"]);
    assert!(parts.rows.train.iter().all(|row| row.label == several(row.row - 1)));
}

#[test]
fn numbers_are_read_where_they_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let lines = |label: &dyn Fn(usize) -> String| {
        let rows = (0..40).map(|i| format!("text {i},{}\n", label(i)));
        format!("text,label\n{}", rows.collect::<String>())
    };
    write(root.path(), "numbers.csv", &lines(&|i| format!("{}", i as f32 / 4.0)));
    let data = load_as(root.path(), "numbers.csv", Some(LabelKind::Number), None).unwrap();
    assert_eq!(data.label_names, ["label"]);
    let right = |row: &LabelledText| row.label == TextLabel::Numbers(vec![(row.row - 1) as f32 / 4.0]);
    assert!(data.rows.train.iter().all(right));
    for (bad, words) in [("much", "`much`"), ("NaN", "NaN"), ("inf", "inf")] {
        write(root.path(), "bad.csv", &lines(&|i| if i == 7 { bad.into() } else { "0.5".into() }));
        let error = load_as(root.path(), "bad.csv", Some(LabelKind::Number), None).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(matches!(label_error(error), LabelError::BadNumber { row: 8, .. }));
    }
    // One number everywhere: there is nothing to learn.
    write(root.path(), "same.csv", &lines(&|_| "0.5".into()));
    let error = load_as(root.path(), "same.csv", Some(LabelKind::Number), None).unwrap_err();
    assert!(matches!(label_error(error), LabelError::OneClass { .. }));
    // Where nobody asks for numbers, a fraction is no label.
    let row = |i: usize| format!("{{\"text\": \"text {i}\", \"label\": {}}}\n", i as f32 / 4.0);
    write(root.path(), "numbers.jsonl", &(0..40).map(row).collect::<String>());
    let error = load_path(root.path(), "numbers.jsonl").unwrap_err();
    assert!(error.to_string().contains("--problem-type regression"), "{error}");
}
