//! Files to tables, one reader a format. Each gives one row after another.

mod arrow;
mod compressed;
mod conll;
mod delimited;
mod features;
pub(crate) mod folder;
mod jsonl;
mod lines;
mod parquet;
mod records;
mod report;
mod snippets;
mod source;
mod squad;

pub(crate) use compressed::is_compressed;
pub use conll::split_tag;
pub use report::{FileReport, LeftOut, SwallowedLines};
pub use source::Encoding;

use std::path::Path;

use serde::{Deserialize, Serialize};
use temper_hub::near_names;

use crate::{Column, DataError, Table, Value};

/// Columns that a message may name, and characters of each.
const NAMES: usize = 100;

/// What to do about a file of an unknown kind.
const USE_ANOTHER: &str = "use a .csv, .tsv, .json, .jsonl, .parquet, .arrow, .conll or .txt file";

/// What to do about a missing column if the task has no better advice.
const NAME_ANOTHER: &str = "name another with --text-column, --text-pair-column or --label-column";

/// How a dataset's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Apache Parquet, as the Hugging Face Hub stores datasets.
    Parquet,
    /// Apache Arrow's stream or file format, as `save_to_disk` of Hugging Face's `datasets` writes it.
    Arrow,
    /// Comma-separated values with a header line.
    Csv,
    /// TAB-separated values with a header line.
    Tsv,
    /// One JSON object on each line, or a file that is one array of objects.
    Jsonl,
    /// A folder a class, a .txt file an example, as in aclImdb.
    Folder,
    /// Rated snippets: id, mean rating, text, separated by TABs, no header.
    Snippets,
    /// Plain text, one row for each line.
    Text,
    /// One word with its tags on each line, blank lines between sentences.
    Conll,
    /// Articles of paragraphs with questions, as in SQuAD's own files.
    SquadJson,
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number, from 1 and without a header: the line in text and JSON lines, the line of the first word in a
    /// CoNLL file, else the count.
    pub number: usize,
    /// Its cells, in the order of the columns asked for.
    pub cells: Vec<Value>,
}

/// A file that is read row by row.
pub trait RowReader: Send {
    /// The columns asked for.
    fn columns(&self) -> &[Column];

    /// The next row; `None` at the end. Nothing is to be read after an error.
    ///
    /// # Errors
    /// [`DataError`] with the row or line.
    fn next_row(&mut self) -> Result<Option<Row>, DataError>;

    /// Refuses a file whose first row lacks the requested columns, for formats in which only rows have names.
    ///
    /// # Errors
    /// [`DataError::MissingColumn`].
    fn check_columns(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// What was decided, and counted so far.
    fn report(&self) -> FileReport;
}

impl Format {
    /// The format that a file's name promises.
    ///
    /// # Errors
    /// [`DataError::UnknownFormat`].
    pub fn of_path(path: &Path) -> Result<Self, DataError> {
        match ending(path).as_str() {
            "parquet" if !is_compressed(path) => Ok(Self::Parquet),
            "arrow" if !is_compressed(path) => Ok(Self::Arrow),
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Ok(Self::Jsonl),
            "txt" => Ok(Self::Text),
            "conll" | "iob" | "bio" => Ok(Self::Conll),
            _ => Err(DataError::UnknownFormat { path: path.to_path_buf(), remedy: remedy(path) }),
        }
    }

    /// The format that a file's name promises; that of a `.json` file is known by its start.
    ///
    /// # Errors
    /// [`DataError::UnknownFormat`].
    pub fn of_file(path: &Path) -> Result<Self, DataError> {
        match Self::of_path(path) {
            Ok(Self::Jsonl) if ending(path) == "json" && squad::is_squad(path) => Ok(Self::SquadJson),
            result => result,
        }
    }

