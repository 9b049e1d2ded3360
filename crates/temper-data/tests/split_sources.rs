//! Where the splits of a dataset come from: shares of train, files that are named, patterns, cards with local files.

use std::path::Path;

use temper_data::{
    DataError, LabelRequest, LabelledText, RowsRequest, SplitChoice, SplitOrigin, TextClassificationData,
    TextLabel, check_dataset, load_text_classification, local_paths, unit_hash,
};
use temper_hub::{Hub, HubSettings};

fn write(root: &Path, name: &str, text: &str) -> String {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Rows of a csv file: every tenth has the label `rare`.
fn rows(range: std::ops::Range<usize>) -> String {
    let row = |row: usize| format!("text {row},{}\n", if row.is_multiple_of(10) { "rare" } else { "often" });
    format!("text,label\n{}", range.map(row).collect::<String>())
}

fn load(root: &Path, name: &str, splits: SplitChoice) -> Result<TextClassificationData, DataError> {
    let hub = Hub::new(HubSettings {
        mirror: None,
        offline: true,
        cache: root.join("cache"),
        ..HubSettings::from_environment()
    });
    let rows = RowsRequest {
        name_or_path: name.into(),
        card_directories: vec![root.join("cards")],
        splits,
        ..RowsRequest::default()
    };
    load_text_classification(&hub, &LabelRequest { rows, ..LabelRequest::default() })
}

fn texts(rows: &[LabelledText]) -> Vec<&str> {
    rows.iter().map(|row| row.text.as_str()).collect()
}

#[test]
fn shares_of_train_are_as_they_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let file = write(root.path(), "a.csv", &rows(0..400));
    let choice =
        SplitChoice { validation_share: Some(0.25), test_share: Some(0.05), ..SplitChoice::default() };
    let data = load(root.path(), &file, choice).unwrap().rows;
    let hashes = |rows: &[LabelledText]| rows.iter().map(|row| unit_hash(&row.text)).collect::<Vec<_>>();
    assert!(hashes(&data.test).iter().all(|hash| *hash < 0.05));
    assert!(hashes(&data.validation).iter().all(|hash| (0.05..0.3).contains(hash)));
    assert!(hashes(&data.train).iter().all(|hash| *hash >= 0.3));
    let expected = SplitOrigin::HeldOut { share: 0.25, hash_of: "text", stratified: false };
    assert_eq!(data.validation_source.origin, expected);
    assert_eq!(data.validation_source.examples_before_limit, data.validation.len());
    let usual = load(root.path(), &file, SplitChoice::default()).unwrap().rows;
    assert!(hashes(&usual.test).iter().all(|hash| *hash < 0.1));
    assert!(hashes(&usual.validation).iter().all(|hash| (0.1..0.2).contains(hash)));
}

#[test]
fn stratified_splits_have_the_same_share_of_each_label() {
    let root = tempfile::tempdir().unwrap();
    let file = write(root.path(), "a.csv", &rows(0..400));
    let choice = SplitChoice { stratify: true, ..SplitChoice::default() };
    let data = load(root.path(), &file, choice.clone()).unwrap();
    let rare = data.label_names.iter().position(|name| name == "rare").unwrap();
    let count = |rows: &[LabelledText]| {
        let rare = rows.iter().filter(|row| row.label == TextLabel::One(rare)).count();
        (rare, rows.len() - rare)
    };
    assert_eq!(count(&data.rows.test), (4, 36));
    assert_eq!(count(&data.rows.validation), (4, 36));
    assert_eq!(count(&data.rows.train), (32, 288));
    let numbers = write(root.path(), "b.jsonl", &"{\"text\": \"a\", \"label\": [\"x\", \"y\"]}\n".repeat(30));
    let message = load(root.path(), &numbers, choice).unwrap_err().to_string();
    assert!(message.contains("--stratify") && message.contains("one label"), "{message}");
}

#[test]
fn splits_may_have_files_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let train = write(root.path(), "a.csv", &rows(0..100));
    let validation = write(root.path(), "dev/b.csv", &rows(200..220));
    write(root.path(), "dev/c.csv", &rows(220..230));
    write(root.path(), "dev/d.csv", &rows(215..225));
    let pattern = root.path().join("dev/[c-d].csv").display().to_string();
    let choice = SplitChoice {
        validation_file: Some(validation.clone()),
        test_file: Some(pattern.clone()),
        ..SplitChoice::default()
    };
    let data = load(root.path(), &train, choice).unwrap().rows;
    assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (100, 15, 20));
    assert_eq!(data.test_source.origin, SplitOrigin::Named { files: pattern });
    // Five validation rows are test rows, too: they are dropped, as ever, and that is counted.
    assert_eq!((data.leaked, data.validation_source.examples_before_limit), (5, 15));
    let choice = SplitChoice { validation_file: Some(validation), ..SplitChoice::default() };
    let data = load(root.path(), &train, choice.clone()).unwrap().rows;
    assert_eq!(data.validation.len(), 20);
    assert!(data.test.iter().all(|row| unit_hash(&row.text) < 0.1) && !data.test.is_empty());
    assert_eq!(data.train.len() + data.test.len(), 100);
    let choice = SplitChoice { validation_share: Some(0.2), ..choice };
    let message = load(root.path(), &train, choice).unwrap_err().to_string();
    assert!(message.contains("of its own") && message.contains("--validation-split-percentage"), "{message}");
    let missing = SplitChoice { test_file: Some("nosuch.csv".into()), ..SplitChoice::default() };
    let request = RowsRequest { name_or_path: train, splits: missing, ..RowsRequest::default() };
    assert!(matches!(check_dataset(&request), Err(DataError::NoFile { .. })));
}

