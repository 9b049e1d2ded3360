//! A dataset's name or path to the tables of its splits.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use temper_hub::{Hub, RepoKind, Resolved};

use crate::columns::{ColumnChoice, Columns};
use crate::local::{SplitTables, read_splits};
use crate::readers::{Wanted, is_other_data};
use crate::{DataError, DatasetCard, Format, HeldOut, Table, Task, find_card};

/// The tables behind a dataset's name.
#[derive(Debug, Clone)]
pub struct DatasetTables {
    /// The card's name (the stand-in's, where one was used), or the path.
    pub name: String,
    /// The card, unless a path was given.
    pub card: Option<DatasetCard>,
    /// Where the files came from, unless a path was given.
    pub resolved: Option<Resolved>,
    /// The splits as the files have them.
    pub tables: SplitTables,
    /// The columns that were read, by role.
    pub columns: BTreeMap<String, String>,
    /// What is still to be held out of train.
    pub held_out: HeldOut,
}

/// Finds, fetches and reads the files of a dataset for a task.
///
/// Of the files, only the columns of the choice and of the card are kept.
///
/// A name that a card has (or its Hub id) means the card; anything that stands on disk or ends
/// like a data file means the file or folder.
///
/// # Errors
/// [`DataError::UnknownDataset`], [`DataError::WrongTask`] before anything is fetched,
/// [`DataError::Hub`], and those of the readers.
pub fn load_tables(
    hub: &Hub,
    name_or_path: &str,
    card_directories: &[PathBuf],
    task: Task,
    choice: &ColumnChoice,
) -> Result<DatasetTables, DataError> {
    let path = Path::new(name_or_path);
    match find_card(name_or_path, card_directories) {
        Ok(card) if !task.reads(card.task) => {
            Err(DataError::WrongTask { name: card.name, task: card.task.name(), wanted: task.name() })
        }
        Ok(card) => load_card(hub, card, card_directories, task, choice),
        Err(DataError::UnknownDataset { .. }) if path.exists() || is_meant_as_path(path) => {
            let columns = Columns::new(task, None, choice);
            let ((tables, held_out), mut columns) = columns.read(|wanted| read_splits(path, wanted))?;
            add_found(&mut columns, &tables, task);
            let name = name_or_path.to_string();
            Ok(DatasetTables { name, card: None, resolved: None, tables, columns, held_out })
        }
        Err(error) => Err(error),
    }
}

/// Refuses a name that is neither a card's nor a file or folder, before anything is fetched.
///
/// # Errors
/// [`DataError::NoFile`] for what can only be a path, else those of [`find_card`].
pub fn check_dataset_name(name_or_path: &str, card_directories: &[PathBuf]) -> Result<(), DataError> {
    let path = Path::new(name_or_path);
    if path.exists() {
        return Ok(());
    }
    match find_card(name_or_path, card_directories) {
        Err(DataError::UnknownDataset { .. }) if is_meant_as_path(path) => {
            Err(DataError::NoFile { path: path.to_path_buf() })
        }
        result => result.map(|_| ()),
    }
}

/// Whether a name that no card has can only be a path.
fn is_meant_as_path(path: &Path) -> bool {
    let start = path.components().next();
    let is_rooted = !matches!(start, Some(Component::Normal(_)) | None);
    is_rooted || Format::of_path(path).is_ok() || is_other_data(path)
}

fn load_card(
    hub: &Hub,
    card: DatasetCard,
    card_directories: &[PathBuf],
    task: Task,
    choice: &ColumnChoice,
) -> Result<DatasetTables, DataError> {
    let stand_in = match &card.stand_in {
        Some(name) => Some(find_card(name, card_directories)?),
        None => None,
    };
    let stand_in_wanted = stand_in.as_ref().map(DatasetCard::wanted);
    let mut resolved = hub.fetch_or_stand_in(
        RepoKind::Dataset,
        &card.name,
        &card.source,
        &card.wanted(),
        stand_in
            .as_ref()
            .zip(stand_in_wanted.as_deref())
            .map(|(card, wanted)| (card.name.as_str(), &card.source, wanted)),
    )?;
    let card = match stand_in {
        Some(stand_in) if resolved.stand_in_for.is_some() => stand_in,
        _ => card,
    };
    resolved.replaced.clone_from(&card.replaced);
    let (tables, mut columns) = Columns::new(task, Some(&card), choice).read(|wanted| {
        let read = |names: &[String]| read_files(&card, &resolved, names, wanted);
        Ok(SplitTables {
            train: read(&card.splits.train)?,
            validation: read(&card.splits.validation)?,
            test: read(&card.splits.test)?,
        })
    })?;
    add_found(&mut columns, &tables, task);
    Ok(DatasetTables {
        name: card.name.clone(),
        held_out: card.hold_out,
        card: Some(card),
        resolved: Some(resolved),
        tables,
        columns,
    })
}

/// Adds the roles whose columns were read because some file has them.
fn add_found(columns: &mut BTreeMap<String, String>, tables: &SplitTables, task: Task) {
    let tables = [&tables.train, &tables.validation, &tables.test];
    for role in task.roles().if_there {
        let mut tables = tables.into_iter().flatten();
        if !columns.contains_key(*role) && tables.any(|table| table.column(role).is_some()) {
            columns.insert(role.to_string(), role.to_string());
        }
    }
}

fn read_files(
    card: &DatasetCard,
    resolved: &Resolved,
    names: &[String],
    wanted: &Wanted<'_>,
) -> Result<Vec<Table>, DataError> {
    names
        .iter()
        .map(|name| {
            let file = resolved.file(name).ok_or_else(|| DataError::Card {
                origin: card.name.clone(),
                reason: format!("its source does not hold `{name}`"),
            })?;
            card.format.read_wanted(&file.path, wanted)
        })
        .collect()
}
