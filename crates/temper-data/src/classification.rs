//! Text classification: tables to labelled texts in three splits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use temper_hub::Hub;

use crate::card::Unlabelled;
use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::labels::{LabelError, LabelPlace, Labels, entries, given_names, numbers};
use crate::readers::Row;
use crate::request::RowsRequest;
use crate::rows::{DatasetRows, Record, TableReader, TableRows, load_rows};
use crate::{DataError, DatasetTables, Table, TaskKind, TextInput, Value};

/// What the label of a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// One class.
    One,
    /// Any number of classes.
    Several,
    /// A number, or a list of numbers.
    Number,
}

/// The label of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum TextLabel {
    /// A class, an index into the label names.
    One(usize),
    /// Classes in ascending order, each once; perhaps none.
    Several(Vec<usize>),
    /// Numbers, as many as there are label names.
    Numbers(Vec<f32>),
}

/// What to load.
#[derive(Debug, Clone, Default)]
pub struct LabelRequest {
    /// The dataset. Columns have the roles text, label and, for pairs, text_pair.
    pub rows: RowsRequest,
    /// What labels are. By default a list is any number of classes, and anything else is one class.
    pub kind: Option<LabelKind>,
    /// What is between several labels where a cell is text.
    pub separator: Option<String>,
}

/// A text with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// The second text of a pair.
    pub pair: Option<String>,
    /// Its label.
    pub label: TextLabel,
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
    /// A pair's texts are separated by a TAB.
    fn key(&self) -> Cow<'_, str> {
        match &self.pair {
            Some(pair) => format!("{}\t{pair}", self.text).into(),
            None => Cow::from(&self.text),
        }
    }

    fn label(&self) -> Option<usize> {
        match self.label {
            TextLabel::One(label) => Some(label),
            TextLabel::Several(_) | TextLabel::Numbers(_) => None,
        }
    }
}

/// A dataset, ready to be encoded.
#[derive(Debug, Clone)]
pub struct TextClassificationData {
    /// The texts. Columns have the roles text, label and, for pairs, text_pair.
    pub rows: DatasetRows<LabelledText>,
    /// Names of the classes 0, 1, ...; of numbers, that of their column.
    pub label_names: Vec<String>,
    /// What labels are.
    pub kind: LabelKind,
}

/// Loads a dataset as labelled texts.
///
/// # Errors
/// Everything that [`load_tables`](crate::load_tables) reports; labels that are missing, of a wrong kind or out of
/// range; a quoted field that holds rows; an empty split; a training split, or a subset of it, of one class.
pub fn load_text_classification(
    hub: &Hub,
    request: &LabelRequest,
) -> Result<TextClassificationData, DataError> {
    let new = |dataset: &DatasetTables| LabelledTextReader::new(dataset, request);
    let (mut rows, reader) = load_rows(hub, &request.rows, TaskKind::TextClassification, new)?;
    let LabelledTextReader { labels, kind, .. } = reader;
    rows.notices.splice(..0, labels.notices);
    Ok(TextClassificationData { rows, label_names: labels.names, kind })
}

/// Examines a dataset as labelled texts: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_text_classification`].
pub fn examine_text_classification(
    hub: &Hub,
    request: &LabelRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    let new = |dataset: &DatasetTables| LabelledTextReader::new(dataset, request);
    examine_rows(hub, &request.rows, TaskKind::TextClassification, measure, new)
}

impl Examined for LabelledText {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let pair = self.pair.as_ref().map(|pair| ("text_pair", Cow::from(pair)));
        [("text", Cow::from(&self.text))].into_iter().chain(pair).collect()
    }

    fn target(&self, labels: &[String]) -> String {
        match &self.label {
            TextLabel::Numbers(numbers) => format!("{numbers:?}"),
            _ => names_of(&self.labels(), labels),
        }
    }

    fn labels(&self) -> Vec<usize> {
        match &self.label {
            TextLabel::One(label) => vec![*label],
            TextLabel::Several(labels) => labels.clone(),
            TextLabel::Numbers(_) => Vec::new(),
        }
    }
}

impl KnowsLabels for LabelledTextReader {
    fn label_names(&self) -> &[String] {
        if self.kind == LabelKind::Number { &[] } else { &self.labels.names }
    }

    fn notices(&self) -> Vec<String> {
        self.labels.notices.clone()
    }
}

/// Names with commas between.
fn names_of(ids: &[usize], names: &[String]) -> String {
    ids.iter().map(|&id| names[id].as_str()).collect::<Vec<_>>().join(", ")
}

/// Reads texts and their labels.
struct LabelledTextReader {
    /// Columns by role.
    columns: BTreeMap<String, String>,
    labels: Labels,
    kind: LabelKind,
    separator: Option<String>,
    policy: Unlabelled,
}

