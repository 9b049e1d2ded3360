//! What can be wrong with data: which file, which row, and what to do about it.

use std::path::{Path, PathBuf};

use temper_hub::HubError;

/// Everything that can go wrong between a dataset's name and its batches.
///
/// Rows are counted from 1, without a header line.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be found, downloaded or verified.
    #[error(transparent)]
    Hub(#[from] Box<HubError>),

    /// The operating system refused a file or folder.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The file's name does not say what it is.
    #[error(
        "{}: cannot tell the format from the name; use a .csv, .tsv, .jsonl, .parquet or .txt file",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },

    /// A folder holds neither split files nor an aclImdb tree.
    #[error(
        "{}: no training data here; expected files named train.csv (or .tsv, .jsonl, .parquet) \
         or a folder train/ with one folder of .txt files a class",
        path.display()
    )]
    NoTrainingFiles {
        /// The folder.
        path: PathBuf,
    },

    /// The file has no column of this name.
    #[error(
        "{}: no column `{column}`{}; its columns are {}; name another with --text-column, \
         --text-pair-column or --label-column",
        file.display(), did_you_mean(near), quoted(available)
    )]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column asked for.
        column: String,
        /// The columns it has.
        available: Vec<String>,
        /// Those that look like the one asked for.
        near: Vec<String>,
    },

    /// A row has more or fewer fields than the header.
    #[error(
        "{}, row {row} (line {line}): {found} fields where the header has {expected}; \
         quote fields that contain the separator or a line break",
        file.display()
    )]
    RaggedRow {
        /// The file.
        file: PathBuf,
        /// Row, from 1, without the header.
        row: usize,
        /// Line of the file, from 1.
        line: u64,
        /// Fields of the header.
        expected: u64,
        /// Fields of this row.
        found: u64,
    },

    /// Bytes that are not UTF-8.
    #[error("{}, row {row}: not UTF-8 text; convert the file to UTF-8 first", file.display())]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
    },

    /// The file's structure is damaged or not what its name promises.
    #[error("{}{}: {reason}; fetch or export the file again", file.display(), at_row(*row))]
    Broken {
        /// The file.
        file: PathBuf,
        /// Row, from 1, where one is known.
        row: Option<usize>,
        /// What the reader found.
        reason: String,
    },

    /// A text column holds something else.
    #[error(
        "{}, row {row}: column `{column}` holds {found} where text is needed; \
         choose another column or fill the row",
        file.display()
    )]
    NotText {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
    },

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

    /// A label that is neither a whole number nor a string.
    #[error(
        "{}, row {row}: {found} in label column `{column}`; labels are whole numbers or names",
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

    /// A file without a single row.
    #[error("{}: no rows", file.display())]
    EmptyFile {
        /// The file.
        file: PathBuf,
    },

    /// A split without a single row.
    #[error("dataset `{dataset}`: nothing left in its {split} split; {remedy}")]
    EmptySplit {
        /// The dataset.
        dataset: String,
        /// train, validation or test.
        split: &'static str,
        /// What to do.
        remedy: &'static str,
    },

    /// Training on one class teaches nothing.
    #[error(
        "dataset `{dataset}`: every training row has the label `{label}`; \
         a classifier needs at least two classes: check the label column and --max-train-samples"
    )]
    OneClass {
        /// The dataset.
        dataset: String,
        /// The only label.
        label: String,
    },

    /// A dataset card that does not say what it must.
    #[error("dataset card {origin}: {reason}")]
    Card {
        /// The card's file, or its name when it is built in.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },

    /// No card and no file of this name.
    #[error(
        "no dataset `{name}`{}; known: {}; to add one, write datasets/{name}.toml, \
         or give the path of a csv, tsv, jsonl or parquet file",
        did_you_mean(near),
        quoted(known)
    )]
    UnknownDataset {
        /// The name asked for.
        name: String,
        /// Known names that look like it.
        near: Vec<String>,
        /// All known names.
        known: Vec<String>,
    },

    /// The dataset is meant for another task.
    #[error("dataset `{name}` is for {task}, not for {wanted}; choose a dataset card of that task")]
    WrongTask {
        /// The dataset.
        name: String,
        /// Its task.
        task: &'static str,
        /// The task it was asked for.
        wanted: &'static str,
    },

    /// A folder without a tokenizer that can be built.
    #[error(
        "{}: no tokenizer; expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt",
        dir.display()
    )]
    NoTokenizer {
        /// The folder.
        dir: PathBuf,
    },

    /// A tokenizer file that cannot be used.
    #[error("tokenizer {}: this file is damaged: {reason}; fetch the file again", file.display())]
    BadTokenizer {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A setting of a tokenizer's files that would change ids and is not honoured.
    #[error("{}: `{key}` is {value}: {reason}", file.display())]
    TokenizerSetting {
        /// The file.
        file: PathBuf,
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// Why it is refused, and what to do.
        reason: String,
    },

    /// A text that the tokenizer rejects.
    #[error("example {example} cannot be tokenized: {reason}")]
    Encode {
        /// Position among the texts, from 0.
        example: usize,
        /// What the tokenizer said.
        reason: String,
    },

    /// No room for text between the special tokens.
    #[error(
        "--max-seq-length {max_length} leaves no room for text: the tokenizer adds {special} \
         special tokens; raise it above {special}"
    )]
    MaxLengthTooSmall {
        /// The length asked for, in tokens.
        max_length: usize,
        /// Special tokens added to each example.
        special: usize,
    },
}

impl From<HubError> for DataError {
    fn from(error: HubError) -> Self {
        Self::Hub(Box::new(error))
    }
}

impl DataError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn damaged(file: &Path, reason: impl ToString) -> Self {
        Self::BadTokenizer { file: file.to_path_buf(), reason: shortened(reason.to_string()) }
    }

    pub(crate) fn broken(file: &Path, row: Option<usize>, reason: impl ToString) -> Self {
        Self::Broken { file: file.to_path_buf(), row, reason: shortened(reason.to_string()) }
    }
}

/// Decoders quote the offending bytes in full; a message of a megabyte helps nobody.
pub(crate) fn shortened(reason: String) -> String {
    const LONGEST: usize = 300;
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason,
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(" (did you mean {}?)", quoted(near))
}

fn at_row(row: Option<usize>) -> String {
    row.map(|row| format!(", row {row}")).unwrap_or_default()
}
