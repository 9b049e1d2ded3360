//! What is in the data, for the user's eyes and the run's records.

use std::fmt;

use serde::Serialize;

use crate::readers::FileReport;
use crate::{EncodedSet, LabelledText, TextClassificationData};

/// Files that are told one by one.
const FILES: usize = 8;

/// One split, encoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// train, validation or test.
    pub split: &'static str,
    /// Examples.
    pub examples: usize,
    /// Examples of each class, in the order of the ids.
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

impl SplitReport {
    /// Describes a split; `set` are its rows, encoded.
    pub fn new(split: &'static str, rows: &[LabelledText], label_names: &[String], set: &EncodedSet) -> Self {
        let mut counts = vec![0; label_names.len()];
        for row in rows {
            counts[row.label] += 1;
        }
        let mut lengths: Vec<usize> = set.items.iter().map(|item| item.ids.len()).collect();
        lengths.sort_unstable();
        let examples = lengths.len();
        let share = |count: usize| count as f64 / examples.max(1) as f64;
        // The nearest rank: the smallest length that at least 95 % do not exceed.
        let rank = (examples * 95).div_ceil(100);
        Self {
            split,
            examples,
            label_counts: label_names.iter().cloned().zip(counts).collect(),
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
    /// What was asked for, when this is only its stand-in.
    pub stand_in_for: Option<String>,
    /// Training rows before the subset.
    pub full_train_rows: usize,
    /// Rows of train and validation dropped because their text also stands in test.
    pub leaked: usize,
    /// Rows dropped because they have no label.
    pub unlabelled: usize,
    /// The files, and what their readers decided.
    pub files: Vec<FileReport>,
    /// What the user should look at.
    pub notices: Vec<String>,
    /// train, validation and test.
    pub splits: Vec<SplitReport>,
}

impl DataReport {
    /// Describes a dataset from its encoded splits (train, validation, test).
    pub fn new(data: &TextClassificationData, [train, validation, test]: [&EncodedSet; 3]) -> Self {
        let names = &data.label_names;
        let resolved = data.resolved.as_ref();
        Self {
            dataset: data.name.clone(),
            stand_in_for: resolved.and_then(|resolved| resolved.stand_in_for.clone()),
            full_train_rows: data.full_train_rows,
            leaked: data.leaked,
            unlabelled: data.unlabelled,
            files: data.files.clone(),
            notices: data.notices.clone(),
            splits: vec![
                SplitReport::new("train", &data.train, names, train),
                SplitReport::new("validation", &data.validation, names, validation),
                SplitReport::new("test", &data.test, names, test),
            ],
        }
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> =
            self.label_counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(
            f,
            "{:<10} {:>7} examples ({}); tokens: mean {:.0}, 95 % within {}, longest {}; \
             cut: {} ({:.1} %), {}{} tokens lost",
            self.split,
            self.examples,
            labels.join(", "),
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
    use crate::{Encoded, Format};

    fn report() -> DataReport {
        let row = |label| LabelledText { text: String::new(), pair: None, label, row: 1 };
        let item = |length: usize, tokens_lost| Encoded {
            ids: vec![1; length],
            type_ids: vec![0; length],
            tokens_lost,
            lost_is_estimate: false,
        };
        let data = TextClassificationData {
            name: "reviews".into(),
            card: None,
            resolved: None,
            columns: crate::ColumnNames { text: "text".into(), text_pair: None, label: "label".into() },
            label_names: vec!["neg".into(), "pos".into()],
            train: vec![row(1), row(0), row(1), row(1)],
            validation: vec![row(0)],
            test: vec![row(1)],
            full_train_rows: 9,
            leaked: 2,
            unlabelled: 3,
            files: vec![FileReport::new(Path::new("reviews.csv"), Format::Csv); 9],
            notices: vec!["two labels look alike".into()],
        };
        let train = vec![item(2, 0), item(8, 5), item(4, 0), item(6, 0)];
        let train = EncodedSet::new(train, false);
        let other = EncodedSet::new(vec![item(3, 0)], false);
        DataReport::new(&data, [&train, &other, &other])
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
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["splits"][0]["label_counts"][1][1], 3);
        assert_eq!(json["leaked"], 2);
        assert_eq!(json["files"][0]["format"], "csv");
    }
}
