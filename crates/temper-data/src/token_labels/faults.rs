//! Sentences whose tags their scheme does not allow: counted, and the first of them named.

use std::path::{Path, PathBuf};

use super::TagScheme;
use crate::rows::Doubt;

/// Rows that a notice names.
const TOLD: usize = 5;

/// Rows with such tags.
#[derive(Debug, Default)]
pub(super) struct Faults {
    count: usize,
    first: Vec<(PathBuf, usize, String)>,
}

impl Faults {
    /// Adds rows of a file, each with the first place that is not allowed, in words.
    pub fn add(&mut self, file: &Path, found: &[Doubt]) {
        self.count += found.len();
        let room = TOLD - self.first.len();
        let told = found.iter().take(room);
        self.first.extend(told.map(|doubt| (file.to_path_buf(), doubt.row, doubt.reason.clone())));
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What the user should know of them.
    pub fn notice(&self, scheme: TagScheme) -> Option<String> {
        let told =
            self.first.iter().map(|(file, row, fault)| format!("{}, row {row} ({fault})", file.display()));
        let mut told: Vec<String> = told.collect();
        if told.is_empty() {
            return None;
        }
        if self.count > told.len() {
            told.push("...".into());
        }
        let (scheme, count) = (scheme.name(), self.count);
        Some(format!(
            "{scheme} does not allow the tags of {count} rows; they are kept as they are: {}",
            told.join("; ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::DoubtKind;

    #[test]
    fn the_first_rows_are_named_and_all_are_counted() {
        let mut faults = Faults::default();
        assert_eq!(faults.notice(TagScheme::Bio), None);
        let fault = |row: usize| Doubt {
            row,
            kind: DoubtKind::InvalidTags,
            reason: "word 1: `I-X` at the start".to_string(),
        };
        faults.add(Path::new("a.conll"), &(1..4).map(fault).collect::<Vec<_>>());
        let notice = faults.notice(TagScheme::Bio).unwrap();
        assert!(notice.starts_with("BIO (IOB2) does not allow the tags of 3 rows"), "{notice}");
        assert!(notice.ends_with("a.conll, row 3 (word 1: `I-X` at the start)"), "{notice}");
        faults.add(Path::new("b.conll"), &(1..9).map(fault).collect::<Vec<_>>());
        let notice = faults.notice(TagScheme::Bio).unwrap();
        assert!(notice.contains("of 11 rows") && notice.contains("b.conll, row 2 ("), "{notice}");
        assert!(notice.ends_with("; ..."), "{notice}");
    }
}
