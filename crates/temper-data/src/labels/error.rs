//! What can be wrong with labels.

use std::path::PathBuf;

use crate::messages::quoted;

/// What is wrong with the labels of a dataset. Rows are counted from 1, without a header line.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Rows without a label, where labels are needed.
    #[error(
        "{}, row {row}: no label in column `{column}` ({count} such rows; an empty field, null and -1 \
         count as unlabelled); remove these rows, or set `unlabelled = \"drop\"` in a dataset card; \
         if -1 is a class, rename it",
        file.display()
    )]
    Unlabelled {
        /// The file.
        file: PathBuf,
        /// The first such row, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// How many rows of the file have no label.
        count: usize,
    },

    /// Labels of several kinds in one column.
    #[error(
        "{}, row {row}: column `{column}` has {found} here and {first} in row {first_row}; \
         write all labels in one way",
        file.display()
    )]
    MixedLabels {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// What this row has.
        found: &'static str,
        /// What the first row with a label has.
        first: &'static str,
        /// That row.
        first_row: usize,
    },

    /// A label that is neither a whole number nor a string.
    #[error(
        "{}, row {row}: {found} in label column `{column}`; labels are whole numbers or names (numbers to predict: \
         --problem-type regression)",
        file.display()
    )]
    BadLabel {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// What it holds.
        found: &'static str,
    },

    /// A label that should be a number and is none.
    #[error("{}, row {row}: {found} in label column `{column}`; a number is needed", file.display())]
    BadNumber {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The label column.
        column: String,
        /// What it holds.
        found: String,
    },

    /// A label that is not one of the known classes.
    #[error(
        "{}, row {row}: label `{label}` is not one of the {} classes ({}); \
         correct the row or the dataset card's `labels`",
        file.display(), names.len(), quoted(names)
    )]
    LabelOutOfRange {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The label found.
        label: String,
        /// The classes, in the order of their ids.
        names: Vec<String>,
    },

    /// A classifier among so many numbers is hardly meant.
    #[error(
        "dataset `{dataset}`: column `{column}` has {count} different numbers; \
         give --problem-type regression for a model that predicts the number, \
         or --problem-type single_label_classification if each of them is a class"
    )]
    NumbersAsLabels {
        /// The dataset.
        dataset: String,
        /// The column of the labels.
        column: String,
        /// How many different numbers it has.
        count: usize,
    },

    /// Training on one class teaches nothing.
    #[error(
        "dataset `{dataset}`: every training row has the label `{label}`; \
         a classifier needs at least two classes: check the label column"
    )]
    OneClass {
        /// The dataset.
        dataset: String,
        /// The only label.
        label: String,
    },

    /// A subset of one class, of training rows that have several.
    #[error(
        "dataset `{dataset}`: the {rows} training rows that --max-train-samples keeps all have the label \
         `{label}`; a classifier needs at least two classes: keep more rows, or others with another --seed"
    )]
    OneClassInSubset {
        /// The dataset.
        dataset: String,
        /// The only label.
        label: String,
        /// Rows kept.
        rows: usize,
    },
}
