//! Statistics of the data, for the user and the run's records.

use std::fmt;

use serde::Serialize;

use crate::{DatasetRows, EncodedSet, UnreadableRow};
use crate::{SplitSource, readers::FileReport};

/// Files that are listed one by one.
const FILES: usize = 8;

/// One split, encoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// train, validation or test.
    pub split: &'static str,
    /// Where validation and test come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SplitSource>,
    /// Examples.
    pub examples: usize,
    /// How often each label occurs, in the order of the ids; empty where there are no labels.
    pub label_counts: Vec<(String, usize)>,
    /// Examples that truncation shortened.
    pub truncated_examples: usize,
    /// The same in percent of the examples.
    pub truncated_percent: f64,
    /// Tokens that truncation left out.
    pub tokens_lost: usize,
    /// Whether that number holds estimates: of long texts only the tokens that are kept are made.
    pub lost_is_estimate: bool,
    /// Tokens kept, special tokens included.
    pub tokens_total: usize,
    /// Longest example in tokens.
    pub longest: usize,
    /// Mean length in tokens.
    pub mean: f64,
    /// 95 of 100 examples are at most this long, in tokens.
    pub p95: usize,
}

/// A split as a task reads it.
#[derive(Debug, Clone, Copy)]
pub struct SplitContent<'a> {
    /// Examples.
    pub examples: usize,
    /// How often each label occurs, by id.
    pub labels: &'a [usize],
    /// The examples, encoded; one that is spread over windows is there several times.
    pub encoded: &'a EncodedSet,
}

impl SplitReport {
    /// Describes a split.
    pub fn new(split: &'static str, label_names: &[String], content: SplitContent<'_>) -> Self {
        let SplitContent { examples, labels, encoded: set } = content;
        let mut lengths: Vec<usize> = set.items.iter().map(|item| item.ids.len()).collect();
        lengths.sort_unstable();
        let items = lengths.len();
        let share = |count: usize| count as f64 / items.max(1) as f64;
        // The nearest rank: the smallest length that at least 95 % do not exceed.
        let rank = (items * 95).div_ceil(100);
        Self {
            split,
            source: None,
            examples,
            label_counts: label_names.iter().cloned().zip(labels.iter().copied()).collect(),
            truncated_examples: set.truncated_examples,
            truncated_percent: 100.0 * share(set.truncated_examples),
            tokens_lost: set.tokens_lost,
            lost_is_estimate: set.lost_is_estimate,
            tokens_total: set.tokens_total,
            longest: lengths.last().copied().unwrap_or(0),
            mean: share(set.tokens_total),
            p95: rank.checked_sub(1).map_or(0, |index| lengths[index]),
        }
    }
}

/// A dataset as a run sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataReport {
    /// The dataset's name or path.
    pub dataset: String,
    /// The requested dataset, if this is only its stand-in.
    pub stand_in_for: Option<String>,
    /// Training rows before the subset.
    pub full_train_rows: usize,
    /// Rows of train and validation dropped because their text also is in test.
    pub leaked: usize,
    /// Rows dropped because they have no label.
    pub unlabelled: usize,
    /// Rows left out because they cannot be read, where that was asked for.
    pub unreadable: Vec<UnreadableRow>,
    /// The files, and what their readers decided.
    pub files: Vec<FileReport>,
    /// What the user should look at.
    pub notices: Vec<String>,
    /// train, validation and test.
    pub splits: Vec<SplitReport>,
}

