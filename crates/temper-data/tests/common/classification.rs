//! Labelled texts in files and behind cards, and how they are loaded.
#![allow(dead_code)] // Each test file uses its own part.

use std::collections::BTreeMap;
use std::path::Path;

use temper_data::{
    DataError, LabelError, LabelRequest, RowsRequest, TextClassificationData, load_text_classification,
};
use temper_hub::{Hub, HubSettings};

/// A hub that sees nothing but the folder's mirror.
pub fn hub(root: &Path) -> Hub {
    Hub::new(HubSettings {
        mirror: Some(root.join("mirror")),
        offline: true,
        stand_ins: true,
        cache: root.join("cache"),
        hub_cache: Some(root.join("hub")),
        progress: false,
        ..HubSettings::from_environment()
    })
}

pub fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

pub fn request(name_or_path: impl ToString) -> RowsRequest {
    RowsRequest { name_or_path: name_or_path.to_string(), seed: 42, ..RowsRequest::default() }
}

pub fn columns(names: &[(&str, &str)]) -> BTreeMap<String, String> {
    names.iter().map(|(role, name)| (role.to_string(), name.to_string())).collect()
}

pub fn load(hub: &Hub, rows: &RowsRequest) -> Result<TextClassificationData, DataError> {
    load_text_classification(hub, &LabelRequest { rows: rows.clone(), ..LabelRequest::default() })
}

pub fn load_path(root: &Path, name: &str) -> Result<TextClassificationData, DataError> {
    load(&hub(root), &request(root.join(name).display()))
}

/// A csv of the texts `text 0`, `text 1`, ..., with the labels 0 and 1 in turn.
pub fn csv_of(rows: impl Iterator<Item = usize>) -> String {
    let lines: Vec<String> = rows.map(|i| format!("text {i},{}\n", i % 2)).collect();
    format!("text,label\n{}", lines.concat())
}

const CARD: &str = r#"
title = "Reviews"
homepage = "none"
licence = "CC0"
task = "text-classification"
format = "csv"
labels = ["bad", "good"]
"#;

pub fn write_card(root: &Path, name: &str, head: &str, hub_id: &str) {
    let card = format!(
        "name = \"{name}\"\n{CARD}{head}\n[source]\nhub = \"{hub_id}\"\n\
         [splits]\ntrain = [\"a/train.csv\"]\ntest = [\"a/test.csv\"]\n\
         [columns]\ntext = \"text\"\nlabel = \"label\"\n[hold_out]\nvalidation = 0.2\n"
    );
    write(root, &format!("cards/{name}.toml"), &card);
}

pub fn load_card(root: &Path, name: &str) -> Result<TextClassificationData, DataError> {
    let request = RowsRequest { card_directories: vec![root.join("cards")], ..request(name) };
    load(&hub(root), &request)
}

pub fn label_error(error: DataError) -> LabelError {
    match error {
        DataError::Labels(error) => *error,
        other => panic!("{other}"),
    }
}
