//! What a reader found in a file and decided, for the user and the run's records.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::source::Encoding;
use crate::Format;

/// Names of files left out that are kept.
const NAMES: usize = 10;

/// A quoted field with more line breaks than this is reported if its lines look like rows.
const LINES: u64 = 3;

/// What a reader left out of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many files and folders.
    pub count: usize,
    /// The first of them; a folder's name ends in `/`.
    pub names: Vec<String>,
}

impl LeftOut {
    /// Counts a file or folder.
    pub(crate) fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < NAMES {
            self.names.push(name);
        }
    }
}

/// Lines of one quoted field that have the shape of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwallowedLines {
    /// The line of the opening quote.
    pub first_line: u64,
    /// The line of the closing quote.
    pub last_line: u64,
    /// Of each column that is read, the values that the rows would have.
    pub values: Vec<Vec<String>>,
}

/// A file as a reader took it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file or folder.
    pub file: PathBuf,
    /// Its format.
    pub format: Format,
    /// Rows read.
    pub rows: usize,
    /// Its encoding; a table in binary form has none.
    pub encoding: Option<Encoding>,
    /// What separates the fields of a row; a csv or tsv file has it.
    pub delimiter: Option<char>,
    /// Blank lines skipped.
    pub blank_lines: usize,
    /// Lines of a CoNLL file that are no words: comments and `-DOCSTART-`.
    #[serde(skip_serializing_if = "is_zero")]
    pub passed_over: usize,
    /// Fields with text after their closing quote; the quotes are dropped and the text kept.
    pub loose_quotes: usize,
    /// What was left out of a folder.
    pub left_out: LeftOut,
    /// Quoted fields whose lines have the shape of rows.
    #[serde(skip)]
    pub swallowed: Vec<SwallowedLines>,
}

impl FileReport {
    /// A file of which nothing was read.
    pub fn new(file: &Path, format: Format) -> Self {
        Self {
            file: file.to_path_buf(),
            format,
            rows: 0,
            encoding: None,
            delimiter: None,
            blank_lines: 0,
            passed_over: 0,
            loose_quotes: 0,
            left_out: LeftOut::default(),
            swallowed: Vec::new(),
        }
    }

    /// What should be said of quoted fields whose lines have the shape of rows: whether they are
    /// texts of several lines or swallowed rows cannot be known without labels.
    pub(crate) fn suspicion(&self) -> Option<String> {
        let is_long = |lines: &&SwallowedLines| lines.last_line - lines.first_line >= LINES;
        let first = self.swallowed.iter().find(is_long)?;
        let (file, count) = (self.file.display(), self.swallowed.iter().filter(is_long).count());
        let SwallowedLines { first_line, last_line, .. } = first;
        Some(format!(
            "{file}: lines {first_line} to {last_line} are one quoted field, but look like rows ({count} such fields); \
             if they are rows, a quote too many opens in line {first_line}"
        ))
    }
}

/// Records of other formats do not have the count.
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.format.name())?;
        match self.delimiter {
            Some('\t') => write!(f, " separated by TABs, quotes \"")?,
            Some(delimiter) => write!(f, " separated by `{delimiter}`, quotes \"")?,
            None => {}
        }
        if let Some(encoding) = self.encoding {
            write!(f, ", {}", encoding.name())?;
        }
        write!(f, ", {} rows", self.rows)?;
        if self.blank_lines > 0 {
            write!(f, "; blank lines left out: {}", self.blank_lines)?;
        }
        if self.passed_over > 0 {
            write!(f, "; comments and lines of -DOCSTART- skipped: {}", self.passed_over)?;
        }
        if self.loose_quotes > 0 {
            write!(
                f,
                "; fields with text after their closing quote, read without the quotes: {}",
                self.loose_quotes
            )?;
        }
        if self.left_out.count > 0 {
            write!(
                f,
                "; files and folders left out: {} ({}",
                self.left_out.count,
                self.left_out.names.join(", ")
            )?;
            write!(f, "{})", if self.left_out.count > NAMES { ", ..." } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_was_decided() {
        let mut report = FileReport {
            rows: 80,
            encoding: Some(Encoding::Utf16Le),
            delimiter: Some(';'),
            blank_lines: 2,
            ..FileReport::new(Path::new("reviews.csv"), Format::Csv)
        };
        assert_eq!(
            report.to_string(),
            "reviews.csv: csv separated by `;`, quotes \", UTF-16LE, 80 rows; blank lines left out: 2"
        );
        assert!(serde_json::to_value(&report).unwrap().get("passed_over").is_none());
        report.passed_over = 3;
        assert!(report.to_string().ends_with("-DOCSTART- skipped: 3"), "{report}");
        assert_eq!(serde_json::to_value(&report).unwrap()["passed_over"], 3);
        (0..12).for_each(|index| report.left_out.add(format!("{index}.md")));
        let text = report.to_string();
        assert!(
            text.ends_with("left out: 12 (0.md, 1.md, 2.md, 3.md, 4.md, 5.md, 6.md, 7.md, 8.md, 9.md, ...)"),
            "{text}"
        );
    }
}
