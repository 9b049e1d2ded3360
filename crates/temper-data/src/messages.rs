//! Parts of error messages, and the errors that every reader makes.

use std::path::Path;

use crate::DataError;

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

/// Cuts a reason that is too long for a message: decoders quote the offending bytes in full.
pub(crate) fn shortened(reason: String) -> String {
    const LONGEST: usize = 300;
    match reason.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason,
    }
}

/// The first names; a table of a thousand columns is no message.
pub(crate) fn quoted(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut listed: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.len() > MOST {
        listed.push(format!("and {} more", names.len() - MOST));
    }
    listed.join(", ")
}

/// True if the folder of a missing file is missing, too.
pub(crate) fn missing_folder(path: &Path) -> &'static str {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.exists()) { ", nor its folder" } else { "" }
}

/// Names that may have been meant.
pub(crate) fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(" (did you mean {}?)", quoted(near))
}

/// The row of an error, if it is known.
pub(crate) fn at_row(row: Option<usize>) -> String {
    row.map(|row| format!(", row {row}")).unwrap_or_default()
}