impl DataReport {
    /// Describes a dataset and its splits as a task reads them (train, validation, test).
    pub fn new<R>(data: &DatasetRows<R>, label_names: &[String], splits: [SplitContent<'_>; 3]) -> Self {
        let resolved = data.resolved.as_ref();
        Self {
            dataset: data.name.clone(),
            stand_in_for: resolved.and_then(|resolved| resolved.stand_in_for.clone()),
            full_train_rows: data.full_train_rows,
            leaked: data.leaked,
            unlabelled: data.unlabelled,
            unreadable: data.unreadable.clone(),
            files: data.files.clone(),
            notices: data.notices.clone(),
            splits: [
                ("train", None),
                ("validation", Some(data.validation_source.clone())),
                ("test", Some(data.test_source.clone())),
            ]
            .into_iter()
            .zip(splits)
            .map(|((split, source), content)| SplitReport {
                source,
                ..SplitReport::new(split, label_names, content)
            })
            .collect(),
        }
    }

    /// Where validation and test come from, and how large they are, in words.
    pub fn sources_in_words(&self) -> String {
        let words = |report: &SplitReport| {
            let SplitReport { split, examples, .. } = report;
            let SplitSource { origin, examples_before_limit: all } = report.source.as_ref()?;
            let of_all = if all > examples { format!(" of {all}") } else { String::new() };
            Some(format!("{split}: {}, {examples}{of_all} examples", origin.in_words(split)))
        };
        self.splits.iter().filter_map(words).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> =
            self.label_counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(
            f,
            "{:<10} {:>7} examples{}; tokens: mean {:.0}, 95 % within {}, longest {}; \
             cut: {} ({:.1} %), {}{} tokens lost",
            self.split,
            self.examples,
            if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) },
            self.mean,
            self.p95,
            self.longest,
            self.truncated_examples,
            self.truncated_percent,
            if self.lost_is_estimate { "about " } else { "" },
            self.tokens_lost,
        )
    }
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dataset {}", self.dataset)?;
        if let Some(asked) = &self.stand_in_for {
            write!(f, " (standing in for {asked})")?;
        }
        writeln!(f)?;
        for file in self.files.iter().take(FILES) {
            writeln!(f, "  {file}")?;
        }
        if self.files.len() > FILES {
            let rows: usize = self.files.iter().skip(FILES).map(|file| file.rows).sum();
            writeln!(f, "  and {} more files with {rows} rows", self.files.len() - FILES)?;
        }
        for split in &self.splits {
            writeln!(f, "  {split}")?;
        }
        write!(
            f,
            "  training rows before any subset: {}; rows dropped because test has the same text: {}",
            self.full_train_rows, self.leaked
        )?;
        if self.unlabelled > 0 {
            write!(f, "; rows dropped because they have no label: {}", self.unlabelled)?;
        }
        if let Some(first) = self.unreadable.first() {
            let count = self.unreadable.len();
            write!(f, "\n  rows left out because they cannot be read: {count}, first {}", first.reason)?;
        }
        for notice in &self.notices {
            write!(f, "\n  notice: {notice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Encoded, Format, SplitOrigin};

    fn source(origin: SplitOrigin, examples_before_limit: usize) -> SplitSource {
        SplitSource { origin, examples_before_limit }
    }

    fn report() -> DataReport {
        let item = |length: usize, tokens_lost| Encoded {
            ids: vec![1; length],
            type_ids: vec![0; length],
            tokens_lost,
            lost_is_estimate: false,
        };
        let data = DatasetRows::<()> {
            name: "reviews".into(),
            card: None,
            resolved: None,
            columns: Default::default(),
            train: vec![(); 4],
            validation: vec![()],
            test: vec![()],
            validation_source: source(
                SplitOrigin::HeldOut { share: 0.1, hash_of: "text", stratified: false },
                5,
            ),
            test_source: source(SplitOrigin::Own, 1),
            full_train_rows: 9,
            leaked: 2,
            unlabelled: 3,
            unreadable: Vec::new(),
            files: vec![FileReport::new(Path::new("reviews.csv"), Format::Csv); 9],
            notices: vec!["two labels look alike".into()],
        };
        let train = vec![item(2, 0), item(8, 5), item(4, 0), item(6, 0)];
        let train = EncodedSet::new(train, false);
        let other = EncodedSet::new(vec![item(3, 0)], false);
        let content = |labels: &'static [usize], encoded| SplitContent {
            examples: labels.iter().sum(),
            labels,
            encoded,
        };
        let splits = [content(&[1, 3], &train), content(&[1, 0], &other), content(&[0, 1], &other)];
        DataReport::new(&data, &["neg".into(), "pos".into()], splits)
    }

    #[test]
    fn lengths_losses_and_labels_are_counted() {
        let report = report();
        let train = &report.splits[0];
        assert_eq!(train.label_counts, [("neg".to_string(), 1), ("pos".to_string(), 3)]);
        assert_eq!((train.examples, train.longest, train.p95), (4, 8, 8));
        assert_eq!((train.mean, train.tokens_total), (5.0, 20));
        assert_eq!((train.truncated_examples, train.tokens_lost), (1, 5));
        assert_eq!(train.truncated_percent, 25.0);
    }

    #[test]
    fn the_text_says_what_the_records_say() {
        let text = report().to_string();
        for part in [
            "neg 1, pos 3",
            "longest 8",
            "1 (25.0 %), 5 tokens lost",
            "subset: 9",
            "same text: 2",
            "no label: 3",
            "reviews.csv: csv, 0 rows",
            "1 more files",
            "notice: two labels",
        ] {
            assert!(text.contains(part), "{part} not in: {text}");
        }
        assert_eq!(
            report().sources_in_words(),
            "validation: 10 % of train by a hash of the text, 1 of 5 examples; \
             test: the dataset's own test split, 1 examples"
        );
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["splits"][0]["source"], serde_json::Value::Null);
        assert_eq!(json["splits"][2]["source"]["from"], "own");
        assert_eq!(json["splits"][0]["label_counts"][1][1], 3);
        assert_eq!(json["leaked"], 2);
        assert_eq!(json["files"][0]["format"], "csv");
    }
}
