//! A dataset's name or path to the tables of its splits.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use temper_hub::{Hub, Replaced, RepoKind, Resolved};

use crate::columns::ColumnsToRead;
use crate::local::{SplitTables, read_files, read_splits};
use crate::pattern::{files_of, is_pattern};
use crate::readers::{WantedColumns, is_other_data};
use crate::request::RowsRequest;
use crate::{DataError, DatasetCard, Format, HeldOut, SplitChoice, Table, TaskKind, find_card};

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
    /// What was asked of the splits.
    pub splits: SplitChoice,
    /// What the user should look at.
    pub notices: Vec<String>,
}

/// Finds, fetches and reads the files of a dataset for a task.
///
/// Of the files, only the columns of the choice and of the card are kept.
///
/// A name that a card has (or its Hub id) means the card; anything that is on disk or has the ending of
/// a data file means the file or folder, and a pattern such as `data/train-*.csv` the files that fit it.
///
/// # Errors
/// [`DataError::UnknownDataset`], [`DataError::WrongTask`] before anything is fetched,
/// [`DataError::Hub`], [`DataError::Splits`], and those of the readers.
pub fn load_tables(hub: &Hub, request: &RowsRequest, task: TaskKind) -> Result<DatasetTables, DataError> {
    let name = &request.name_or_path;
    match find_card(name, &request.card_directories) {
        Ok(card) if !task.reads(card.task) => {
            Err(DataError::WrongTask { name: card.name, task: card.task.name(), wanted: task.name() })
        }
        Ok(card) => {
            let mut dataset = match card.local_folder() {
                Some(folder) => load_local_card(card, &folder, request, task)?,
                None => load_card(hub, card, request, task)?,
            };
            dataset.notices.extend(shadowed(name));
            Ok(dataset)
        }
        Err(DataError::UnknownDataset { .. }) if is_path(name) => load_path(request, task),
        Err(error) => Err(error),
    }
}

/// What to say of a folder or file that has the name of a card.
fn shadowed(name: &str) -> Option<String> {
    Path::new(name).exists().then(|| {
        format!("{name} is the dataset of that name, not the file or folder {name} that is here; ./{name} names the latter")
    })
}

/// Refuses a name that is neither a card's nor a file, folder or pattern, and files of splits that are not there, before
/// anything is fetched.
///
/// # Errors
/// [`DataError::NoFile`] for what can only be a path, [`DataError::Pattern`], else those of [`find_card`].
pub fn check_dataset(request: &RowsRequest) -> Result<(), DataError> {
    let SplitChoice { validation_file, test_file, .. } = &request.splits;
    for file in [validation_file, test_file].into_iter().flatten() {
        files_of(file)?;
    }
    let name = &request.name_or_path;
    match find_card(name, &request.card_directories) {
        Err(DataError::UnknownDataset { .. }) if is_path(name) => files_of(name).map(drop),
        result => result?.local_paths().map(drop),
    }
}

/// True if a name that no card has can only be a path or a pattern.
fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    let is_rooted = !matches!(path.components().next(), Some(Component::Normal(_)) | None);
    // A name of two parts may be one of the Hub, unless the first is a folder here.
    let is_in_folder = name.contains('/')
        && path.ancestors().skip(1).any(|folder| folder.is_dir() && !folder.as_os_str().is_empty());
    let is_word = |ending: &str| {
        (2..=7).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let has_ending = path.extension().and_then(|ending| ending.to_str()).is_some_and(is_word);
    path.exists()
        || has_ending
        || is_pattern(name)
        || is_rooted
        || is_in_folder
        || path.components().count() > 2
        || Format::of_path(path).is_ok()
        || is_other_data(path)
}

fn load_path(request: &RowsRequest, task: TaskKind) -> Result<DatasetTables, DataError> {
    let columns = ColumnsToRead::new(task, None, &request.columns);
    let read = |wanted: &WantedColumns<'_>| read_splits(&request.name_or_path, wanted, &request.splits);
    let ((tables, held_out), mut columns) = columns.read(read)?;
    add_found(&mut columns, &tables, task);
    Ok(DatasetTables {
        name: request.name_or_path.clone(),
        card: None,
        resolved: None,
        tables,
        columns,
        held_out,
        splits: request.splits.clone(),
        notices: Vec::new(),
    })
}

