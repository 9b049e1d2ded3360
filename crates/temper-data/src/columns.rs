//! Which columns of a dataset's files are read.

use std::collections::{BTreeMap, BTreeSet};

use crate::readers::WantedColumns;
use crate::task_kind::Roles;
use crate::{DataError, DatasetCard, TaskKind};

/// Names of columns by role, as the user and the model's training choose them. A role without a chosen name has its usual
/// one, which is mostly the name of the role.
#[derive(Debug, Clone, Default)]
pub struct ColumnChoice {
    /// Those of the user; they override the card's.
    pub asked: BTreeMap<String, String>,
    /// Those of a model's training; the card's override them, and they count only if the files have them.
    pub trained: BTreeMap<String, String>,
}

/// The columns to read, by role.
#[derive(Debug, Clone)]
pub(crate) struct ColumnsToRead {
    task: TaskKind,
    /// The card's and the user's.
    chosen: BTreeMap<String, String>,
    trained: BTreeMap<String, String>,
}

impl ColumnsToRead {
    pub fn new(task: TaskKind, card: Option<&DatasetCard>, choice: &ColumnChoice) -> Self {
        // A card may be for another task, which has more columns than this one reads.
        let Roles { required, optional, .. } = task.roles();
        let is_read =
            |role: &str| required.iter().copied().flatten().chain(optional).any(|read| *read == role);
        let mut chosen = card.map(|card| card.columns.clone()).unwrap_or_default();
        chosen.retain(|role, _| is_read(role));
        chosen.extend(choice.asked.clone());
        Self { task, chosen, trained: choice.trained.clone() }
    }

