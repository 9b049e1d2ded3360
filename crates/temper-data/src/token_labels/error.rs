//! What can be wrong with words and their tags.

use std::path::PathBuf;

use crate::messages::quoted;

/// What is wrong with the tags of a dataset. Rows are counted from 1; row n of a CoNLL file begins in line n.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// A column that has to hold lists holds something else.
    #[error(
        "{}, row {row}: column `{column}` holds {found} where a list is needed, with an entry for each word; \
         choose another column, or write lists into a .jsonl or .parquet file, or a .conll file",
        file.display()
    )]
    NotList {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
    },

    /// An entry of a list that is no word or no tag.
    #[error(
        "{}, row {row}: entry {entry} of column `{column}` is {found}; words are text, tags are names or whole \
         numbers: correct the row",
        file.display()
    )]
    BadEntry {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// The column.
        column: String,
        /// Place in the list, from 1.
        entry: usize,
        /// What is there.
        found: &'static str,
    },

    /// More or fewer tags than words.
    #[error(
        "{}, row {row}: {tokens} words, but {tags} tags; each word has one tag: correct the row",
        file.display()
    )]
    Lengths {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// Words of the row.
        tokens: usize,
        /// Tags of the row.
        tags: usize,
    },

    /// A tag that is not one of the known ones.
    #[error(
        "{}, row {row}: the tag `{tag}` of word {word} (`{text}`) is not one of the {} of the dataset ({}), which \
         {origin}; correct the row, or list all tags as `labels` in a dataset card",
        file.display(), names.len(), quoted(names)
    )]
    Unknown {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// Place of the word in its sentence, from 1.
        word: usize,
        /// The word.
        text: String,
        /// Its tag.
        tag: String,
        /// The tags, in the order of their ids.
        names: Vec<String>,
        /// Where the tags come from, in words.
        origin: &'static str,
    },

    /// A span of a text that cannot be an entity.
    #[error(
        "{}, row {row}: {reason}; a span has a label, a start and an end in characters (Unicode code points, as in \
         Python; the end is not part of it), is inside the text and overlaps no other span: correct the row",
        file.display()
    )]
    Span {
        /// The file.
        file: PathBuf,
        /// Row, from 1.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },

    /// A sequence of tags that the dataset's scheme does not allow.
    #[error(
        "{}, row {row}: {scheme} does not allow these tags ({fault}; {count} such rows in this file); correct the \
         rows, or leave out --strict-tags",
        file.display()
    )]
    Sequence {
        /// The file.
        file: PathBuf,
        /// The first such row, from 1.
        row: usize,
        /// The first place in it, in words.
        fault: String,
        /// The scheme's name.
        scheme: &'static str,
        /// How many rows of the file have one.
        count: usize,
    },

    /// Training on one tag teaches nothing.
    #[error(
        "dataset `{dataset}`: every word of the {rows} training rows has the tag `{tag}`; at least two tags are \
         needed: {remedy}"
    )]
    OneTag {
        /// The dataset.
        dataset: String,
        /// Training rows.
        rows: usize,
        /// The only tag.
        tag: String,
        /// What to do.
        remedy: &'static str,
    },
}
