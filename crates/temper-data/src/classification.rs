//! Text classification: tables to labelled texts in three splits.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use temper_hub::{Hub, Resolved};

use crate::card::{Task, Unlabelled};
use crate::columns::ColumnChoice;
use crate::dataset::{DatasetTables, load_tables};
use crate::labels::{Labels, Place as CellPlace};
use crate::readers::{FileReport, Row};
use crate::split::{Place, drop_leaked, keep_subset};
use crate::{DataError, DatasetCard, Table, TextInput};

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct DatasetRequest {
    /// A card's name, a Hub id that a card has, or a path.
    pub name_or_path: String,
    /// Column of the text; otherwise the card's, or `text`.
    pub text_column: Option<String>,
    /// Column of the second text of a pair; otherwise the card's, or none.
    pub text_pair_column: Option<String>,
    /// Column of the label; otherwise the card's, or `label`.
    pub label_column: Option<String>,
    /// Columns that the model was trained on: taken where files without a card have them and the request names
    /// no others.
    pub trained_columns: Option<ColumnNames>,
    /// Folders with cards of the user.
    pub card_directories: Vec<PathBuf>,
    /// Decides which rows a subset keeps.
    pub seed: u64,
    /// At most this many training rows.
    pub max_train_samples: Option<usize>,
    /// At most this many validation rows.
    pub max_eval_samples: Option<usize>,
    /// At most this many test rows.
    pub max_test_samples: Option<usize>,
}

/// A text with its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// The class, an index into the label names.
    pub label: usize,
    /// The row in its file, from 1.
    pub row: usize,
}

impl LabelledText {
    /// The text as [`encode_all`](crate::encode_all) takes it.
    pub fn input(&self) -> TextInput<'_> {
        (&self.text, self.pair.as_deref())
    }

    /// What hashes and comparisons take for the text: a pair's texts with a TAB between.
    fn key(&self) -> String {
        match &self.pair {
            Some(pair) => format!("{}\t{pair}", self.text),
            None => self.text.clone(),
        }
    }
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct TextClassificationData {
    /// The card's name (the stand-in's, where one was used), or the path.
    pub name: String,
    /// The card, unless a path was given.
    pub card: Option<DatasetCard>,
    /// Where the files came from, unless a path was given.
    pub resolved: Option<Resolved>,
    /// The columns that were read.
    pub columns: ColumnNames,
    /// Names of the classes 0, 1, ...
    pub label_names: Vec<String>,
    /// To train on.
    pub train: Vec<LabelledText>,
    /// To choose by.
    pub validation: Vec<LabelledText>,
    /// To report.
    pub test: Vec<LabelledText>,
    /// Training rows before the subset.
    pub full_train_rows: usize,
    /// Rows of train and validation dropped because their text also stands in test.
    pub leaked: usize,
    /// Rows dropped because they have no label.
    pub unlabelled: usize,
    /// The files, and what their readers decided.
    pub files: Vec<FileReport>,
    /// What the user should look at.
    pub notices: Vec<String>,
}

/// The columns of a dataset, by what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnNames {
    /// The text.
    pub text: String,
    /// The second text of a pair; `None` where texts come alone.
    pub text_pair: Option<String>,
    /// The label.
    pub label: String,
}

impl ColumnNames {
    fn of_roles(roles: &BTreeMap<String, String>) -> Self {
        let name = |role: &str| roles.get(role).cloned();
        let required = |role: &str| name(role).unwrap_or_else(|| role.to_string());
        Self { text: required("text"), text_pair: name("text_pair"), label: required("label") }
    }
}

impl DatasetRequest {
    fn columns(&self) -> ColumnChoice {
        let roles = |text: Option<&String>, pair: Option<&String>, label: Option<&String>| {
            let names = [("text", text), ("text_pair", pair), ("label", label)];
            names.into_iter().filter_map(|(role, name)| Some((role.to_string(), name?.clone()))).collect()
        };
        let trained = self.trained_columns.as_ref();
        ColumnChoice {
            asked: roles(
                self.text_column.as_ref(),
                self.text_pair_column.as_ref(),
                self.label_column.as_ref(),
            ),
            trained: roles(
                trained.map(|names| &names.text),
                trained.and_then(|names| names.text_pair.as_ref()),
                trained.map(|names| &names.label),
            ),
        }
    }
}

