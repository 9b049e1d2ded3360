//! Where the splits of a dataset come from: its own files, files that are named, or a share of train.

use std::fmt;

use serde::Serialize;

use crate::{DataError, HeldOut, SplitTables};

/// What is asked of validation and test. Where nothing is asked, they are the dataset's own, or held out of train as
/// its card says; of files that no card describes, a tenth each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SplitChoice {
    /// A file, or a pattern of files, in place of the dataset's own validation split.
    pub validation_file: Option<String>,
    /// The same for its test split.
    pub test_file: Option<String>,
    /// Share of train that becomes the validation split, of a dataset that has none.
    pub validation_share: Option<f64>,
    /// Share of train that becomes the test split, of a dataset that has none.
    pub test_share: Option<f64>,
    /// Whether the held-out splits get the same share of each label.
    pub stratify: bool,
}

impl SplitChoice {
    /// What is to be held out of train for the splits without files, where `usual` is what happens unasked.
    ///
    /// # Errors
    /// [`DataError::Splits`] for a share of a split that has files, for shares that leave nothing to train on, and for
    /// stratified splits where none is held out.
    pub(crate) fn held_out(
        &self,
        dataset: &str,
        tables: &SplitTables,
        usual: HeldOut,
    ) -> Result<HeldOut, DataError> {
        let failed = |reason: String| DataError::Splits { dataset: dataset.to_string(), reason };
        let share = |split: &str, has_files: bool, asked: Option<f64>, usual: f64| match (has_files, asked) {
            (true, Some(_)) => Err(failed(format!(
                "it has a {split} split of its own, so that none is held out of train; leave --{split}-split-percentage out"
            ))),
            (true, None) => Ok(0.0),
            (false, asked) => Ok(asked.unwrap_or(usual)),
        };
        let held_out = HeldOut {
            test: share("test", !tables.test.is_empty(), self.test_share, usual.test)?,
            validation: share(
                "validation",
                !tables.validation.is_empty(),
                self.validation_share,
                usual.validation,
            )?,
        };
        let HeldOut { test, validation } = held_out;
        if test + validation >= 1.0 {
            let percent = percent(test + validation);
            return Err(failed(format!(
                "{percent} % of train held out for validation and test leave nothing to train on"
            )));
        }
        if self.stratify && test + validation == 0.0 {
            return Err(failed(
                "it has validation and test splits of its own, so that none is held out of train; leave --stratify out".into(),
            ));
        }
        Ok(held_out)
    }
}

/// Where the examples of a split come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum SplitOrigin {
    /// The dataset's own files of the split.
    Own,
    /// Files that were named for the split.
    Named {
        /// The file or the pattern.
        files: String,
    },
    /// Held out of train.
    HeldOut {
        /// The share of train, between 0 and 1.
        share: f64,
        /// What of an example is hashed.
        hash_of: &'static str,
        /// Whether each label has that share.
        stratified: bool,
    },
    /// The end of a running text.
    End {
        /// The share of the text, between 0 and 1.
        share: f64,
    },
}

/// Where a split comes from, and how large it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitSource {
    /// Where its examples come from.
    #[serde(flatten)]
    pub origin: SplitOrigin,
    /// Its examples before a limit on their number.
    pub examples_before_limit: usize,
}

impl SplitOrigin {
    /// The origin of a split with these files, or with this share of train.
    pub(crate) fn of(named: Option<&String>, held_out: Option<Self>) -> Self {
        match (named, held_out) {
            (Some(files), _) => Self::Named { files: files.clone() },
            (None, Some(held_out)) => held_out,
            (None, None) => Self::Own,
        }
    }

    /// In words, for a split of that name.
    pub(crate) fn in_words<'a>(&'a self, split: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| match self {
            Self::Own => write!(f, "the dataset's own {split} split"),
            Self::Named { files } => write!(f, "{files}"),
            Self::HeldOut { share, hash_of, stratified } => {
                let of_each = if *stratified { " of each label" } else { "" };
                write!(f, "{} % of train{of_each} by a hash of the {hash_of}", percent(*share))
            }
            Self::End { share } => write!(f, "the last {} % of the text", percent(*share)),
        })
    }
}

/// A share in percent, without the rounding of its last digits.
fn percent(share: f64) -> f64 {
    (share * 1e8).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(validation: bool, test: bool) -> SplitTables {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "text\na\n").unwrap();
        let table = || crate::Format::Csv.read(&path, &["text"]).unwrap();
        let some = |there: bool| if there { vec![table()] } else { Vec::new() };
        SplitTables { train: vec![table()], validation: some(validation), test: some(test) }
    }

    const USUAL: HeldOut = HeldOut { test: 0.1, validation: 0.1 };

    #[test]
    fn shares_are_for_splits_without_files() {
        let choice = SplitChoice { validation_share: Some(0.25), ..SplitChoice::default() };
        let held_out = |validation, test| choice.held_out("d", &tables(validation, test), USUAL);
        assert_eq!(held_out(false, false).unwrap(), HeldOut { test: 0.1, validation: 0.25 });
        assert_eq!(held_out(false, true).unwrap(), HeldOut { test: 0.0, validation: 0.25 });
        let message = held_out(true, true).unwrap_err().to_string();
        assert!(message.contains("--validation-split-percentage"), "{message}");
        let choice = SplitChoice { test_share: Some(0.9), ..SplitChoice::default() };
        let message = choice.held_out("d", &tables(false, false), USUAL).unwrap_err().to_string();
        assert!(message.contains("100 % of train"), "{message}");
        let choice = SplitChoice { stratify: true, ..SplitChoice::default() };
        assert!(choice.held_out("d", &tables(false, true), USUAL).is_ok());
        let message = choice.held_out("d", &tables(true, true), USUAL).unwrap_err().to_string();
        assert!(message.contains("--stratify"), "{message}");
    }

    #[test]
    fn origins_are_said_in_words() {
        let held_out = SplitOrigin::HeldOut { share: 0.1, hash_of: "text", stratified: true };
        assert_eq!(
            held_out.in_words("validation").to_string(),
            "10 % of train of each label by a hash of the text"
        );
        assert_eq!(SplitOrigin::Own.in_words("test").to_string(), "the dataset's own test split");
        assert_eq!(SplitOrigin::End { share: 0.07 }.in_words("test").to_string(), "the last 7 % of the text");
        let source = SplitSource { origin: held_out, examples_before_limit: 9 };
        let expected = serde_json::json!({"from": "held_out", "share": 0.1, "hash_of": "text", "stratified": true,
            "examples_before_limit": 9});
        assert_eq!(serde_json::to_value(source).unwrap(), expected);
    }
}