    /// The format's name as cards write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Folder => "folder",
            Self::Snippets => "snippets",
            Self::Text => "text",
            Self::Conll => "conll",
            Self::SquadJson => "squad-json",
        }
    }

    /// Opens a file (a folder for [`Format::Folder`]) of this format to read some of its columns.
    ///
    /// # Errors
    /// As the reader of the format.
    pub fn open(self, path: &Path, wanted: &[&str]) -> Result<Box<dyn RowReader>, DataError> {
        Ok(match self {
            Self::Parquet => Box::new(parquet::ParquetRows::open(path, wanted)?),
            Self::Arrow => Box::new(arrow::ArrowRows::open(path, wanted)?),
            Self::Csv | Self::Tsv => Box::new(delimited::DelimitedRows::open(path, self, wanted)?),
            Self::Jsonl => Box::new(jsonl::JsonRows::open(path, wanted)?),
            Self::Folder => Box::new(folder::FolderRows::open(path, wanted)?),
            Self::Snippets => Box::new(snippets::SnippetRows::open(path, wanted)?),
            Self::Text => Box::new(lines::TextRows::open(path, wanted)?),
            Self::Conll => Box::new(conll::ConllRows::open(path, wanted)?),
            Self::SquadJson => Box::new(squad::SquadRows::open(path, wanted)?),
        })
    }

    /// Reads some columns of a file of this format.
    ///
    /// # Errors
    /// As the reader of the format; [`DataError::EmptyFile`] if there is no row.
    pub fn read(self, path: &Path, wanted: &[&str]) -> Result<Table, DataError> {
        let mut reader = self.open(path, wanted)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(DataError::EmptyFile { file: path.to_path_buf() });
        }
        Ok(Table {
            file: path.to_path_buf(),
            columns: reader.columns().to_vec(),
            rows,
            report: reader.report(),
        })
    }
}

/// The columns to read of a file.
#[derive(Debug, Clone)]
pub(crate) struct WantedColumns<'a> {
    /// Those that it must have.
    pub needed: Vec<&'a str>,
    /// Those that are read if it has them.
    pub if_there: Vec<&'a str>,
}

impl Format {
    /// Reads the wanted columns of a file of this format; a table has no column for what is not there.
    pub(crate) fn read_wanted(self, path: &Path, wanted: &WantedColumns<'_>) -> Result<Table, DataError> {
        let mut if_there = wanted.if_there.clone();
        loop {
            let columns: Vec<&str> = wanted.needed.iter().chain(&if_there).copied().collect();
            match self.read(path, &columns) {
                Err(DataError::MissingColumn { column, .. }) if if_there.contains(&column.as_str()) => {
                    if_there.retain(|name| *name != column);
                }
                result => return result,
            }
        }
    }
}

/// The end of a file's name in lower case; of a compressed file, that of what it holds.
fn ending(path: &Path) -> String {
    let of = |path: &Path| path.extension().and_then(|end| end.to_str()).unwrap_or("").to_ascii_lowercase();
    match path.file_stem() {
        Some(stem) if is_compressed(path) => of(Path::new(stem)),
        _ => of(path),
    }
}

/// What makes a readable file of one with such a name.
fn remedy(path: &Path) -> &'static str {
    match ending(path).as_str() {
        _ if is_compressed(path) => "text files are read when they are compressed; unpack other ones first",
        "bz2" | "xz" | "lz4" | "zip" | "tar" | "tgz" | "7z" => {
            "it is compressed or an archive; unpack it first"
        }
        "xlsx" | "xls" | "ods" => "save the sheet as CSV in UTF-8",
        "feather" | "pkl" | "pickle" | "db" | "sqlite" => {
            "write it as Parquet or CSV, for example with pandas"
        }
        _ => USE_ANOTHER,
    }
}

/// The whole text of a file, decoded.
pub(crate) fn read_text_file(path: &Path) -> Result<String, DataError> {
    source::TextSource::open(path)?.read_all()
}

/// Whether a file with a name of this kind holds data that another program could read.
pub(crate) fn is_other_data(path: &Path) -> bool {
    Format::of_path(path).is_err() && remedy(path) != USE_ANOTHER
}

/// The indices of the wanted columns.
fn choose(file: &Path, names: &[String], wanted: &[&str]) -> Result<Vec<usize>, DataError> {
    let mut seen = std::collections::HashSet::new();
    if let Some(name) = names.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
        let reason = format!("two columns are called `{name}`; rename or remove one");
        return Err(DataError::broken(file, None, reason));
    }
    let index = |column: &&str| {
        let found = names.iter().position(|name| name == column);
        found.ok_or_else(|| missing_column(file, column, names))
    };
    wanted.iter().map(index).collect()
}

fn missing_column(file: &Path, column: &str, names: &[String]) -> DataError {
    // The first line of a file that is no table may be a name of any length.
    let available = names.iter().take(NAMES).map(|name| name.chars().take(NAMES).collect());
    let available: Vec<String> = available.collect();
    DataError::MissingColumn {
        file: file.to_path_buf(),
        column: column.to_string(),
        near: near_names(column, available.iter().map(String::as_str)),
        available,
        remedy: NAME_ANOTHER,
    }
}
