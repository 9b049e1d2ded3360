//! What a finished run holds, and where another differs from it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::disk::{ROOT, Tree};

/// Files and folders that have to be the same bytes.
const SAME: [&str; 3] = ["model", "adapter", "predictions.jsonl"];

/// How names begin of what is not finished.
pub const TEMPORARY: &str = ".temper-";

/// What an uninterrupted run left.
pub struct Outcome {
    files: BTreeMap<String, Option<Vec<u8>>>,
    results: Value,
    metrics: Vec<Value>,
}

impl Outcome {
    /// Reads a finished run.
    pub fn read(run: &Path) -> Result<Self> {
        let tree = Tree::read(run)?;
        let listing = tree.listing(ROOT);
        let same =
            |path: &str| SAME.iter().any(|name| path == *name || path.starts_with(&format!("{name}/")));
        let files = listing
            .iter()
            .filter(|(path, _)| same(path))
            .map(|(path, content)| (path.clone(), content.map(<[u8]>::to_vec)));
        let text = |name: &str| -> Result<String> {
            let content = listing.get(name).copied().flatten();
            let content = content.with_context(|| format!("{name} is missing"))?;
            String::from_utf8(content.to_vec()).with_context(|| format!("{name} is damaged"))
        };
        let json = |text: &str| -> Result<Value> {
            let mut value = serde_json::from_str(text)
                .with_context(|| format!("no JSON: {:?}", text.chars().take(40).collect::<String>()))?;
            drop_measurements(&mut value);
            Ok(value)
        };
        Ok(Self {
            results: json(&text("results.json")?).context("results.json")?,
            metrics: text("metrics.jsonl")?
                .lines()
                .map(json)
                .collect::<Result<_>>()
                .context("metrics.jsonl")?,
            files: files.collect(),
        })
    }

    /// Everything in which a run differs from this one, a line each.
    pub fn differences(&self, run: &Path) -> Vec<String> {
        let other = match Self::read(run) {
            Ok(other) => other,
            Err(error) => return vec![format!("{error:#}")],
        };
        let mut differences = Vec::new();
        for path in self.files.keys().chain(other.files.keys().filter(|path| !self.files.contains_key(*path)))
        {
            match (self.files.get(path), other.files.get(path)) {
                (Some(_), None) => differences.push(format!("{path} is missing")),
                (None, Some(_)) => differences.push(format!("{path} is too much")),
                (one, other) if one != other => differences.push(format!("{path} differs")),
                _ => {}
            }
        }
        if let Some(key) = first_difference(&self.results, &other.results) {
            differences.push(format!("results.json differs in {key}"));
        }
        if self.metrics != other.metrics {
            let (rows, there) = (self.metrics.len(), other.metrics.len());
            let same =
                self.metrics.iter().zip(&other.metrics).take_while(|(one, other)| one == other).count();
            differences.push(format!("metrics.jsonl has {there} rows for {rows}; {same} are the same"));
        }
        differences.extend(unfinished(run));
        differences
    }
}

/// What may not be next to a finished run, and what has to be.
fn unfinished(run: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    let report = std::fs::read_to_string(run.join("report.html")).unwrap_or_default();
    if !report.trim_end().ends_with("</html>") {
        faults.push("report.html is missing or cut off".into());
    }
    // The folder of all runs, too.
    let Some(tree) = run.parent().and_then(|out| Tree::read(out).ok()) else {
        faults.push("the folder of the run cannot be read".into());
        return faults;
    };
    let strays = tree.listing(ROOT).into_keys().filter(|path| {
        path.rsplit('/').next().is_some_and(|name| {
            name.starts_with(TEMPORARY) || name.ends_with(".partial") || name.ends_with(".old")
        })
    });
    faults.extend(strays.map(|path| format!("{path} was left behind")));
    faults
}

/// Removes what no two runs have in common: times, rates, memory, and what the cache of one process saved.
fn drop_measurements(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                !["predicted", "trunk_cache"].contains(&key.as_str())
                    && !["seconds", "per_second", "memory_bytes"].iter().any(|end| key.ends_with(end))
            });
            map.values_mut().for_each(drop_measurements);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_measurements),
        _ => {}
    }
}

/// The key of the first difference.
fn first_difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(first), Value::Object(second)) => {
            let keys = first.keys().chain(second.keys().filter(|key| !first.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let (one, other) = (first.get(key), second.get(key));
                match (one, other) {
                    (Some(one), Some(other)) => first_difference(one, other)
                        .map(|inner| if inner.is_empty() { key.clone() } else { format!("{key}.{inner}") }),
                    _ => Some(key.clone()),
                }
            })
        }
        _ if one == other => None,
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write_run(run: &Path, loss: f64, seconds: f64) {
        fs::create_dir_all(run.join("model")).unwrap();
        fs::write(run.join("model/config.json"), "{}").unwrap();
        fs::write(run.join("predictions.jsonl"), "{}\n").unwrap();
        let results = format!("{{\"test\":{{\"loss\":{loss}}},\"training_seconds\":{seconds}}}");
        fs::write(run.join("results.json"), results).unwrap();
        fs::write(
            run.join("metrics.jsonl"),
            format!("{{\"loss\":{loss},\"tokens_per_second\":{seconds}}}\n"),
        )
        .unwrap();
        fs::write(run.join("report.html"), "<html></html>\n").unwrap();
    }

    #[test]
    fn times_may_differ_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [one, same, other] = ["a/run", "b/run", "c/run"].map(|name| folder.path().join(name));
        write_run(&one, 0.5, 1.0);
        write_run(&same, 0.5, 2.0);
        write_run(&other, 0.25, 1.0);
        fs::write(other.join("model/config.json"), "{ }").unwrap();
        let expected = Outcome::read(&one).unwrap();
        assert_eq!(expected.differences(&same), [""; 0]);
        assert_eq!(
            expected.differences(&other),
            [
                "model/config.json differs",
                "results.json differs in test.loss",
                "metrics.jsonl has 1 rows for 1; 0 are the same"
            ]
        );
    }

    #[test]
    fn what_is_missing_or_left_behind_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["a/run", "b/run"].map(|name| folder.path().join(name));
        write_run(&one, 0.5, 1.0);
        write_run(&other, 0.5, 1.0);
        fs::remove_file(other.join("predictions.jsonl")).unwrap();
        fs::write(other.join("report.html"), "<html>").unwrap();
        fs::write(other.join(".temper-x"), "").unwrap();
        assert_eq!(
            Outcome::read(&one).unwrap().differences(&other),
            [
                "predictions.jsonl is missing",
                "report.html is missing or cut off",
                "run/.temper-x was left behind"
            ]
        );
    }
}