    /// Reads files by the first of the possible names that they have; also says which these are.
    ///
    /// # Errors
    /// Those of `read`; the first missing column where no names fit.
    pub fn read<T>(
        &self,
        read: impl Fn(&WantedColumns<'_>) -> Result<T, DataError>,
    ) -> Result<(T, BTreeMap<String, String>), DataError> {
        let mut missing = None;
        for usual in self.usual() {
            match self.names(usual).read(&read) {
                Err(error @ DataError::MissingColumn { .. }) => {
                    missing.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(self.with_remedy(missing))
    }

    /// The usual names of the task's roles without a chosen name: all combinations, for each set of roles that includes
    /// the chosen ones.
    fn usual(&self) -> Vec<BTreeMap<String, String>> {
        let Roles { required, .. } = self.task.roles();
        let is_of_a_set = |role: &&String| required.iter().any(|set| set.contains(&role.as_str()));
        let fits = |set: &&&[&'static str]| {
            self.chosen.keys().filter(is_of_a_set).all(|role| set.contains(&role.as_str()))
        };
        let mut sets: Vec<_> = required.iter().filter(fits).collect();
        if sets.is_empty() {
            sets.extend(required.first());
        }
        sets.into_iter().flat_map(|set| combinations(set)).collect()
    }

    fn names(&self, usual: BTreeMap<String, String>) -> Names {
        let mut names = self.chosen.clone();
        let optional = self.task.roles().optional;
        let mut trained = BTreeSet::new();
        for (role, name) in &self.trained {
            let has_role = usual.contains_key(role) || optional.contains(&role.as_str());
            if has_role && !names.contains_key(role) {
                names.insert(role.clone(), name.clone());
                trained.insert(role.clone());
            }
        }
        for (role, name) in &usual {
            names.entry(role.clone()).or_insert_with(|| name.clone());
        }
        Names { names, trained, usual, if_there: self.task.roles().if_there }
    }

    fn with_remedy(&self, missing: Option<DataError>) -> DataError {
        match (missing, self.task.column_remedy()) {
            (Some(DataError::MissingColumn { file, column, available, near, .. }), Some(remedy)) => {
                DataError::MissingColumn { file, column, available, near, remedy }
            }
            (Some(error), _) => error,
            (None, _) => DataError::Card {
                origin: self.task.name().to_string(),
                reason: "the task has no columns".into(),
            },
        }
    }
}

/// The usual names of a role's column.
fn usual_names(role: &'static str) -> &'static [&'static str] {
    match role {
        "tags" => &["tags", "ner_tags"],
        "spans" => &["spans", "entities"],
        _ => &[],
    }
}

fn combinations(set: &[&'static str]) -> Vec<BTreeMap<String, String>> {
    set.iter().fold(vec![BTreeMap::new()], |found, role| {
        let usual = match usual_names(role) {
            [] => std::slice::from_ref(role),
            names => names,
        };
        let with = |names: &BTreeMap<String, String>, name: &str| {
            let mut names = names.clone();
            names.insert(role.to_string(), name.to_string());
            names
        };
        found.iter().flat_map(|names| usual.iter().map(move |name| with(names, name))).collect()
    })
}

/// One choice of names.
struct Names {
    names: BTreeMap<String, String>,
    /// Roles whose names come from a training.
    trained: BTreeSet<String>,
    /// What roles that the task cannot do without are called else.
    usual: BTreeMap<String, String>,
    /// Roles, and columns of the same names, that are read where files have them.
    if_there: &'static [&'static str],
}

impl Names {
    /// Reads files; a column of a training that they do not have is given up.
    fn read<T>(
        mut self,
        read: impl Fn(&WantedColumns<'_>) -> Result<T, DataError>,
    ) -> Result<(T, BTreeMap<String, String>), DataError> {
        loop {
            let needed: Vec<&str> = self.names.values().map(String::as_str).collect();
            let is_free = |role: &&&str| !self.names.contains_key(**role) && !needed.contains(*role);
            let if_there = self.if_there.iter().filter(is_free).copied().collect();
            match read(&WantedColumns { needed, if_there }) {
                Err(DataError::MissingColumn { column, .. }) if self.give_up(&column) => {}
                result => return result.map(|found| (found, self.names)),
            }
        }
    }

    fn give_up(&mut self, column: &str) -> bool {
        let is_it = |role: &&String| self.names.get(*role).is_some_and(|name| name == column);
        let Some(role) = self.trained.iter().find(is_it).cloned() else {
            return false;
        };
        self.trained.remove(&role);
        match self.usual.get(&role) {
            Some(name) => self.names.insert(role, name.clone()),
            None => self.names.remove(&role),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file that has these columns.
    fn read(columns: &ColumnsToRead, has: &[&str]) -> Result<BTreeMap<String, String>, DataError> {
        let missing = |column: &str| DataError::MissingColumn {
            file: "a".into(),
            column: column.into(),
            available: has.iter().map(|name| name.to_string()).collect(),
            near: Vec::new(),
            remedy: "",
        };
        let read = |wanted: &WantedColumns<'_>| match wanted.needed.iter().find(|name| !has.contains(name)) {
            Some(name) => Err(missing(name)),
            None => Ok(()),
        };
        columns.read(read).map(|(_, names)| names)
    }

    fn roles(names: &[(&str, &str)]) -> BTreeMap<String, String> {
        names.iter().map(|(role, name)| (role.to_string(), name.to_string())).collect()
    }

    fn tagged(asked: &[(&str, &str)], trained: &[(&str, &str)]) -> ColumnsToRead {
        let choice = ColumnChoice { asked: roles(asked), trained: roles(trained) };
        ColumnsToRead::new(TaskKind::TokenClassification, None, &choice)
    }

    #[test]
    fn the_first_set_of_usual_names_that_a_file_has_is_read() {
        let columns = tagged(&[], &[]);
        for (has, found) in [
            (&["tokens", "tags", "text"][..], &[("tokens", "tokens"), ("tags", "tags")][..]),
            (&["tokens", "ner_tags"], &[("tokens", "tokens"), ("tags", "ner_tags")]),
            (&["text", "spans", "tags"], &[("text", "text"), ("spans", "spans")]),
            (&["text", "entities"], &[("text", "text"), ("spans", "entities")]),
        ] {
            assert_eq!(read(&columns, has).unwrap(), roles(found), "{has:?}");
        }
        let message = read(&columns, &["text", "ents"]).unwrap_err().to_string();
        assert!(message.contains("`text` and `spans` (or `entities`)"), "{message}");
        assert!(!message.contains("--text-column"), "{message}");
    }

    #[test]
    fn chosen_roles_decide_the_set_and_trained_ones_are_given_up() {
        let columns = tagged(&[("spans", "marks")], &[("tokens", "words"), ("text", "body")]);
        assert_eq!(
            read(&columns, &["text", "marks", "tokens", "tags"]).unwrap(),
            roles(&[("text", "text"), ("spans", "marks")])
        );
        assert_eq!(read(&columns, &["body", "marks"]).unwrap()["text"], "body");
        let columns = tagged(&[], &[("tokens", "words"), ("tags", "marks")]);
        assert_eq!(
            read(&columns, &["words", "ner_tags"]).unwrap(),
            roles(&[("tokens", "words"), ("tags", "ner_tags")])
        );
        assert_eq!(
            read(&columns, &["text", "spans"]).unwrap(),
            roles(&[("text", "text"), ("spans", "spans")])
        );
    }
}