/// Loads a dataset as labelled texts.
///
/// # Errors
/// Everything that [`load_tables`] reports; labels that are missing, of a wrong kind or out of
/// range; a quoted field that holds rows; an empty split; a training split of one class.
pub fn load_text_classification(
    hub: &Hub,
    request: &DatasetRequest,
) -> Result<TextClassificationData, DataError> {
    let (name, cards) = (&request.name_or_path, &request.card_directories);
    let dataset = load_tables(hub, name, cards, Task::TextClassification, &request.columns())?;
    let columns = ColumnNames::of_roles(&dataset.columns);
    let labels = labels(&dataset, &columns.label)?;
    let mut data = place_rows(dataset, columns, &labels)?;
    remove_leaks(&mut data);
    data.full_train_rows = data.train.len();
    check_not_empty(&data, "give it files of its own, or more rows to hold out from")?;
    take_subsets(&mut data, request)?;
    check_classes(&data)?;
    Ok(data)
}

/// The classes: the card's, else the training file's, else those that occur in train.
fn labels(dataset: &DatasetTables, column: &str) -> Result<Labels, DataError> {
    let of_table =
        |table: &Table| table.column(column).and_then(|index| table.columns[index].class_names.clone());
    let train = &dataset.tables.train;
    let of_card = dataset.card.as_ref().and_then(|card| card.labels.clone());
    let Some(names) = of_card.or_else(|| train.first().and_then(of_table)) else {
        return Labels::observed(train, column);
    };
    let tables = &dataset.tables;
    for table in [train, &tables.validation, &tables.test].into_iter().flatten() {
        if let Some(schema) = of_table(table).filter(|schema| *schema != names) {
            let reason = format!("its classes are {schema:?}, those of the dataset {names:?}");
            return Err(DataError::broken(&table.file, None, reason));
        }
    }
    Ok(Labels::given(names))
}

/// Reads all rows and cuts the missing splits out of train.
fn place_rows(
    dataset: DatasetTables,
    columns: ColumnNames,
    labels: &Labels,
) -> Result<TextClassificationData, DataError> {
    let mut data = TextClassificationData {
        name: dataset.name,
        card: dataset.card,
        resolved: dataset.resolved,
        columns,
        label_names: labels.names.clone(),
        train: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
        full_train_rows: 0,
        leaked: 0,
        unlabelled: 0,
        files: Vec::new(),
        notices: labels.notices.clone(),
    };
    data.validation = read_split(dataset.tables.validation, labels, &mut data)?;
    data.test = read_split(dataset.tables.test, labels, &mut data)?;
    for row in read_split(dataset.tables.train, labels, &mut data)? {
        match dataset.held_out.place(&row.key()) {
            Place::Train => data.train.push(row),
            Place::Validation => data.validation.push(row),
            Place::Test => data.test.push(row),
        }
    }
    Ok(data)
}

/// The rows of a split's tables; what is to be said of them goes to `data`.
fn read_split(
    tables: Vec<Table>,
    labels: &Labels,
    data: &mut TextClassificationData,
) -> Result<Vec<LabelledText>, DataError> {
    let policy = data.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
    let mut rows = Vec::new();
    for table in tables {
        let before = (rows.len(), table.rows.len());
        data.notices.extend(check_fields(&table, &data.columns.label, labels)?);
        data.files.push(table.report.clone());
        rows.extend(read_rows(table, &data.columns, labels, policy)?);
        data.unlabelled += before.1 - (rows.len() - before.0);
    }
    Ok(rows)
}

