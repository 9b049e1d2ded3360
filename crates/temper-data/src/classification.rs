//! Text classification: tables to labelled texts in three splits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use temper_hub::{Hub, Resolved};

use crate::card::{Task, Unlabelled};
use crate::columns::ColumnChoice;
use crate::labels::{Labels, Place, given_names};
use crate::readers::{FileReport, Row};
use crate::rows::{DatasetRows, Record, RowsRequest, TableReader, TableRows, load_rows};
use crate::{DataError, DatasetCard, DatasetTables, Table, TextInput};

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
}

impl Record for LabelledText {
    /// A pair's texts stand with a TAB between.
    fn key(&self) -> Cow<'_, str> {
        match &self.pair {
            Some(pair) => format!("{}\t{pair}", self.text).into(),
            None => Cow::from(&self.text),
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
    fn rows(&self) -> RowsRequest {
        RowsRequest {
            name_or_path: self.name_or_path.clone(),
            card_directories: self.card_directories.clone(),
            columns: self.columns(),
            seed: self.seed,
            max_train_samples: self.max_train_samples,
            max_eval_samples: self.max_eval_samples,
            max_test_samples: self.max_test_samples,
        }
    }

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
/// Everything that [`load_tables`](crate::load_tables) reports; labels that are missing, of a wrong kind or out of
/// range; a quoted field that holds rows; an empty split; a training split, or a subset of it, of one class.
pub fn load_text_classification(
    hub: &Hub,
    request: &DatasetRequest,
) -> Result<TextClassificationData, DataError> {
    let (mut dataset, reader) =
        load_rows(hub, &request.rows(), Task::TextClassification, LabelledTextReader::new)?;
    let LabelledTextReader { columns, labels, .. } = reader;
    dataset.notices.splice(..0, labels.notices);
    Ok(TextClassificationData {
        name: dataset.name,
        card: dataset.card,
        resolved: dataset.resolved,
        columns,
        label_names: labels.names,
        train: dataset.train,
        validation: dataset.validation,
        test: dataset.test,
        full_train_rows: dataset.full_train_rows,
        leaked: dataset.leaked,
        unlabelled: dataset.unlabelled,
        files: dataset.files,
        notices: dataset.notices,
    })
}

/// Reads texts and their labels.
struct LabelledTextReader {
    columns: ColumnNames,
    labels: Labels,
    policy: Unlabelled,
}

impl LabelledTextReader {
    fn new(dataset: &DatasetTables) -> Result<Self, DataError> {
        let columns = ColumnNames::of_roles(&dataset.columns);
        let labels = match given_names(dataset, &columns.label)? {
            Some(names) => Labels::given(names),
            None => Labels::observed(&dataset.tables.train, &columns.label)?,
        };
        let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
        Ok(Self { columns, labels, policy })
    }

    /// Refuses quoted fields whose lines would be rows with labels of this dataset; others that look
    /// like rows are told.
    fn check_fields(&self, table: &Table) -> Result<Option<String>, DataError> {
        let label = table.column(&self.columns.label);
        for lines in &table.report.swallowed {
            let values = label.map_or(&[][..], |label| &lines.values[label]);
            let known = values.iter().filter(|value| self.labels.knows(value)).count();
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

    fn read_rows(&self, table: &Table) -> Result<Vec<LabelledText>, DataError> {
        let place_of = |name: &String| table.column(name).map(|index| (index, name.clone()));
        let (Some(text), Some(label)) = (place_of(&self.columns.text), place_of(&self.columns.label)) else {
            return Err(DataError::broken(&table.file, None, "a column is missing"));
        };
        let pair = self.columns.text_pair.as_ref().and_then(place_of);
        let typed = table.columns[label.0].typed;
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut unlabelled = Vec::new();
        for Row { number, cells } in &table.rows {
            let (file, row) = (&table.file, *number);
            let place = Place { file, row, column: &label.1, typed };
            let Some(class) = self.labels.id(&cells[label.0], &place)? else {
                unlabelled.push(row);
                continue;
            };
            let text_of = |(index, name): &(usize, String)| cells[*index].to_text(file, row, name);
            let (text, pair) = (text_of(&text)?, pair.as_ref().map(text_of).transpose()?);
            rows.push(LabelledText { text, pair, label: class, row });
        }
        match unlabelled.first() {
            Some(first) if self.policy == Unlabelled::Error => Err(DataError::Unlabelled {
                file: table.file.clone(),
                row: *first,
                column: label.1,
                count: unlabelled.len(),
            }),
            _ => Ok(rows),
        }
    }
}

impl TableReader for LabelledTextReader {
    type Record = LabelledText;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<LabelledText>, DataError> {
        let notices = self.check_fields(&table)?.into_iter().collect();
        let rows = self.read_rows(&table)?;
        Ok(TableRows { unlabelled: table.rows.len() - rows.len(), rows, notices })
    }

    fn check(&self, dataset: &DatasetRows<LabelledText>) -> Result<(), DataError> {
        let train = &dataset.train;
        let Some(first) = train.first() else { return Ok(()) };
        if train.iter().any(|row| row.label != first.label) {
            return Ok(());
        }
        let (dataset_name, label) = (dataset.name.clone(), self.labels.names[first.label].clone());
        if train.len() < dataset.full_train_rows {
            return Err(DataError::OneClassInSubset { dataset: dataset_name, label, rows: train.len() });
        }
        Err(DataError::OneClass { dataset: dataset_name, label })
    }
}
