//! The tags of a dataset: their names, ids and scheme.

use std::collections::{BTreeSet, HashMap};

use super::entries::{self, FileRow, WrittenTag};
use super::scheme::Evidence;
use super::{TagColumns, TagScheme, spans};
use crate::labels::given_names;
use crate::readers::split_tag;
use crate::{DataError, DatasetTables, LabelError, Table};

/// Where names come from, in words for a message.
const GIVEN: &str = "its card or its files name";
const OBSERVED: &str = "its train split has";

/// What is said of numbers without names.
const NUMBERS: &str = "the tags are numbers without names, so that their sequences are not checked; `labels` in a \
                       dataset card can name them";

/// The tags of a dataset.
#[derive(Debug)]
pub(super) struct Tags {
    /// Names by id.
    pub names: Vec<String>,
    /// How they mark entities.
    pub scheme: TagScheme,
    /// What the user should know of them.
    pub notices: Vec<String>,
    /// Where the names come from.
    pub origin: &'static str,
    ids: HashMap<String, usize>,
}

impl Tags {
    /// The tags of a dataset: those that its card or its files name, else those that occur in train.
    ///
    /// Of the latter, `O` comes first, then types in the order of their code points, each with all marks of the
    /// scheme: B, I, then E and S, or L and U. A mark that train does not have with a type may occur in test. Tags
    /// without a scheme are in the order of their code points, or numbers in theirs, after `O`.
    pub fn of(dataset: &DatasetTables, source: &TagColumns) -> Result<Self, DataError> {
        match source {
            TagColumns::Lists { tags, .. } => Self::of_lists(dataset, tags),
            TagColumns::Spans { spans, .. } => Self::of_spans(dataset, spans),
        }
    }

    fn new(names: Vec<String>, origin: &'static str, (scheme, notice): (TagScheme, Option<String>)) -> Self {
        // Of a name that was given twice, the first is meant.
        let ids = names.iter().cloned().enumerate().rev().map(|(id, name)| (name, id)).collect();
        Self { names, scheme, notices: notice.into_iter().collect(), origin, ids }
    }

    fn of_lists(dataset: &DatasetTables, column: &str) -> Result<Self, DataError> {
        let tables = &dataset.tables;
        let given = given_names(dataset, column)?;
        let observed = match given {
            Some(_) => BTreeSet::new(),
            None => observed(&tables.train, column)?,
        };
        let mut evidence = Evidence::default();
        given.iter().flatten().chain(&observed).for_each(|name| evidence.add_name(name));
        for table in [&tables.train, &tables.validation, &tables.test].into_iter().flatten() {
            each_row(table, column, |tags, _| {
                let name = |tag: &WrittenTag<'_>| match (tag, &given) {
                    (WrittenTag::Id(id), Some(names)) => {
                        usize::try_from(*id).ok().and_then(|id| names.get(id).cloned()).unwrap_or_default()
                    }
                    (tag, _) => tag.name(),
                };
                let names: Vec<String> = tags.iter().map(name).collect();
                evidence.add_sentence(&names.iter().map(String::as_str).collect::<Vec<_>>());
                Ok(())
            })?;
        }
        let scheme = evidence.scheme();
        Ok(match given {
            Some(names) => Self::new(names, GIVEN, scheme),
            None => {
                let names = ordered(&observed, scheme.0);
                let are_numbers = !names.is_empty() && names.iter().all(|name| name.parse::<i64>().is_ok());
                let mut tags = Self::new(names, OBSERVED, scheme);
                tags.notices.extend(are_numbers.then(|| NUMBERS.to_string()));
                tags
            }
        })
    }

    fn of_spans(dataset: &DatasetTables, column: &str) -> Result<Self, DataError> {
        let scheme = (TagScheme::Bio, None);
        if let Some(names) = given_names(dataset, column)? {
            return Ok(Self::new(names, GIVEN, scheme));
        }
        let mut found = BTreeSet::new();
        for table in &dataset.tables.train {
            let Some(index) = table.column(column) else { continue };
            for row in &table.rows {
                let place = FileRow { file: &table.file, row: row.number };
                let spans = spans::read(&row.cells[index], place, column)?.unwrap_or_default();
                found.extend(spans.into_iter().map(|span| format!("B-{}", span.label)));
            }
        }
        Ok(Self::new(ordered(&found, TagScheme::Bio), OBSERVED, scheme))
    }

    /// The id of a tag, if it is one of these.
    pub fn id(&self, tag: &WrittenTag<'_>) -> Option<usize> {
        match tag {
            WrittenTag::Name(name) => self.by_name(name),
            WrittenTag::Id(id) if self.origin == GIVEN => {
                usize::try_from(*id).ok().filter(|id| *id < self.names.len())
            }
            WrittenTag::Id(id) => self.by_name(&id.to_string()),
        }
    }

    /// The id of a name.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied()
    }
}

