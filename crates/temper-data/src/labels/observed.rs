//! The classes that occur in label columns.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{LabelCell, number_of};
use super::{LabelError, LabelPlace, Labels, Naming};
use crate::DataError;

/// Groups of similar names that are reported.
const TOLD: usize = 5;

/// The label cells of a dataset, as far as they were read.
#[derive(Default)]
pub(super) struct ObservedCells {
    numbers: BTreeSet<String>,
    names: BTreeSet<String>,
    written: BTreeSet<String>,
    truths: BTreeSet<bool>,
    /// What the first cells were, in words for a message, and the row of the first.
    first: Option<(&'static str, usize)>,
}

impl ObservedCells {
    pub fn add(&mut self, cell: LabelCell, place: &LabelPlace<'_>) -> Result<(), DataError> {
        let kind = match &cell {
            LabelCell::Unlabelled => return Ok(()),
            LabelCell::Truth(_) => "truth values",
            LabelCell::Number(_) => "numbers",
            LabelCell::Name(_) => "strings",
            LabelCell::Written(_) => "text",
        };
        let (first, first_row) = *self.first.get_or_insert((kind, place.row));
        if first != kind {
            return Err(DataError::from(LabelError::MixedLabels {
                file: place.file.to_path_buf(),
                row: place.row,
                column: place.column.to_string(),
                found: kind,
                first,
                first_row,
            }));
        }
        match cell {
            LabelCell::Unlabelled => false,
            LabelCell::Truth(truth) => self.truths.insert(truth),
            LabelCell::Number(number) => self.numbers.insert(number),
            LabelCell::Name(name) => self.names.insert(name),
            LabelCell::Written(text) => self.written.insert(text),
        };
        Ok(())
    }

    pub fn labels(mut self) -> Labels {
        let mut notices = Vec::new();
        let as_numbers: Option<Vec<String>> = self.written.iter().map(|text| number_of(text)).collect();
        let kind = match as_numbers {
            Some(numbers) if self.names.is_empty() && self.truths.is_empty() => {
                if let Some((text, number)) =
                    self.written.iter().zip(&numbers).find(|(text, number)| text != number)
                {
                    notices.push(format!("the labels are numbers: `{text}` is the class `{number}`"));
                }
                self.numbers.extend(numbers);
                Naming::Numbers
            }
            _ => Naming::Names,
        };
        let mut names: Vec<String> = self.truths.iter().map(bool::to_string).collect();
        match kind {
            Naming::Numbers => names.extend(self.numbers),
            _ => names.extend(self.names.into_iter().chain(self.written)),
        }
        let numbers: Option<Vec<f64>> = names.iter().map(|name| number_of(name)?.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut ordered: Vec<(f64, String)> = numbers.into_iter().zip(names).collect();
            ordered.sort_by(|left, right| left.0.total_cmp(&right.0).then_with(|| left.1.cmp(&right.1)));
            names = ordered.into_iter().map(|(_, name)| name).collect();
        }
        notices.extend(similar(&names));
        Labels::new(names, notices, kind)
    }
}

/// Names that are perhaps one class, or none.
fn similar(names: &[String]) -> Vec<String> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        let plain = name.trim().to_lowercase();
        let key = plain
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map_or(plain, |number| number.to_string());
        groups.entry(key).or_default().push(format!("`{name}`"));
    }
    let alike = groups.values().filter(|group| group.len() > 1).map(|group| {
        let group = group.join(", ");
        format!("the labels {group} are kept apart: they differ in white space, case or the form of a number")
    });
    let missing = ["nan", "none", "null"].into_iter().filter_map(|key| groups.get(key)).map(|group| {
        format!(
            "the label {} is a class; if it means that there is no label, leave those fields empty",
            group[0]
        )
    });
    alike.chain(missing).take(TOLD).collect()
}
