//! Labelled texts that are refused: which file, which row, and what to do.

#[path = "common/classification.rs"]
mod common;

use common::{csv_of, hub, label_error, load, load_card, load_path, request, write, write_card};
use temper_data::{DataError, LabelError, RowsRequest, check_dataset};

fn refused(files: &[(&str, &str)], path: &str, parts: &[&str]) -> DataError {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(root.path(), name, content);
    }
    let error = load_path(root.path(), path).unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part} not in: {message}");
    }
    error
}

#[test]
fn rows_without_a_label_are_counted_and_named() {
    let error = refused(
        &[("a.csv", "text,label\na,1\nb,-1\nc,0\nd,\n")],
        "a.csv",
        &["a.csv, row 2", "2 such rows", "unlabelled = \"drop\""],
    );
    assert!(matches!(label_error(error), LabelError::Unlabelled { row: 2, count: 2, .. }));
}

#[test]
fn labels_out_of_range_name_the_row() {
    let root = tempfile::tempdir().unwrap();
    let test = "text,label\nx,1\ny,2\n";
    write(root.path(), "mirror/datasets/me/reviews/a/train.csv", &csv_of(0..40));
    write(root.path(), "mirror/datasets/me/reviews/a/test.csv", test);
    write_card(root.path(), "reviews", "", "me/reviews");
    let message = load_card(root.path(), "reviews").unwrap_err().to_string();
    for part in ["test.csv, row 2", "`2`", "`bad`, `good`"] {
        assert!(message.contains(part), "{part} not in: {message}");
    }
}

#[test]
fn a_label_that_train_does_not_have_is_refused_in_test() {
    refused(
        &[("d/train.csv", "text,label\na,art\nb,sport\n"), ("d/test.csv", "text,label\nc,art\nd,politics\n")],
        "d",
        &["test.csv, row 2", "`politics`", "`art`, `sport`"],
    );
}

#[test]
fn one_class_is_refused() {
    let rows: String = (0..40).map(|i| format!("text {i},pos\n")).collect();
    let error = refused(&[("a.csv", &format!("text,label\n{rows}"))], "a.csv", &["`pos`", "two classes"]);
    assert!(matches!(label_error(error), LabelError::OneClass { .. }));
}

#[test]
fn a_column_of_measurements_is_no_column_of_classes() {
    for (rows, value) in [(60, "0.5"), (300, "")] {
        let rows: String =
            (0..rows).map(|i| format!("text {i},{i}{}\n", value.trim_start_matches('0'))).collect();
        let file = format!("text,label\n{rows}");
        let error = refused(&[("a.csv", &file)], "a.csv", &["column `label`", "--problem-type regression"]);
        assert!(matches!(label_error(error), LabelError::NumbersAsLabels { .. }));
    }
    // Stars in halves, and a hundred ids, are classes.
    let stars: String = (0..200).map(|i| format!("text {i},{}\n", f64::from(i % 10) / 2.0)).collect();
    let ids: String = (0..400).map(|i| format!("text {i},{}\n", i % 100)).collect();
    for (rows, classes) in [(stars, 10), (ids, 100)] {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a.csv", &format!("text,label\n{rows}"));
        assert_eq!(load_path(root.path(), "a.csv").unwrap().label_names.len(), classes);
    }
}

#[test]
fn an_empty_split_says_what_to_do() {
    let error = refused(
        &[("a.csv", "text,label\ntext 0,1\ntext 1,0\n")],
        "a.csv",
        &["validation split", "its own files"],
    );
    assert!(matches!(error, DataError::EmptySplit { split: "validation", .. }));
}

#[test]
fn a_text_that_is_none_is_named() {
    refused(
        &[("a.jsonl", "{\"text\": \"a\", \"label\": 0}\n{\"text\": null, \"label\": 1}\n")],
        "a.jsonl",
        &["a.jsonl, row 2", "`text` holds nothing"],
    );
}