/// Refuses quoted fields whose lines would be rows with labels of this dataset; others that look
/// like rows are told.
fn check_fields(table: &Table, column: &str, labels: &Labels) -> Result<Option<String>, DataError> {
    let label = table.column(column);
    for lines in &table.report.swallowed {
        let values = label.map_or(&[][..], |label| &lines.values[label]);
        let known = values.iter().filter(|value| labels.knows(value)).count();
        if 2 * known > values.len() {
            return Err(DataError::StrayQuote {
                file: table.file.clone(),
                first_line: lines.first_line,
                last_line: lines.last_line,
            });
        }
    }
    Ok(table.report.suspicion())
}

fn read_rows(
    table: Table,
    columns: &ColumnNames,
    labels: &Labels,
    policy: Unlabelled,
) -> Result<Vec<LabelledText>, DataError> {
    let place_of = |name: &String| table.column(name).map(|index| (index, name.clone()));
    let (Some(text), Some(label)) = (place_of(&columns.text), place_of(&columns.label)) else {
        return Err(DataError::broken(&table.file, None, "a column is missing"));
    };
    let pair = columns.text_pair.as_ref().and_then(place_of);
    let typed = table.columns[label.0].typed;
    let mut rows = Vec::with_capacity(table.rows.len());
    let mut unlabelled = Vec::new();
    for Row { number, cells } in &table.rows {
        let (file, row) = (&table.file, *number);
        let place = CellPlace { file, row, column: &label.1, typed };
        let Some(class) = labels.id(&cells[label.0], &place)? else {
            unlabelled.push(row);
            continue;
        };
        let text_of = |(index, name): &(usize, String)| cells[*index].to_text(file, row, name);
        let (text, pair) = (text_of(&text)?, pair.as_ref().map(text_of).transpose()?);
        rows.push(LabelledText { text, pair, label: class, row });
    }
    match unlabelled.first() {
        Some(first) if policy == Unlabelled::Error => Err(DataError::Unlabelled {
            file: table.file.clone(),
            row: *first,
            column: label.1,
            count: unlabelled.len(),
        }),
        _ => Ok(rows),
    }
}

fn remove_leaks(data: &mut TextClassificationData) {
    let test: HashSet<String> = data.test.iter().map(LabelledText::key).collect();
    data.leaked = drop_leaked(&mut data.train, &test, LabelledText::key)
        + drop_leaked(&mut data.validation, &test, LabelledText::key);
    if data.leaked > 0 {
        tracing::info!(
            dataset = data.name,
            rows = data.leaked,
            "dropped rows of train and validation whose text also stands in test"
        );
    }
}

fn check_classes(data: &TextClassificationData) -> Result<(), DataError> {
    let Some(first) = data.train.first() else { return Ok(()) };
    if data.train.iter().all(|row| row.label == first.label) {
        return Err(DataError::OneClass {
            dataset: data.name.clone(),
            label: data.label_names[first.label].clone(),
        });
    }
    Ok(())
}

fn check_not_empty(data: &TextClassificationData, remedy: &'static str) -> Result<(), DataError> {
    let splits = [("train", &data.train), ("validation", &data.validation), ("test", &data.test)];
    match splits.into_iter().find(|(_, rows)| rows.is_empty()) {
        Some(("train", _)) if data.leaked > 0 => {
            Err(DataError::NothingButTest { dataset: data.name.clone(), rows: data.leaked })
        }
        Some((split, _)) => Err(DataError::EmptySplit { dataset: data.name.clone(), split, remedy }),
        None => Ok(()),
    }
}

fn take_subsets(data: &mut TextClassificationData, request: &DatasetRequest) -> Result<(), DataError> {
    for (rows, count) in [
        (&mut data.train, request.max_train_samples),
        (&mut data.validation, request.max_eval_samples),
        (&mut data.test, request.max_test_samples),
    ] {
        if let Some(count) = count {
            keep_subset(rows, count, request.seed, LabelledText::key);
        }
    }
    check_not_empty(data, "--max-train-samples, --max-eval-samples and --max-test-samples must be at least 1")
}