#[test]
fn a_pattern_stands_for_the_files_that_fit_it_in_the_order_of_their_names() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train-2.csv", &rows(50..100));
    write(root.path(), "train-1.csv", &rows(0..50));
    write(root.path(), ".train-0.csv", "no data");
    let pattern = |pattern: &str| root.path().join(pattern).display().to_string();
    let data = load(root.path(), &pattern("train-*.csv"), SplitChoice::default()).unwrap().rows;
    let kept: Vec<String> =
        (0..100).map(|row| format!("text {row}")).filter(|text| unit_hash(text) >= 0.2).collect();
    assert_eq!(texts(&data.train), kept);
    let request = RowsRequest { name_or_path: pattern("train-?.csv"), ..RowsRequest::default() };
    let names: Vec<_> = local_paths(&request).unwrap();
    assert_eq!(names, [root.path().join("train-1.csv"), root.path().join("train-2.csv")]);

    let failure = |name: &str| load(root.path(), &pattern(name), SplitChoice::default()).unwrap_err();
    assert!(failure("none-*.csv").to_string().contains("no file fits"));
    assert!(failure("tr[.csv").to_string().contains("not a pattern"));
    write(root.path(), "test.csv", &rows(0..5));
    let message = failure("t*.csv").to_string();
    assert!(message.contains("test.csv") && message.contains("different splits"), "{message}");
    write(root.path(), "train-3.tsv", &rows(0..5));
    assert!(matches!(failure("train-*"), DataError::SplitFile { .. }));
}

const CARD: &str = r#"
    name = "own"
    title = "Own reviews"
    homepage = "none"
    licence = "CC0"
    task = "text-classification"
    format = "csv"
    [splits]
    train = ["data/train-*.csv"]
    test = ["data/test.csv"]
    [columns]
    text = "text"
    label = "label"
    [hold_out]
    validation = 0.2
"#;

#[test]
fn a_card_without_a_source_names_files_beside_it() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "cards/own.toml", CARD);
    write(root.path(), "cards/data/train-1.csv", &rows(0..50));
    write(root.path(), "cards/data/train-2.csv", &rows(50..100));
    write(root.path(), "cards/data/test.csv", &rows(200..220));
    let data = load(root.path(), "own", SplitChoice::default()).unwrap().rows;
    assert_eq!((data.name.as_str(), data.test.len()), ("own", 20));
    assert!(data.resolved.is_none());
    assert!(data.validation.iter().all(|row| unit_hash(&row.text) < 0.2) && !data.validation.is_empty());
    assert_eq!(data.test_source.origin, SplitOrigin::Own);
    let cards = vec![root.path().join("cards")];
    let request = |name: &str| RowsRequest {
        name_or_path: name.into(),
        card_directories: cards.clone(),
        ..RowsRequest::default()
    };
    assert_eq!(local_paths(&request("own")).unwrap().len(), 3);

    let folder = root.path().join("cards/data/test.csv");
    std::fs::remove_file(&folder).unwrap();
    let message = load(root.path(), "own", SplitChoice::default()).unwrap_err().to_string();
    assert!(message.contains("cards/data/test.csv"), "{message}");
    write(root.path(), "cards/out.toml", &CARD.replace("data/test.csv", "../test.csv"));
    let message = load(root.path(), "out", SplitChoice::default()).unwrap_err().to_string();
    assert!(message.contains("leads out of its folder"), "{message}");
}

#[test]
fn a_path_is_not_taken_for_a_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().display();
    for name in [format!("{folder}/nosuch"), format!("{folder}/nosuch/train"), "a/b/c".into(), "./x".into()] {
        let request = RowsRequest { name_or_path: name.clone(), ..RowsRequest::default() };
        assert!(matches!(check_dataset(&request), Err(DataError::NoFile { .. })), "{name}");
    }
    // One of the Hub that has no card.
    let request = RowsRequest { name_or_path: "somebody/reviews".into(), ..RowsRequest::default() };
    assert!(matches!(check_dataset(&request), Err(DataError::UnknownDataset { .. })));
}
