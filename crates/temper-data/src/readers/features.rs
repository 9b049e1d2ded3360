//! Features of Hugging Face's `datasets`: what columns mean, in the metadata of a file or in dataset_info.json.

use std::path::Path;

use serde_json::Value as Json;

/// The key of a file's metadata.
pub(super) const FEATURES_KEY: &str = "huggingface";
/// What `save_to_disk` writes into the folder of a split.
const INFO: &str = "dataset_info.json";
/// The largest such file that is read.
const MOST_BYTES: u64 = 64 << 20;

/// The features by column in a file's metadata, or null: a file without them is still a good file.
pub(super) fn of_metadata(text: Option<&str>) -> Json {
    let json = text.and_then(|text| serde_json::from_str::<Json>(text).ok());
    json.and_then(|mut json| Some(json.pointer_mut("/info/features")?.take())).unwrap_or_default()
}

/// The features in dataset_info.json beside a file, where it is there.
pub(super) fn of_folder(file: &Path) -> Option<Json> {
    let path = file.parent()?.join(INFO);
    if std::fs::metadata(&path).ok()?.len() > MOST_BYTES {
        return None;
    }
    let mut json: Json = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    let features = json.get_mut("features")?.take();
    features.is_object().then_some(features)
}

/// The names of a `ClassLabel`, or of the `ClassLabel` inside a sequence.
pub(super) fn class_names(feature: &Json) -> Option<Vec<String>> {
    if feature["_type"] == "ClassLabel" {
        return serde_json::from_value(feature["names"].clone()).ok();
    }
    feature.get("feature").and_then(class_names)
}
