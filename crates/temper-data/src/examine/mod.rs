//! What may be wrong with a dataset, found before anything is trained on it.

mod asked;
mod copies;
mod counts;
mod damage;
mod finding;
mod near;
mod placed;

use std::fmt;

use serde::Serialize;
use temper_hub::Hub;

pub(crate) use self::asked::{Examined, KnowsLabels};
pub use self::counts::Lengths;
pub use self::finding::{Finding, FindingKind, Severity, Spot};

use self::finding::SPLITS;

use self::placed::{ExaminedSplits, Placing, all};
use crate::dataset::{DatasetTables, load_tables};
use crate::request::RowsRequest;
use crate::rows::{TableReader, place_rows};
use crate::{DataError, EncodeSettings, FileReport, TaskKind, TextTokenizer, Truncation, encode_all};

/// How texts are measured in tokens.
#[derive(Debug, Clone, Copy)]
pub struct Measure<'a> {
    /// The model's.
    pub tokenizer: &'a TextTokenizer,
    /// Tokens of an example at most, special tokens included.
    pub max_length: usize,
}

/// A split in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitOutline {
    /// train, validation or test.
    pub split: &'static str,
    /// Rows that can be read.
    pub rows: usize,
    /// In how many of them each label occurs, in the order of the ids; empty where there are no labels.
    pub label_counts: Vec<(String, usize)>,
    /// Lengths of the texts, those of a row together.
    pub lengths: Lengths,
}

/// A dataset, examined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The dataset's name or path.
    pub dataset: String,
    /// The requested dataset, if this is only its stand-in.
    pub stand_in_for: Option<String>,
    /// The task that it was read for.
    pub task: &'static str,
    /// Names of the labels 0, 1, ...
    pub labels: Vec<String>,
    /// The files, and what their readers decided.
    pub files: Vec<FileReport>,
    /// train, validation and test, as a run has them before it drops leaks.
    pub splits: Vec<SplitOutline>,
    /// What was found, errors first.
    pub findings: Vec<Finding>,
    /// What else the readers said.
    pub notices: Vec<String>,
}

impl Diagnosis {
    /// How many findings there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Adds a finding in its place.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
        // Stable: those of one severity stay in their order.
        self.findings.sort_by_key(|finding| finding.severity);
    }
}

/// Tokens that no text has.
const LONGEST: usize = 1 << 30;

/// Reads a dataset row by row and examines what can be read of it. Limits of the request are not applied.
pub(crate) fn examine_rows<T>(
    hub: &Hub,
    request: &RowsRequest,
    task: TaskKind,
    measure: Option<Measure<'_>>,
    reader: impl FnOnce(&DatasetTables) -> Result<T, DataError>,
) -> Result<Diagnosis, DataError>
where
    T: TableReader<Record: Examined + Sync> + KnowsLabels,
{
    let dataset = load_tables(hub, request, task)?;
    let mut reader = reader(&dataset)?;
    let mut placing = Placing::new(&mut reader);
    let data = place_rows(dataset, &mut placing)?;
    let mut findings = placing.findings();

    let labels = reader.label_names().to_vec();
    let splits: ExaminedSplits<'_, T::Record> = [&data.train, &data.validation, &data.test];
    let counts = splits.map(|rows| counts::of_labels(rows, labels.len()));
    findings.extend(copies::find(&splits, &labels));
    findings.extend(near::find(&splits));
    findings.extend(damage::find(&splits));
    findings.extend(counts::find(&splits, &counts, &labels));
    let (lengths, unit) = lengths(&splits, measure)?;
    if let Some(Measure { max_length, .. }) = measure {
        findings.extend(counts::too_long(&splits, &lengths, max_length, task));
    }
    let outline = |index: usize| SplitOutline {
        split: SPLITS[index],
        rows: splits[index].len(),
        label_counts: labels.iter().cloned().zip(counts[index].iter().copied()).collect(),
        lengths: counts::lengths(&lengths[index], unit),
    };
    let mut diagnosis = Diagnosis {
        dataset: data.name.clone(),
        stand_in_for: data.resolved.as_ref().and_then(|resolved| resolved.stand_in_for.clone()),
        task: task.name(),
        splits: (0..SPLITS.len()).map(outline).collect(),
        labels,
        files: data.files.clone(),
        findings: Vec::new(),
        notices: reader.notices().into_iter().chain(data.notices.clone()).collect(),
    };
    findings.into_iter().for_each(|finding| diagnosis.add(finding));
    if let Err(error) = data.map(|placed| placed.record).settle(&reader) {
        diagnosis.add(Finding::of_dataset(FindingKind::Untrainable, 1, &error.to_string()));
    }
    Ok(diagnosis)
}

/// How long the texts of each row are together, and in what.
fn lengths<R: Examined>(
    splits: &ExaminedSplits<'_, R>,
    measure: Option<Measure<'_>>,
) -> Result<([Vec<usize>; 3], &'static str), DataError> {
    let Some(Measure { tokenizer, .. }) = measure else {
        let characters = |row: &R| row.texts().iter().map(|(_, text)| text.chars().count()).sum();
        let of_split = |rows: &[placed::Placed<R>]| rows.iter().map(|row| characters(&row.record)).collect();
        return Ok((splits.map(of_split), "characters"));
    };
    let texts: Vec<Vec<_>> = all(splits).map(|(_, row)| row.record.texts()).collect();
    let inputs: Vec<_> = texts
        .iter()
        .map(|texts| (texts.first().map_or("", |(_, text)| text), texts.get(1).map(|(_, text)| &**text)))
        .collect();
    // Nothing is cut, so that every length is what it is.
    let settings = EncodeSettings { max_length: LONGEST, truncation: Truncation::Head };
    let mut lengths = encode_all(tokenizer, &inputs, &settings, None)?.lengths().into_iter();
    let of_split = |rows: &[placed::Placed<R>]| {
        lengths.by_ref().take(rows.len()).map(|length| length as usize).collect()
    };
    Ok((splits.map(of_split), "tokens"))
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dataset, task, .. } = self;
        writeln!(f, "dataset {dataset}: {task}")?;
        if let Some(asked) = &self.stand_in_for {
            writeln!(f, "  standing in for {asked}")?;
        }
        for SplitOutline { split, rows, label_counts, lengths } in &self.splits {
            let labels: Vec<String> =
                label_counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) };
            let Lengths { unit, mean, p95, longest } = lengths;
            writeln!(
                f,
                "  {split:<10} {rows:>7} rows{labels}; {unit}: mean {mean:.0}, 95 % within {p95}, longest {longest}"
            )?;
        }
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        self.notices.iter().try_for_each(|notice| writeln!(f, "note              {notice}"))?;
        let [errors, warnings, notes] =
            [Severity::Error, Severity::Warning, Severity::Note].map(|severity| self.count(severity));
        write!(f, "{errors} kinds of errors, {warnings} of warnings, {notes} of notes")
    }
}
