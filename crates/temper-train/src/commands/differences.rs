//! Two requests, compared setting by setting.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::TrainError;
use crate::run::record::RunRequest;

/// Refuses to continue what was made for another request.
///
/// # Errors
/// [`TrainError::OtherSettings`] with every difference.
pub(super) fn same_settings(folder: &Path, before: &RunRequest, now: &RunRequest) -> Result<(), TrainError> {
    // A record of before precision was a setting names none.
    let resolved = before.clone().resolved();
    let differences = differences(resolved.as_ref().unwrap_or(before), now);
    if differences.is_empty() {
        return Ok(());
    }
    let in_words = |SettingDifference { setting, values: [before, now] }: SettingDifference| {
        format!("  {setting}: {before} then, {now} now")
    };
    let differences = differences.into_iter().map(in_words).collect();
    Err(TrainError::OtherSettings { folder: folder.into(), differences })
}

/// A setting in which two requests differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettingDifference {
    /// Its name.
    pub(super) setting: String,
    /// Its value in each of the two.
    pub(super) values: [String; 2],
}

/// The settings in which two requests differ. Where files come from does not count: files are compared by their hashes.
pub(super) fn differences(first: &RunRequest, second: &RunRequest) -> Vec<SettingDifference> {
    let (first, second) = (settings(first), settings(second));
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "not given".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let names = first.keys().chain(second.keys().filter(|name| !first.contains_key(*name)));
    names
        .filter(|name| first.get(*name) != second.get(*name))
        .map(|name| SettingDifference {
            setting: name.clone(),
            values: [shown(first.get(name)), shown(second.get(name))],
        })
        .collect()
}

/// Everything that was asked for, by name.
fn settings(request: &RunRequest) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    if let Ok(Value::Object(mut parts)) = serde_json::to_value(request) {
        parts.remove("sources");
        for (name, value) in parts {
            match value {
                Value::Object(inner) => settings.extend(inner),
                value => settings.extend([(name, value)]),
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnOptions, Preset, Settings, SourceOptions};

    #[test]
    fn every_difference_but_the_sources_is_named() {
        let before = RunRequest {
            model: "bert".into(),
            dataset: "imdb".into(),
            from_scratch: None,
            columns: ColumnOptions::default(),
            task: None,
            trained_columns: None,
            backend: "flex".into(),
            devices: Vec::new(),
            preset: Preset::Cpu,
            sources: SourceOptions::default(),
            settings: Settings::default(),
        };
        let before = before.resolved().unwrap();
        let mut now = before.clone();
        now.sources.offline = true;
        assert_eq!(differences(&before, &now), Vec::new());
        same_settings(Path::new("runs/one"), &before, &now).unwrap();
        now.settings.learning_rate = 0.5;
        now.settings.max_steps = Some(3);
        now.columns.text_column = Some("review".into());
        now.model = "minilm".into();
        let Err(TrainError::OtherSettings { differences, .. }) =
            same_settings(Path::new("runs/one"), &before, &now)
        else {
            panic!("the requests differ");
        };
        assert_eq!(
            differences,
            [
                "  learning_rate: 0.00002 then, 0.5 now",
                "  max_steps: not given then, 3 now",
                "  model: bert then, minilm now",
                "  text_column: not given then, review now",
            ]
        );
    }
}
