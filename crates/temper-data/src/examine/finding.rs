//! What an examination finds.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The names of the splits.
pub(super) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// Groups of rows that are printed for a finding.
const PRINTED_GROUPS: usize = 5;
/// Rows of a group that are printed.
const PRINTED_ROWS: usize = 4;

/// Characters of the message about a row that are printed.
const PRINTED_DETAIL: usize = 160;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training refuses the dataset.
    Error,
    /// Scores may mislead, or the model learns something wrong.
    Warning,
    /// Worth knowing.
    Note,
}

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Rows that cannot be read.
    UnreadableRow,
    /// Nothing can be learned from what can be read.
    Untrainable,
    /// The labels of the dataset and those of a model differ.
    ModelLabels,
    /// One text with different labels.
    ConflictingLabels,
    /// Rows of train or validation whose text is in test, too.
    Leak,
    /// Rows of train whose text is in validation, too.
    SharedWithValidation,
    /// Rows of train or validation almost the same as one in test.
    NearLeak,
    /// Rows of one split with the same text.
    Duplicate,
    /// Texts without a visible character.
    EmptyText,
    /// Texts that were decoded wrongly once.
    DamagedText,
    /// Sequences of tags that the scheme does not allow.
    InvalidTags,
    /// Answers that are not at their offset.
    MovedAnswer,
    /// Labels of validation or test that train lacks.
    MissingLabel,
    /// Labels with few rows in train.
    RareLabel,
    /// A label much more common than another.
    Imbalance,
    /// Labels that no row has.
    UnusedLabel,
    /// Rows without a label, left out as the card says.
    Unlabelled,
    /// Rows of one split that are almost the same.
    NearDuplicate,
    /// Texts longer than the model reads.
    LongText,
    /// Texts with HTML in them.
    Markup,
}

impl FindingKind {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::UnreadableRow | Self::Untrainable => Severity::Error,
            Self::Imbalance
            | Self::UnusedLabel
            | Self::Unlabelled
            | Self::NearDuplicate
            | Self::LongText
            | Self::Markup => Severity::Note,
            _ => Severity::Warning,
        }
    }

    /// What it is and what to do, in words.
    fn message(self) -> &'static str {
        match self {
            Self::UnreadableRow => {
                "rows cannot be read; training refuses the dataset until they are corrected, or leaves them out with --force"
            }
            Self::Untrainable => "training refuses what can be read",
            Self::ModelLabels => "the model has other labels",
            Self::ConflictingLabels => {
                "texts have different labels in different rows; at most one of them is right: correct the others"
            }
            Self::Leak => {
                "rows of train or validation have a text that is in test, too; training leaves them out"
            }
            Self::SharedWithValidation => {
                "rows of train have a text that is in validation, too; the validation scores are too good: remove them from one of both"
            }
            Self::NearLeak => {
                "rows of train or validation are almost the same as one in test; the test scores may be too good: remove them"
            }
            Self::Duplicate => "rows repeat a text of their split; each copy counts again: remove the copies",
            Self::EmptyText => "texts are empty; fill or remove the rows",
            Self::DamagedText => "texts were decoded wrongly; export them again as UTF-8",
            Self::InvalidTags => {
                "rows have tags that their scheme does not allow; they are kept as they are: correct them, or refuse them with --strict-tags"
            }
            Self::MovedAnswer => {
                "answers are not at their offset; they are taken from the only place where their context has them"
            }
            Self::MissingLabel => {
                "labels occur in validation or test and never in train; a model cannot learn them"
            }
            Self::RareLabel => {
                "labels have fewer than 10 rows in train; more are needed to learn and to score them"
            }
            Self::Imbalance => {
                "the most common label is more than 10 times as common as the rarest; look at macro scores, or train with --class-weights balanced"
            }
            Self::UnusedLabel => "labels of the card or the schema occur in no row",
            Self::Unlabelled => "rows have no label; the dataset's card says to leave them out",
            Self::NearDuplicate => "rows are almost the same as another of their split",
            Self::LongText => "texts are longer than the model reads",
            Self::Markup => "texts hold HTML tags or entities; a model reads them as words",
        }
    }
}

/// A row of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// train, validation or test.
    pub split: &'static str,
    /// Its file.
    pub file: PathBuf,
    /// Its number, from 1.
    pub row: usize,
    /// The message about this row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Something that was found, with the rows that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How bad it is.
    pub severity: Severity,
    /// How many rows, texts or labels have it.
    pub count: usize,
    /// What it is and what to do, in words.
    pub message: String,
    /// The rows; those of one group belong together, such as copies of one text.
    pub rows: Vec<Vec<Spot>>,
}

impl Finding {
    /// Rows that have something, each by itself.
    pub(super) fn of_rows(kind: FindingKind, rows: Vec<Spot>) -> Option<Self> {
        let groups: Vec<Vec<Spot>> = rows.into_iter().map(|row| vec![row]).collect();
        Self::of_groups(kind, groups.len(), groups)
    }

    /// Rows that have something together.
    pub(super) fn of_groups(kind: FindingKind, count: usize, rows: Vec<Vec<Spot>>) -> Option<Self> {
        let finding =
            || Self { kind, severity: kind.severity(), count, message: kind.message().into(), rows };
        (count > 0).then(finding)
    }

    /// What concerns no single row.
    pub fn of_dataset(kind: FindingKind, count: usize, detail: &str) -> Self {
        let message = format!("{}: {detail}", kind.message());
        Self { kind, severity: kind.severity(), count, message, rows: Vec::new() }
    }

    /// Says more of it.
    pub(super) fn with_detail(self, detail: &str) -> Self {
        Self { message: format!("{}; {detail}", self.message), ..self }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy();
        write!(f, "{name}:{} ({})", self.row, self.split)?;
        let Some(detail) = &self.detail else { return Ok(()) };
        match detail.char_indices().nth(PRINTED_DETAIL) {
            Some((end, _)) => write!(f, " {}...", &detail[..end]),
            None => write!(f, " {detail}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        write!(f, "{severity:<8} {:>7}  {}", self.count, self.message)?;
        for group in self.rows.iter().take(PRINTED_GROUPS) {
            let rows: Vec<String> = group.iter().take(PRINTED_ROWS).map(Spot::to_string).collect();
            let more = group.len().saturating_sub(PRINTED_ROWS);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            write!(f, "\n{:18}{}{more}", "", rows.join(" = "))?;
        }
        let more = self.rows.len().saturating_sub(PRINTED_GROUPS);
        if more > 0 {
            write!(f, "\n{:18}and {more} more (all of them with --json)", "")?;
        }
        Ok(())
    }
}
