//! Text to text: a source with the text that is to be written of it.

use std::borrow::Cow;

use temper_hub::Hub;

use crate::examine::{Diagnosis, Examined, KnowsLabels, Measure, examine_rows};
use crate::request::RowsRequest;
use crate::rows::{DatasetRows, Record, TableReader, TableRows, load_rows};
use crate::{DataError, DatasetTables, Table, TaskKind};

/// A source and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPair {
    /// What is read.
    pub source: String,
    /// What is to be written.
    pub target: String,
    /// The row in its file, from 1.
    pub row: usize,
}

impl Record for TextPair {
    const GROUP: &'static str = "source";

    /// Both texts with a TAB between.
    fn key(&self) -> Cow<'_, str> {
        format!("{}\t{}", self.source, self.target).into()
    }

    /// The source: its targets stay together.
    fn group(&self) -> Cow<'_, str> {
        Cow::from(&self.source)
    }
}

impl Examined for TextPair {
    fn texts(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        vec![("source", Cow::from(&self.source)), ("target", Cow::from(&self.target))]
    }

    /// A source may have several targets.
    fn target(&self, _labels: &[String]) -> String {
        String::new()
    }

    fn labels(&self) -> Vec<usize> {
        Vec::new()
    }
}

/// Loads a dataset as pairs of source and target.
///
/// # Errors
/// Everything that [`load_rows`] reports; an empty source or target.
pub fn load_text_to_text(hub: &Hub, request: &RowsRequest) -> Result<DatasetRows<TextPair>, DataError> {
    Ok(load_rows(hub, request, TaskKind::TextToText, |dataset| Ok(PairReader::new(dataset)))?.0)
}

/// Examines a dataset as pairs of source and target: what may be wrong with it.
///
/// # Errors
/// What concerns no single row, as for [`load_text_to_text`].
pub fn examine_text_to_text(
    hub: &Hub,
    request: &RowsRequest,
    measure: Option<Measure<'_>>,
) -> Result<Diagnosis, DataError> {
    examine_rows(hub, request, TaskKind::TextToText, measure, |dataset| Ok(PairReader::new(dataset)))
}

/// Reads pairs; the names of the columns of source and target.
struct PairReader {
    source: String,
    target: String,
}

impl PairReader {
    fn new(dataset: &DatasetTables) -> Self {
        let name = |role: &str| dataset.columns.get(role).cloned().unwrap_or_else(|| role.to_owned());
        Self { source: name("source"), target: name("target") }
    }
}

impl KnowsLabels for PairReader {
    fn label_names(&self) -> &[String] {
        &[]
    }
}

impl TableReader for PairReader {
    type Record = TextPair;

    fn read(&mut self, table: Table, _split: &'static str) -> Result<TableRows<TextPair>, DataError> {
        let (Some(source), Some(target)) = (table.column(&self.source), table.column(&self.target)) else {
            return Err(DataError::broken(&table.file, None, "a column is missing"));
        };
        let mut rows = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let text = |place: usize, name: &str| -> Result<String, DataError> {
                let text = row.cells[place].to_text(&table.file, row.number, name)?;
                match text.trim().is_empty() {
                    true => {
                        let reason = format!("the {name} is empty; fill or remove the row");
                        Err(DataError::broken(&table.file, Some(row.number), reason))
                    }
                    false => Ok(text),
                }
            };
            let (source, target) = (text(source, &self.source)?, text(target, &self.target)?);
            rows.push(TextPair { source, target, row: row.number });
        }
        Ok(TableRows { rows, unlabelled: 0, doubts: Vec::new(), notices: Vec::new() })
    }
}
