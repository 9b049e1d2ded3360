//! What can be wrong with data: which file, which row, and what to do about it.

use std::path::PathBuf;

use temper_files::FileError;
use temper_hub::HubError;

use crate::messages::{at_row, did_you_mean, missing_folder, quoted};
use crate::{AnswerError, LabelError, TagError, WindowError};

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

    /// A file is taken, owned by another process or damaged.
    #[error(transparent)]
    File(FileError),

    /// The file's name does not say what it is.
    #[error(
        "{}: a file with this ending cannot be read (.csv, .tsv, .json, .jsonl, .parquet, .arrow, .conll and .txt can); {remedy}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What to do with a file of this kind.
        remedy: &'static str,
    },

    /// A path that looks like a data file, but is none.
    #[error("{}: no such file{}; check the path", path.display(), missing_folder(path))]
    NoFile {
        /// The path.
        path: PathBuf,
    },

    /// A pointer of Git LFS in place of a file.
    #[error(
        "{}: this is a git-lfs pointer, not the file; fetch the file with `git lfs pull`",
        file.display()
    )]
    LfsPointer {
        /// The file.
        file: PathBuf,
    },

    /// A file of a split that cannot be read with the others: why, and what to do.
    #[error("{}: {reason}", path.display())]
    SplitFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },

    /// A folder holds neither split files nor an aclImdb tree.
    #[error(
        "{}: no training data here; expected files named train.csv (or .tsv, .json, .jsonl, .parquet, .conll) \
         or a folder train/ with one folder of .txt files a class; it has {}",
        path.display(), if found.is_empty() { "nothing".into() } else { quoted(found) }
    )]
    NoTrainingFiles {
        /// The folder.
        path: PathBuf,
        /// What the folder has.
        found: Vec<String>,
    },

    /// The file has no column of this name.
    #[error(
        "{}: no column `{column}`{}; its columns are {}; {remedy}",
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
        /// What to do.
        remedy: &'static str,
    },

    /// A row has more or fewer fields than the header.
    #[error(
        "{}, row {row} (line {line}): {found} field{} where the header has {expected}; \
         quote fields that contain the separator or a line break",
        file.display(), if *found == 1 { "" } else { "s" }
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

    /// A quoted field without an end.
    #[error(
        "{}, line {line}: the quote (\") that opens a field here is never closed; remove it, close it, \
         or, if it is part of the text, quote the field and double it",
        file.display()
    )]
    UnclosedQuote {
        /// The file.
        file: PathBuf,
        /// The line of the quote.
        line: u64,
    },

    /// A quote that makes one field of several rows.
    #[error(
        "{}: the quote (\") that opens a field in line {first_line} is closed in line {last_line}, and the \
         lines between look like rows; remove the quote in line {first_line}, or, if it is part of the \
         text, quote the field and double it",
        file.display()
    )]
    StrayQuote {
        /// The file.
        file: PathBuf,
        /// The line of the opening quote.
        first_line: u64,
        /// The line of the closing quote.
        last_line: u64,
    },

    /// Bytes that are not of the file's encoding.
    #[error(
        "{}, line {line}: byte {byte} of the file (0x{value:02x}) is not {encoding} text; convert the file \
         to UTF-8 first, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
        file.display()
    )]
    NotDecoded {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Place of the byte in the file, from 1.
        byte: u64,
        /// The byte.
        value: u8,
        /// The encoding that the file's start promises.
        encoding: &'static str,
    },

    /// A NUL character, which text does not have.
    #[error(
        "{}, line {line}: a NUL character, so this is not a text file, or it is UTF-16 without a \
         byte-order mark; if so, convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW",
        file.display()
    )]
    NulByte {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
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

    /// A line of a CoNLL file that is no word with its tags.
    #[error(
        "{}, line {line}: {reason}; each line has a word and its tags in the same columns, and blank lines \
         separate sentences: correct the line",
        file.display()
    )]
    ConllLine {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
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

    /// A file without a single row.
    #[error("{}: no rows; check that the file is complete", file.display())]
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

    /// Every training row is also a test row.
    #[error(
        "dataset `{dataset}`: nothing left in its train split, because the texts of all {rows} rows are also in \
         its test split; give the splits different rows, or leave out the test file: a tenth is then held out"
    )]
    NothingButTest {
        /// The dataset.
        dataset: String,
        /// Rows dropped.
        rows: usize,
    },

    /// Labels of texts.
    #[error(transparent)]
    Labels(#[from] Box<LabelError>),

    /// Words and their tags.
    #[error(transparent)]
    Tags(#[from] Box<TagError>),

    /// Questions and their answers.
    #[error(transparent)]
    Answers(#[from] Box<AnswerError>),

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

    /// Splits cannot be made as asked.
    #[error("{dataset}: {reason}")]
    Splits {
        /// The dataset.
        dataset: String,
        /// Why, and what to do.
        reason: String,
    },

    /// A pattern that no file fits, or that cannot be read as one.
    #[error("{pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
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
        "{}: no tokenizer; expected tokenizer.json, or vocab.txt, or vocab.json with merges.txt, or SentencePiece's file \
         of a tokenizer_class that tokenizer_config.json names",
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

    /// Windows that cannot hold a text.
    #[error(transparent)]
    Window(#[from] WindowError),
}

impl From<FileError> for DataError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { path, source } => Self::Io { path, source },
            other => Self::File(other),
        }
    }
}

impl From<HubError> for DataError {
    fn from(error: HubError) -> Self {
        Self::Hub(Box::new(error))
    }
}

impl From<LabelError> for DataError {
    fn from(error: LabelError) -> Self {
        Self::Labels(Box::new(error))
    }
}

impl From<TagError> for DataError {
    fn from(error: TagError) -> Self {
        Self::Tags(Box::new(error))
    }
}

impl From<AnswerError> for DataError {
    fn from(error: AnswerError) -> Self {
        Self::Answers(Box::new(error))
    }
}
