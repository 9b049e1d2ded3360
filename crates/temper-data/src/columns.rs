//! Which columns of a dataset's files are read.

use std::collections::{BTreeMap, BTreeSet};

use crate::{DataError, DatasetCard, Task};

/// Names of columns by role, from those who may choose them. What nobody chooses is called like
/// its role.
#[derive(Debug, Clone, Default)]
pub struct ColumnChoice {
    /// The user's; they come before the card's.
    pub asked: BTreeMap<String, String>,
    /// Those of a model's training; they come after the card's, and only where the files have them.
    pub trained: BTreeMap<String, String>,
}

/// The columns to read, by role.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub names: BTreeMap<String, String>,
    /// Roles whose names come from a training.
    trained: BTreeSet<String>,
    /// Roles that the task cannot do without.
    required: &'static [&'static str],
}

impl Columns {
    pub fn new(task: Task, card: Option<&DatasetCard>, choice: &ColumnChoice) -> Self {
        let mut names = card.map(|card| card.columns.clone()).unwrap_or_default();
        names.extend(choice.asked.clone());
        let mut trained = BTreeSet::new();
        for (role, name) in &choice.trained {
            if !names.contains_key(role) {
                names.insert(role.clone(), name.clone());
                trained.insert(role.clone());
            }
        }
        let required = task.required_roles();
        for role in required {
            names.entry(role.to_string()).or_insert_with(|| role.to_string());
        }
        Self { names, trained, required }
    }

    /// Reads files; a column of a training that they do not have is given up.
    pub fn read<T>(&mut self, read: impl Fn(&[&str]) -> Result<T, DataError>) -> Result<T, DataError> {
        loop {
            let wanted: Vec<&str> = self.names.values().map(String::as_str).collect();
            match read(&wanted) {
                Err(DataError::MissingColumn { column, .. }) if self.give_up(&column) => {}
                result => return result,
            }
        }
    }

    fn give_up(&mut self, column: &str) -> bool {
        let is_it = |role: &&String| self.names.get(*role).is_some_and(|name| name == column);
        let Some(role) = self.trained.iter().find(is_it).cloned() else {
            return false;
        };
        self.trained.remove(&role);
        match self.required.contains(&role.as_str()) {
            true => self.names.insert(role.clone(), role),
            false => self.names.remove(&role),
        };
        true
    }
}
