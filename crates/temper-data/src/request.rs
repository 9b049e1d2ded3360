//! What to load of a dataset, for any task.

use std::path::PathBuf;

use crate::{ColumnChoice, SplitChoice};

/// What to load for any task.
#[derive(Debug, Clone, Default)]
pub struct RowsRequest {
    /// A card's name, a Hub id that a card has, or a path.
    pub name_or_path: String,
    /// Folders with cards of the user.
    pub card_directories: Vec<PathBuf>,
    /// Columns by role, where the user or a training names them.
    pub columns: ColumnChoice,
    /// Where validation and test come from, where the user says so.
    pub splits: SplitChoice,
    /// Decides which rows a subset keeps.
    pub seed: u64,
    /// At most this many training rows.
    pub max_train_samples: Option<usize>,
    /// At most this many validation rows.
    pub max_eval_samples: Option<usize>,
    /// At most this many test rows.
    pub max_test_samples: Option<usize>,
    /// Whether rows that cannot be read are left out; else the first one is an error.
    pub skip_unreadable: bool,
}
