//! How the run was made: settings, versions, and the files it read with their checksums, as run.toml has them.

use toml::{Table, Value};

use super::html::{details, table};
use crate::charts::escape;

/// The settings that are looked for first.
const FIRST: [&str; 12] = [
    "strategy",
    "learning_rate",
    "lr_scheduler_type",
    "optim",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "max_seq_length",
    "weight_decay",
    "precision",
    "seed",
];

/// Sources, versions and settings of a run.toml.
pub(super) fn sources(record: &Table) -> String {
    let settings = at(record, &["request", "settings"]).and_then(Value::as_table);
    let of = |path: &[&str]| at(record, path).map(words);
    let mut facts: Vec<(&str, Option<String>)> = vec![
        ("model", origin(record.get("model"), of(&["request", "model"]))),
        ("dataset", origin(record.get("dataset"), of(&["request", "dataset"]))),
        ("preset", of(&["request", "preset"])),
        ("backend", of(&["request", "backend"])),
        ("versions", versions(record)),
    ];
    let first = settings.map(|settings| FIRST.map(|name| (name, settings.get(name).map(words))));
    facts.extend(first.into_iter().flatten());
    let rows: Vec<Vec<String>> =
        facts.into_iter().filter_map(|(name, value)| Some(vec![escape(name), escape(&value?)])).collect();
    let all: Vec<Vec<String>> = settings
        .into_iter()
        .flatten()
        .map(|(name, value)| vec![escape(name), escape(&words(value))])
        .collect();
    format!(
        "<div class=\"facts\">{}</div>{}{}",
        table(&[], &rows),
        details("All settings", &format!("<div class=\"facts\">{}</div>", table(&[], &all))),
        files(record)
    )
}

fn at<'a>(record: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(record.get(*first)?, |value, name| value.get(name))
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// What was found under a name, and where.
fn origin(found: Option<&Value>, asked: Option<String>) -> Option<String> {
    let Some(found) = found else { return asked };
    let of = |name: &str| found.get(name).and_then(Value::as_str);
    let mut said = of("id").map(str::to_owned).or_else(|| asked.clone())?;
    let from = [("revision", "revision "), ("package", "package "), ("origin", "from: ")];
    let from: Vec<String> =
        from.into_iter().filter_map(|(name, word)| Some(format!("{word}{}", of(name)?))).collect();
    if !from.is_empty() {
        said += &format!(" ({})", from.join(", "));
    }
    if let Some(wanted) = of("stand_in_for") {
        said += &format!(", standing in for {wanted}");
    }
    Some(said)
}

fn versions(record: &Table) -> Option<String> {
    let of = |name: &str| record.get(name).map(words);
    Some(format!("temper {}, Burn {}, {}", of("temper")?, of("burn")?, of("vector_instructions")?))
}

/// The files of model and dataset with their sha256.
fn files(record: &Table) -> String {
    let lists = [
        ("model", record.get("model").and_then(|found| found.get("files"))),
        ("dataset", record.get("dataset").and_then(|found| found.get("files"))),
        ("dataset", record.get("dataset_files")),
    ];
    let rows = lists.into_iter().flat_map(|(of, files)| {
        let files = files.and_then(Value::as_array).into_iter().flatten();
        files.map(move |file| {
            let word = |name: &str| file.get(name).map(words).unwrap_or_default();
            vec![escape(&word("name")), of.to_owned(), format!("<code>{}</code>", escape(&word("sha256")))]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    match rows.is_empty() {
        true => String::new(),
        false => details("Files and their checksums", &table(&["file", "of", "sha256"], &rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_says_is_shown_and_escaped() {
        let record: Table = toml::from_str(
            r#"
            temper = "0.1.0"
            burn = "0.22.1"
            vector_instructions = "avx2"
            [request]
            model = "bert"
            dataset = "a<b>.csv"
            [request.settings]
            learning_rate = 2e-5
            strategy = "last:2"
            odd = ["x", "<y>"]
            [model]
            id = "org/name"
            origin = "hub"
            revision = "abc"
            [[model.files]]
            name = "config.json"
            sha256 = "00ff"
            "#,
        )
        .unwrap();
        let page = sources(&record);
        for part in [
            "org/name (revision abc, from: hub)",
            "a&lt;b&gt;.csv",
            "temper 0.1.0, Burn 0.22.1, avx2",
            "last:2",
            "&lt;y&gt;",
            "<code>00ff</code>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<b>") && !page.contains("<y>"), "{page}");
        assert!(!sources(&Table::new()).contains("checksums"));
    }
}
