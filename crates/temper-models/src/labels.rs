//! Names of the labels in config.json, as transformers' `PreTrainedConfig` reads them.

use serde_json::{Map, Value};

use crate::ModelError;

/// What transformers takes where a configuration names no labels.
const DEFAULT_COUNT: u64 = 2;
/// More labels than any classifier has.
const MOST: u64 = 1 << 20;

/// Names of the labels by id: those of `id2label`, else `LABEL_0`, `LABEL_1`, ... as many as `num_labels` says, else
/// two. As in transformers, `num_labels` counts only without `id2label`, and `label2id` is not read.
pub(crate) fn names(raw: &Map<String, Value>) -> Result<Vec<String>, ModelError> {
    match raw.get("id2label") {
        None | Some(Value::Null) => Ok(numbered(count(raw)?)),
        Some(Value::Object(id2label)) => named(id2label),
        Some(other) => wrong(format!("id2label = {} is not a table of names by id", brief(other))),
    }
}

/// Names that say nothing, in transformers' spelling.
fn numbered(count: u64) -> Vec<String> {
    (0..count).map(|id| format!("LABEL_{id}")).collect()
}

fn count(raw: &Map<String, Value>) -> Result<u64, ModelError> {
    match raw.get("num_labels") {
        None | Some(Value::Null) => Ok(DEFAULT_COUNT),
        Some(value) => match value.as_u64() {
            Some(count) if (1..=MOST).contains(&count) => Ok(count),
            _ => wrong(format!("num_labels = {} is not between 1 and {MOST}", brief(value))),
        },
    }
}

fn named(id2label: &Map<String, Value>) -> Result<Vec<String>, ModelError> {
    if id2label.is_empty() {
        return wrong("id2label is empty".into());
    }
    for key in id2label.keys() {
        if key.parse::<usize>().is_err() {
            return wrong(format!("id2label has {key:?}, which is not an id"));
        }
    }
    let name = |id: usize| {
        let Some(name) = id2label.get(&id.to_string()) else {
            return wrong(format!("id2label has {} entries, but none for id {id}", id2label.len()));
        };
        match name {
            Value::String(name) => Ok(name.clone()),
            Value::Number(name) => Ok(name.to_string()),
            other => wrong(format!("id2label names id {id} {}, which is not text", brief(other))),
        }
    };
    (0..id2label.len()).map(name).collect()
}

/// A value as it is written, cut short.
fn brief(value: &Value) -> String {
    const LONGEST: usize = 80;
    value.to_string().chars().take(LONGEST).collect()
}

fn wrong<T>(reason: String) -> Result<T, ModelError> {
    Err(ModelError::Config { reason })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<Vec<String>, String> {
        let Value::Object(raw) = config else { panic!("an object") };
        names(&raw).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_those_of_transformers() {
        for (config, expected) in [
            (json!({}), vec!["LABEL_0", "LABEL_1"]),
            (json!({"num_labels": 3}), vec!["LABEL_0", "LABEL_1", "LABEL_2"]),
            (json!({"num_labels": 3, "id2label": null}), vec!["LABEL_0", "LABEL_1", "LABEL_2"]),
            (json!({"id2label": {"0": "neg", "1": "pos"}, "num_labels": 5}), vec!["neg", "pos"]),
            (json!({"id2label": {"1": 1, "0": 0, "2": 2}}), vec!["0", "1", "2"]),
            (json!({"id2label": {"0": 0.5}}), vec!["0.5"]),
            // Names by label alone say nothing to transformers.
            (json!({"label2id": {"a": 0, "b": 1, "c": 2}}), vec!["LABEL_0", "LABEL_1"]),
        ] {
            assert_eq!(
                read(config.clone()),
                Ok(expected.into_iter().map(str::to_owned).collect()),
                "{config}"
            );
        }
    }

    #[test]
    fn what_is_no_list_of_labels_is_refused_by_name() {
        for (config, words) in [
            (json!({"id2label": {"0": "a", "2": "c"}}), "none for id 1"),
            (json!({"id2label": {"1": "a", "2": "c"}}), "none for id 0"),
            (json!({"id2label": {"0": "a", "one": "c"}}), "\"one\", which is not an id"),
            (json!({"id2label": {"0": "a", "-1": "c"}}), "\"-1\", which is not an id"),
            (json!({"id2label": {"0": "a", "01": "c"}}), "none for id 1"),
            (json!({"id2label": {"0": ["a"]}}), "id 0 [\"a\"], which is not text"),
            (json!({"id2label": {"0": null}}), "id 0 null, which is not text"),
            (json!({"id2label": ["a", "b"]}), "id2label = [\"a\",\"b\"] is not a table"),
            (json!({"id2label": {}}), "id2label is empty"),
            (json!({"num_labels": 0}), "num_labels = 0"),
            (json!({"num_labels": -3}), "num_labels = -3"),
            (json!({"num_labels": "3"}), "num_labels = \"3\""),
            (json!({"num_labels": 1_000_000_000_000_u64}), "num_labels = 1000000000000"),
        ] {
            let error = read(config.clone()).expect_err("refused");
            assert!(error.contains("config.json") && error.contains(words), "{config}: {error}");
        }
    }
}
