//! Text classification: tables to labelled texts in three splits.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use temper_hub::{Hub, Resolved};

use crate::card::{Task, Unlabelled};
use crate::dataset::{DatasetTables, load_tables};
use crate::labels::{Labels, Place as CellPlace};
use crate::split::{Place, drop_leaked, keep_subset};
use crate::{DataError, DatasetCard, Table, TextInput, Value};

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
    /// Columns that the model was trained on: taken where a table has them and neither the request nor the
    /// card names others.
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

/// Loads a dataset as labelled texts.
///
/// # Errors
/// Everything that [`load_tables`] reports; missing columns; labels that are missing, of a wrong
/// kind or out of range; an empty split; a training split of one class.
pub fn load_text_classification(
    hub: &Hub,
    request: &DatasetRequest,
) -> Result<TextClassificationData, DataError> {
    let dataset =
        load_tables(hub, &request.name_or_path, &request.card_directories, Task::TextClassification)?;
    let roles = columns(request, &dataset);
    let labels = labels(&dataset, &roles.label)?;
    let mut data = place_rows(dataset, &roles, &labels)?;
    remove_leaks(&mut data);
    check_splits(&data)?;
    data.full_train_rows = data.train.len();
    take_subsets(&mut data, request)?;
    Ok(data)
}

fn columns(request: &DatasetRequest, dataset: &DatasetTables) -> ColumnNames {
    let card = dataset.card.as_ref();
    let tables = [&dataset.tables.train, &dataset.tables.validation, &dataset.tables.test];
    let table = tables.into_iter().flatten().next();
    let is_there = |name: &String| table.is_some_and(|table| table.column(name).is_ok());
    let trained = request.trained_columns.as_ref();
    let column = |asked: &Option<String>, role: &str, trained: Option<&String>| {
        let of_card = || card.and_then(|card| card.columns.get(role).cloned());
        asked.clone().or_else(of_card).or_else(|| trained.filter(|name| is_there(name)).cloned())
    };
    let text = column(&request.text_column, "text", trained.map(|columns| &columns.text));
    let label = column(&request.label_column, "label", trained.map(|columns| &columns.label));
    ColumnNames {
        text: text.unwrap_or_else(|| "text".into()),
        text_pair: column(
            &request.text_pair_column,
            "text_pair",
            trained.and_then(|columns| columns.text_pair.as_ref()),
        ),
        label: label.unwrap_or_else(|| "label".into()),
    }
}

/// The classes: the card's, else the training file's, else those that occur in train.
fn labels(dataset: &DatasetTables, column: &str) -> Result<Labels, DataError> {
    let train = &dataset.tables.train;
    let of_card = dataset.card.as_ref().and_then(|card| card.labels.clone());
    let mut of_file = None;
    if let Some(table) = train.first() {
        of_file = table.columns[table.column(column)?].class_names.clone();
    }
    let Some(names) = of_card.or(of_file) else {
        return Labels::observed(train, column);
    };
    let tables = &dataset.tables;
    for table in [train, &tables.validation, &tables.test].into_iter().flatten() {
        let schema = &table.columns[table.column(column)?].class_names;
        if let Some(schema) = schema.as_ref().filter(|schema| **schema != names) {
            let reason = format!("its classes are {schema:?}, those of the dataset {names:?}");
            return Err(DataError::broken(&table.file, None, reason));
        }
    }
    Ok(Labels::given(names))
}

/// Reads all rows and cuts the missing splits out of train.
fn place_rows(
    dataset: DatasetTables,
    roles: &ColumnNames,
    labels: &Labels,
) -> Result<TextClassificationData, DataError> {
    let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
    let rows = |tables: Vec<Table>| -> Result<Vec<LabelledText>, DataError> {
        let mut rows = Vec::new();
        for table in tables {
            rows.extend(read_rows(table, roles, labels, policy)?);
        }
        Ok(rows)
    };
    let mut train = Vec::new();
    let mut validation = rows(dataset.tables.validation)?;
    let mut test = rows(dataset.tables.test)?;
    for row in rows(dataset.tables.train)? {
        match dataset.held_out.place(&row.key()) {
            Place::Train => train.push(row),
            Place::Validation => validation.push(row),
            Place::Test => test.push(row),
        }
    }
    Ok(TextClassificationData {
        name: dataset.name,
        card: dataset.card,
        resolved: dataset.resolved,
        columns: roles.clone(),
        label_names: labels.names.clone(),
        train,
        validation,
        test,
        full_train_rows: 0,
        leaked: 0,
    })
}

fn read_rows(
    mut table: Table,
    roles: &ColumnNames,
    labels: &Labels,
    policy: Unlabelled,
) -> Result<Vec<LabelledText>, DataError> {
    let text = table.column(&roles.text)?;
    let pair = roles.text_pair.as_ref().map(|pair| table.column(pair)).transpose()?;
    let label = table.column(&roles.label)?;
    let mut rows = Vec::with_capacity(table.rows.len());
    let mut unlabelled = Vec::new();
    for index in 0..table.rows.len() {
        let row = index + 1;
        let place = CellPlace { file: &table.file, row, column: &roles.label };
        let Some(label) = labels.id(&table.rows[index][label], &place)? else {
            unlabelled.push(row);
            continue;
        };
        let pair = match (pair, &roles.text_pair) {
            (Some(column), Some(name)) => Some(take_text(&mut table, index, column, name)?),
            _ => None,
        };
        let text = take_text(&mut table, index, text, &roles.text)?;
        rows.push(LabelledText { text, pair, label, row });
    }
    match unlabelled.first() {
        Some(first) if policy == Unlabelled::Error => Err(DataError::Unlabelled {
            file: table.file,
            row: *first,
            column: roles.label.clone(),
            count: unlabelled.len(),
        }),
        _ => Ok(rows),
    }
}

/// Takes a text out of its table: a dataset's texts need not be in memory twice.
fn take_text(table: &mut Table, index: usize, column: usize, name: &str) -> Result<String, DataError> {
    match std::mem::replace(&mut table.rows[index][column], Value::Null) {
        Value::Text(text) => Ok(text),
        other => Err(DataError::NotText {
            file: table.file.clone(),
            row: index + 1,
            column: name.to_string(),
            found: other.kind(),
        }),
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

fn check_splits(data: &TextClassificationData) -> Result<(), DataError> {
    check_not_empty(data, "give it files of its own, or more rows to hold out from")?;
    let label = data.train[0].label;
    if data.train.iter().all(|row| row.label == label) {
        return Err(DataError::OneClass {
            dataset: data.name.clone(),
            label: data.label_names[label].clone(),
        });
    }
    Ok(())
}

fn check_not_empty(data: &TextClassificationData, remedy: &'static str) -> Result<(), DataError> {
    let splits = [("train", &data.train), ("validation", &data.validation), ("test", &data.test)];
    match splits.into_iter().find(|(_, rows)| rows.is_empty()) {
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