fn load_card(
    hub: &Hub,
    card: DatasetCard,
    request: &RowsRequest,
    task: TaskKind,
) -> Result<DatasetTables, DataError> {
    let stand_in = match &card.stand_in {
        Some(name) => Some(find_card(name, &request.card_directories)?),
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
    let find = |name: &str| {
        let file = resolved.file(name).ok_or_else(|| DataError::Card {
            origin: card.name.clone(),
            reason: format!("its source does not hold `{name}`"),
        })?;
        Ok(vec![file.path.clone()])
    };
    let dataset = read_card(&card, find, request, task)?;
    Ok(DatasetTables { resolved: Some(resolved), ..dataset })
}

/// Reads a card whose files lie beside it; they may be patterns.
fn load_local_card(
    card: DatasetCard,
    folder: &Path,
    request: &RowsRequest,
    task: TaskKind,
) -> Result<DatasetTables, DataError> {
    let notice = card.replaced.as_ref().map(|Replaced { built_in, by }| {
        format!("{built_in} is a built-in name; the card {} is used instead", by.display())
    });
    let find = |name: &str| files_of(&folder.join(name).to_string_lossy());
    let dataset = read_card(&card, find, request, task)?;
    Ok(DatasetTables { notices: notice.into_iter().collect(), ..dataset })
}

/// Reads the files that `find` gives for the names on a card.
fn read_card(
    card: &DatasetCard,
    find: impl Fn(&str) -> Result<Vec<PathBuf>, DataError>,
    request: &RowsRequest,
    task: TaskKind,
) -> Result<DatasetTables, DataError> {
    let splits = &request.splits;
    let (tables, mut columns) = ColumnsToRead::new(task, Some(card), &request.columns).read(|wanted| {
        let read_named = |file: &String| read_files(file, wanted);
        let read = |names: &[String]| -> Result<Vec<Table>, DataError> {
            let mut tables = Vec::new();
            for file in names.iter().map(|name| find(name)) {
                tables.extend(
                    file?
                        .iter()
                        .map(|file| card.format.read_wanted(file, wanted))
                        .collect::<Result<Vec<_>, _>>()?,
                );
            }
            Ok(tables)
        };
        let of_split =
            |named: &Option<String>, own: &[String]| named.as_ref().map_or_else(|| read(own), read_named);
        Ok(SplitTables {
            train: read(&card.splits.train)?,
            validation: of_split(&splits.validation_file, &card.splits.validation)?,
            test: of_split(&splits.test_file, &card.splits.test)?,
        })
    })?;
    add_found(&mut columns, &tables, task);
    Ok(DatasetTables {
        name: card.name.clone(),
        held_out: splits.held_out(&card.name, &tables, card.hold_out)?,
        card: Some(card.clone()),
        resolved: None,
        tables,
        columns,
        splits: splits.clone(),
        notices: Vec::new(),
    })
}

/// Adds the roles whose columns were read because some file has them.
fn add_found(columns: &mut BTreeMap<String, String>, tables: &SplitTables, task: TaskKind) {
    let tables = [&tables.train, &tables.validation, &tables.test];
    for role in task.roles().if_there {
        let mut tables = tables.into_iter().flatten();
        if !columns.contains_key(*role) && tables.any(|table| table.column(role).is_some()) {
            columns.insert(role.to_string(), role.to_string());
        }
    }
}

/// The local files and folders that a dataset is read from; none of a card whose files come from a source.
///
/// # Errors
/// [`DataError::Card`], [`DataError::Pattern`].
pub fn local_paths(request: &RowsRequest) -> Result<Vec<PathBuf>, DataError> {
    let name = &request.name_or_path;
    let mut paths = match find_card(name, &request.card_directories) {
        Ok(card) => card.local_paths()?,
        // What is not there is refused when it is read.
        Err(DataError::UnknownDataset { .. }) if !Path::new(name).exists() && !is_pattern(name) => Vec::new(),
        Err(DataError::UnknownDataset { .. }) => files_of(name)?,
        Err(error) => return Err(error),
    };
    let SplitChoice { validation_file, test_file, .. } = &request.splits;
    for file in [validation_file, test_file].into_iter().flatten() {
        paths.extend(files_of(file)?);
    }
    Ok(paths)
}
