//! The tasks that a dataset can be for, and the roles that its columns have for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a dataset is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One label for each text or pair of texts.
    TextClassification,
    /// One tag for each word.
    TokenClassification,
    /// An answer as a span of a context.
    QuestionAnswering,
    /// Text to continue.
    LanguageModeling,
    /// Text with masked tokens to fill in; the same data.
    MaskedLanguageModeling,
    /// A target text for each source text.
    TextToText,
}

impl TaskKind {
    /// The task's name as cards write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextClassification => "text-classification",
            Self::TokenClassification => "token-classification",
            Self::QuestionAnswering => "question-answering",
            Self::LanguageModeling => "language-modeling",
            Self::MaskedLanguageModeling => "masked-language-modeling",
            Self::TextToText => "text-to-text",
        }
    }

    /// Whether data for another task serves this one, too: language models learn any text, whatever its labels.
    pub(crate) fn reads(self, other: Self) -> bool {
        let is_text = matches!(other, Self::LanguageModeling | Self::TextClassification);
        self == other || is_text && matches!(self, Self::LanguageModeling | Self::MaskedLanguageModeling)
    }

    /// The roles that columns of the task's datasets have.
    pub(crate) fn roles(self) -> Roles {
        const OF_QUESTIONS: &[&str] = &["id", "title", "is_impossible", "answer_start"];
        let (required, optional, if_there): (&[&[&str]], &[&str], &[&str]) = match self {
            Self::TextClassification => (&[&["text", "label"]], &["text_pair"], &["text_pair"]),
            Self::TokenClassification => (&[&["tokens", "tags"], &["text", "spans"]], &[], &[]),
            Self::QuestionAnswering => (&[&["question", "context", "answers"]], OF_QUESTIONS, OF_QUESTIONS),
            Self::LanguageModeling => (&[&["text"], &["prompt", "completion"], &["messages"]], &[], &[]),
            Self::MaskedLanguageModeling => (&[&["text"]], &[], &[]),
            Self::TextToText => (&[&["source", "target"]], &[], &[]),
        };
        Roles { required, optional, if_there }
    }

    /// What to do about a missing column, unless flags name it.
    pub(crate) fn column_remedy(self) -> Option<&'static str> {
        match self {
            Self::TextClassification => None,
            Self::TokenClassification => Some(
                "name them `tokens` and `tags` (or `ner_tags`), or `text` and `spans` (or `entities`), or name \
                 them in [columns] of a dataset card",
            ),
            _ => Some("rename it, or name another in [columns] of a dataset card"),
        }
    }
}

/// The roles of columns for a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    /// Sets of roles; a dataset fills one of them.
    pub required: &'static [&'static [&'static str]],
    /// Roles that may be filled.
    pub optional: &'static [&'static str],
    /// Those of them that are read where files have a column of that name.
    pub if_there: &'static [&'static str],
}

impl Roles {
    /// The set that these roles fill, or come nearest to.
    pub fn nearest(self, given: &BTreeMap<String, String>) -> &'static [&'static str] {
        let missing = |set: &&&[&str]| set.iter().filter(|role| !given.contains_key(**role)).count();
        self.required.iter().min_by_key(missing).copied().unwrap_or_default()
    }
}
