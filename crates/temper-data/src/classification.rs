//! Text classification: tables to labelled texts in three splits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use temper_hub::Hub;

use crate::card::{Task, Unlabelled};
use crate::labels::{Labels, Place, given_names};
use crate::readers::Row;
use crate::rows::{DatasetRows, Record, RowsRequest, TableReader, TableRows, load_rows};
use crate::{DataError, DatasetTables, Table, TextInput};

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
    /// The texts. Columns have the roles text, label and, for pairs, text_pair.
    pub rows: DatasetRows<LabelledText>,
    /// Names of the classes 0, 1, ...
    pub label_names: Vec<String>,
}

/// Loads a dataset as labelled texts.
///
/// # Errors
/// Everything that [`load_tables`](crate::load_tables) reports; labels that are missing, of a wrong kind or out of
/// range; a quoted field that holds rows; an empty split; a training split, or a subset of it, of one class.
pub fn load_text_classification(
    hub: &Hub,
    request: &RowsRequest,
) -> Result<TextClassificationData, DataError> {
    let (mut rows, reader) = load_rows(hub, request, Task::TextClassification, LabelledTextReader::new)?;
    rows.notices.splice(..0, reader.labels.notices);
    Ok(TextClassificationData { rows, label_names: reader.labels.names })
}

/// Reads texts and their labels.
struct LabelledTextReader {
    /// Columns by role.
    columns: BTreeMap<String, String>,
    labels: Labels,
    policy: Unlabelled,
}

impl LabelledTextReader {
    fn new(dataset: &DatasetTables) -> Result<Self, DataError> {
        let columns = dataset.columns.clone();
        let label = columns.get("label").map_or("label", String::as_str);
        let labels = match given_names(dataset, label)? {
            Some(names) => Labels::given(names),
            None => Labels::observed(&dataset.tables.train, label)?,
        };
        let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
        Ok(Self { columns, labels, policy })
    }

    /// Where the column of a role stands in a table, and its name.
    fn place(&self, table: &Table, role: &str) -> Option<(usize, String)> {
        let name = self.columns.get(role)?;
        Some((table.column(name)?, name.clone()))
    }

    /// Refuses quoted fields whose lines would be rows with labels of this dataset; others that look
    /// like rows are told.
    fn check_fields(&self, table: &Table) -> Result<Option<String>, DataError> {
        let label = self.place(table, "label").map(|(index, _)| index);
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
        let (Some(text), Some(label)) = (self.place(table, "text"), self.place(table, "label")) else {
            return Err(DataError::broken(&table.file, None, "a column is missing"));
        };
        let pair = self.place(table, "text_pair");
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