#[test]
fn a_missing_column_and_a_missing_file_are_named() {
    refused(
        &[("a.csv", "review,label\na,1\n")],
        "a.csv",
        &["no column `text`", "`review`, `label`", "--text-column"],
    );
    let error = refused(&[], "none.csv", &["none.csv", "no such file"]);
    assert!(matches!(error, DataError::NoFile { .. }));
    for path in ["./missing/data.csv", "./missing", "data.csv.gz"] {
        let root = tempfile::tempdir().unwrap();
        let error = load(&hub(root.path()), &request(path)).unwrap_err();
        assert!(matches!(error, DataError::NoFile { .. }), "{error}");
        let error = check_dataset(&request(path)).unwrap_err();
        assert!(matches!(error, DataError::NoFile { .. }), "{error}");
    }
}

#[test]
fn a_dataset_of_another_task_is_refused_before_it_is_fetched() {
    let root = tempfile::tempdir().unwrap();
    let error = load(&hub(root.path()), &request("wnut17")).unwrap_err();
    assert!(matches!(error, DataError::WrongTask { .. }), "{error}");
}

/// Rows `text I` with the labels neg and pos, separated by a TAB.
fn tsv_lines() -> Vec<String> {
    (0..80).map(|i| format!("text {i}\t{}\n", ["neg", "pos"][i % 2])).collect()
}

#[test]
fn quotes_that_swallow_rows_are_refused_with_their_lines() {
    let with_quotes = |rows: &[usize], at_end: bool| {
        let mut lines = tsv_lines();
        for row in rows {
            lines[*row] = format!("\"{}", lines[*row]);
        }
        if at_end {
            lines[40] = "text 40\"\tneg\n".into();
        }
        format!("text\tlabel\n{}", lines.concat())
    };
    let error = refused(&[("a.tsv", &with_quotes(&[30], false))], "a.tsv", &["line 32", "never closed"]);
    assert!(matches!(error, DataError::UnclosedQuote { line: 32, .. }));
    // The second quote is at the start of a text, or at the end of one.
    let error = refused(&[("a.tsv", &with_quotes(&[30, 50], false))], "a.tsv", &["line 32", "line 52"]);
    assert!(matches!(error, DataError::StrayQuote { first_line: 32, last_line: 52, .. }));
    let error = refused(&[("a.tsv", &with_quotes(&[30], true))], "a.tsv", &["line 32", "line 42"]);
    assert!(matches!(error, DataError::StrayQuote { first_line: 32, last_line: 42, .. }));
}

#[test]
fn a_subset_of_one_class_is_refused_by_its_own_name() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.csv", &csv_of(0..40));
    let request = RowsRequest { max_train_samples: Some(1), ..request(root.path().join("a.csv").display()) };
    let error = load(&hub(root.path()), &request).unwrap_err();
    assert!(error.to_string().contains("--max-train-samples"), "{error}");
    assert!(matches!(label_error(error), LabelError::OneClassInSubset { rows: 1, .. }));

    // Where all rows are of one class, the subset is not to blame.
    write(root.path(), "a.csv", &csv_of((0..80).step_by(2)));
    let error = load(&hub(root.path()), &request).unwrap_err();
    assert!(matches!(label_error(error), LabelError::OneClass { .. }));
}

#[test]
fn a_subset_of_nothing_says_which_numbers_to_raise_even_where_rows_leaked() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "d/train.csv", &csv_of(0..40));
    write(root.path(), "d/test.csv", &csv_of(0..3));
    let request = RowsRequest { max_train_samples: Some(0), ..request(root.path().join("d").display()) };
    let error = load(&hub(root.path()), &request).unwrap_err();
    assert!(matches!(error, DataError::EmptySplit { split: "train", .. }), "{error}");
    assert!(error.to_string().contains("must be at least 1"), "{error}");
}

#[test]
fn a_train_split_that_is_the_test_split_says_so() {
    let error = refused(
        &[("d/train.csv", &csv_of(0..40)), ("d/test.csv", &csv_of(0..40))],
        "d",
        &["all 40 rows are also in its test split"],
    );
    assert!(matches!(error, DataError::NothingButTest { rows: 40, .. }));
}