/// Shows the tags of each row with its number.
fn each_row(
    table: &Table,
    column: &str,
    mut show: impl FnMut(&[WrittenTag<'_>], usize) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let Some(index) = table.column(column) else { return Ok(()) };
    for row in &table.rows {
        let place = FileRow { file: &table.file, row: row.number };
        show(&entries::tags(&row.cells[index], place, column)?, row.number)?;
    }
    Ok(())
}

/// The tags that occur. Numbers and names do not mix.
fn observed(tables: &[Table], column: &str) -> Result<BTreeSet<String>, DataError> {
    let mut names = BTreeSet::new();
    let mut first: Option<(&'static str, usize)> = None;
    for table in tables {
        each_row(table, column, |tags, row| {
            for tag in tags {
                let (kind, first_row) = *first.get_or_insert((tag.kind(), row));
                if kind != tag.kind() {
                    return Err(DataError::from(LabelError::MixedLabels {
                        file: table.file.clone(),
                        row,
                        column: column.to_string(),
                        found: tag.kind(),
                        first: kind,
                        first_row,
                    }));
                }
                names.insert(tag.name());
            }
            Ok(())
        })?;
    }
    Ok(names)
}

/// Tags that occur in the order of their ids.
fn ordered(found: &BTreeSet<String>, scheme: TagScheme) -> Vec<String> {
    if scheme == TagScheme::Plain {
        let number = |name: &String| name.parse::<i64>().unwrap_or(0);
        let mut names: Vec<String> = found.iter().cloned().collect();
        if found.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(number);
        }
        names.sort_by_key(|name| name != "O");
        return names;
    }
    let kinds: BTreeSet<&str> = found
        .iter()
        .filter_map(|tag| split_tag(tag))
        .filter(|(mark, _)| *mark != 'O')
        .map(|(_, kind)| kind)
        .collect();
    let tag = |mark: &char, kind: &str| match kind {
        "" => mark.to_string(),
        kind => format!("{mark}-{kind}"),
    };
    let marked = kinds.into_iter().flat_map(|kind| scheme.marks().iter().map(move |mark| tag(mark, kind)));
    std::iter::once("O".to_string()).chain(marked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_occur_are_ordered_by_type_and_mark_behind_o() {
        let names =
            |found: &[&str], scheme| ordered(&found.iter().map(|tag| tag.to_string()).collect(), scheme);
        assert_eq!(
            names(&["I-PER", "O", "B-PER", "B-LOC"], TagScheme::Bio),
            ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
        );
        assert_eq!(names(&["S-X"], TagScheme::Bioes), ["O", "B-X", "I-X", "E-X", "S-X"]);
        assert_eq!(names(&["U-X"], TagScheme::Bilou), ["O", "B-X", "I-X", "L-X", "U-X"]);
        assert_eq!(names(&["I", "O"], TagScheme::Iob1), ["O", "B", "I"]);
        assert_eq!(names(&["VB", "NN", "O"], TagScheme::Plain), ["O", "NN", "VB"]);
        assert_eq!(names(&["10", "2", "0"], TagScheme::Plain), ["0", "2", "10"]);
    }
}
