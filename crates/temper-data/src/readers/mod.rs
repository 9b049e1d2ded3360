//! Files to tables, one reader a format.

pub mod delimited;
pub mod folder;
pub mod jsonl;
pub mod lines;
pub mod parquet;
pub mod snippets;

use std::path::Path;

use serde::Deserialize;

use crate::{DataError, Table};

/// How a dataset's files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Apache Parquet, as the Hugging Face Hub stores datasets.
    Parquet,
    /// Comma-separated values with a header line.
    Csv,
    /// TAB-separated values with a header line.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// A folder a class, a .txt file an example, as in aclImdb.
    Folder,
    /// Rated snippets: id, mean rating, text, separated by TABs, no header.
    Snippets,
    /// Plain text, a row a line.
    Text,
}

impl Format {
    /// The format that a file's name promises.
    ///
    /// # Errors
    /// [`DataError::UnknownFormat`].
    pub fn of_path(path: &Path) -> Result<Self, DataError> {
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "txt" => Ok(Self::Text),
            _ => Err(DataError::UnknownFormat { path: path.to_path_buf() }),
        }
    }

    /// Reads a file (a folder for [`Format::Folder`]) of this format.
    ///
    /// # Errors
    /// As the reader of the format; [`DataError::EmptyFile`] if there is no row.
    pub fn read(self, path: &Path) -> Result<Table, DataError> {
        let table = match self {
            Self::Parquet => parquet::read(path),
            Self::Csv => delimited::read(path, b','),
            Self::Tsv => delimited::read(path, b'\t'),
            Self::Jsonl => jsonl::read(path),
            Self::Folder => folder::read(path),
            Self::Snippets => snippets::read(path),
            Self::Text => lines::read(path),
        }?;
        if table.rows.is_empty() {
            return Err(DataError::EmptyFile { file: table.file });
        }
        Ok(table)
    }
}

/// A file's lines as text, without their ends (LF or CRLF) and without a byte-order mark.
fn text_lines(path: &Path) -> Result<Vec<String>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::io(path, source))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // A final line end closes the last line; it does not open an empty one.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut texts = Vec::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line)
            .map_err(|_| DataError::NotUtf8 { file: path.to_path_buf(), row: index + 1 })?;
        texts.push(text.to_string());
    }
    Ok(texts)
}