impl LabelledTextReader {
    fn new(dataset: &DatasetTables, request: &LabelRequest) -> Result<Self, DataError> {
        let columns = dataset.columns.clone();
        let label = columns.get("label").map_or("label", String::as_str);
        let train = &dataset.tables.train;
        let is_list = |table: &Table| {
            let index = table.column(label)?;
            table.rows.iter().find_map(|row| match &row.cells[index] {
                Value::Null => None,
                value => Some(matches!(value, Value::List(_))),
            })
        };
        let has_lists = request.separator.is_some() || train.iter().find_map(is_list) == Some(true);
        let kind = request.kind.unwrap_or(if has_lists { LabelKind::Several } else { LabelKind::One });
        let separator = request.separator.clone();
        let labels = match (kind, given_names(dataset, label)?) {
            (LabelKind::Number, _) => Labels::given(numbers::names(train, label)),
            (_, Some(names)) => Labels::given(names),
            (_, None) => Labels::observed(train, label, separator.as_deref())?,
        };
        // Someone who wants so many classes says so.
        if request.kind.is_none()
            && kind == LabelKind::One
            && let Some(count) = labels.measurements()
        {
            return Err(DataError::from(LabelError::NumbersAsLabels {
                dataset: dataset.name.clone(),
                column: label.to_owned(),
                count,
            }));
        }
        let policy = dataset.card.as_ref().map_or(Unlabelled::Error, |card| card.unlabelled);
        Ok(Self { columns, labels, kind, separator, policy })
    }

    /// The label of a cell; `None` for a cell without one.
    fn label(&self, value: &Value, place: &LabelPlace<'_>) -> Result<Option<TextLabel>, DataError> {
        match self.kind {
            LabelKind::One => Ok(self.labels.id(value, place)?.map(TextLabel::One)),
            LabelKind::Number => {
                let numbers = numbers::read(value, self.labels.names.len(), place)?;
                Ok(numbers.map(TextLabel::Numbers))
            }
            LabelKind::Several => {
                if *value == Value::Null {
                    return Ok(None);
                }
                let entries = entries(value, self.separator.as_deref());
                let ids = entries.iter().map(|entry| self.labels.id(entry, place));
                // An empty entry is no label.
                let mut ids: Vec<usize> = ids.filter_map(Result::transpose).collect::<Result<_, _>>()?;
                ids.sort_unstable();
                ids.dedup();
                Ok(Some(TextLabel::Several(ids)))
            }
        }
    }

    /// Where the column of a role is in a table, and its name.
    fn place(&self, table: &Table, role: &str) -> Option<(usize, String)> {
        let name = self.columns.get(role)?;
        Some((table.column(name)?, name.clone()))
    }

    /// Refuses quoted fields whose lines would be rows with labels of this dataset; others that look
    /// like rows are reported.
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
            let place = LabelPlace { file, row, column: &label.1, typed };
            let Some(of_text) = self.label(&cells[label.0], &place)? else {
                unlabelled.push(row);
                continue;
            };
            let text_of = |(index, name): &(usize, String)| cells[*index].to_text(file, row, name);
            let (text, pair) = (text_of(&text)?, pair.as_ref().map(text_of).transpose()?);
            rows.push(LabelledText { text, pair, label: of_text, row });
        }
        match unlabelled.first() {
            Some(first) if self.policy == Unlabelled::Error => Err(DataError::from(LabelError::Unlabelled {
                file: table.file.clone(),
                row: *first,
                column: label.1,
                count: unlabelled.len(),
            })),
            _ => Ok(rows),
        }
    }
}

impl TableReader for LabelledTextReader {
    type Record = LabelledText;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<LabelledText>, DataError> {
        let notices = self.check_fields(&table)?.into_iter().collect();
        let rows = self.read_rows(&table)?;
        Ok(TableRows { unlabelled: table.rows.len() - rows.len(), rows, doubts: Vec::new(), notices })
    }

    fn check(&self, dataset: &DatasetRows<LabelledText>) -> Result<(), DataError> {
        let train = &dataset.train;
        let Some(first) = train.first() else { return Ok(()) };
        if train.iter().any(|row| row.label != first.label) {
            return Ok(());
        }
        let label = first.target(&self.labels.names);
        let dataset_name = dataset.name.clone();
        if train.len() < dataset.full_train_rows {
            return Err(DataError::from(LabelError::OneClassInSubset {
                dataset: dataset_name,
                label,
                rows: train.len(),
            }));
        }
        Err(DataError::from(LabelError::OneClass { dataset: dataset_name, label }))
    }
}
