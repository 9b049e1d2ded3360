//! From label cells to class ids.
//!
//! A csv file does not distinguish numbers from text. As in pandas, its labels are numbers if every one
//! is: then `1` and `1.0` are one class. Otherwise, and where a file has strings, labels that are
//! written differently are different classes: `007` and `7` have two names.

mod cell;
mod error;
pub(crate) mod numbers;
mod observed;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

pub use self::error::LabelError;

use self::cell::{LabelCell, number_of, read};
use self::observed::ObservedCells;
use crate::{DataError, DatasetTables, Table, Value};

/// The classes of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels {
    /// Names by id.
    pub names: Vec<String>,
    /// What the user should know of them.
    pub notices: Vec<String>,
    kind: Naming,
    ids: HashMap<String, usize>,
}

/// What label cells are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Names that a card or a schema gives: a number that is no name is an id.
    Given,
    /// Numbers that occur: `1.0` is `1`.
    Numbers,
    /// Names that occur, as they are written.
    Names,
}

/// What a label cell cannot be, and what else its place needs for a message.
pub(crate) struct LabelPlace<'a> {
    pub file: &'a Path,
    pub row: usize,
    pub column: &'a str,
    /// Whether the file distinguishes numbers from text.
    pub typed: bool,
}

/// The names that a card gives to the classes, or else the schema of the first training file; all files have to
/// agree with it.
pub(crate) fn given_names(dataset: &DatasetTables, column: &str) -> Result<Option<Vec<String>>, DataError> {
    let of_table =
        |table: &Table| table.column(column).and_then(|index| table.columns[index].class_names.clone());
    let tables = &dataset.tables;
    let of_card = dataset.card.as_ref().and_then(|card| card.labels.clone());
    let Some(names) = of_card.or_else(|| tables.train.first().and_then(of_table)) else {
        return Ok(None);
    };
    for table in [&tables.train, &tables.validation, &tables.test].into_iter().flatten() {
        if let Some(schema) = of_table(table).filter(|schema| *schema != names) {
            let reason = format!("its classes are {schema:?}, those of the dataset {names:?}");
            return Err(DataError::broken(&table.file, None, reason));
        }
    }
    Ok(Some(names))
}

/// The labels of a cell: the entries of a list, the parts of a text between separators, or the cell itself.
pub(crate) fn entries<'a>(value: &'a Value, separator: Option<&str>) -> Cow<'a, [Value]> {
    match (value, separator) {
        (Value::List(labels), _) => Cow::from(labels),
        (Value::Text(text), Some(separator)) if !separator.is_empty() => {
            let parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| Value::Text(part.into())).collect()
        }
        (value, _) => Cow::from(std::slice::from_ref(value)),
    }
}

impl Labels {
    /// Classes named by a card or by the files' schema.
    pub fn given(names: Vec<String>) -> Self {
        Self::new(names, Vec::new(), Naming::Given)
    }

    fn new(names: Vec<String>, notices: Vec<String>, kind: Naming) -> Self {
        // Of a name that was given twice, the first is meant.
        let ids = names.iter().cloned().enumerate().rev().map(|(id, name)| (name, id)).collect();
        Self { names, notices, kind, ids }
    }

    /// Classes as they occur in the label column: numbers in their order, else names in theirs. A list has a label in
    /// each entry.
    pub fn observed(tables: &[Table], column: &str, separator: Option<&str>) -> Result<Self, DataError> {
        let mut found = ObservedCells::default();
        for table in tables {
            let Some(index) = table.column(column) else { continue };
            let typed = table.columns[index].typed;
            for row in &table.rows {
                let place = LabelPlace { file: &table.file, row: row.number, column, typed };
                for label in entries(&row.cells[index], separator).iter() {
                    found.add(read(label, &place)?, &place)?;
                }
            }
        }
        Ok(found.labels())
    }

    /// How many different numbers the labels are, where they look like measurements and not like classes.
    pub fn measurements(&self) -> Option<usize> {
        /// Classes with numbers for names are few: the stars of a review, or ids.
        const MOST_CLASSES: usize = 100;
        const MOST_FRACTIONS: usize = 20;
        let has_fractions = self.names.iter().any(|name| name.contains('.'));
        let most = if has_fractions { MOST_FRACTIONS } else { MOST_CLASSES };
        let count = self.names.len();
        (self.kind == Naming::Numbers && count > most).then_some(count)
    }

    /// The class id of a cell; `None` for a cell without a label.
    pub fn id(&self, value: &Value, place: &LabelPlace<'_>) -> Result<Option<usize>, DataError> {
        let (name, found) = match read(value, place)? {
            LabelCell::Unlabelled => return Ok(None),
            LabelCell::Truth(truth) => {
                (truth.to_string(), self.by_name(&truth.to_string()).or(self.by_id(i64::from(truth))))
            }
            LabelCell::Number(number) => {
                let found = self.by_name(&number).or_else(|| self.by_id(number.parse().ok()?));
                (number, found)
            }
            LabelCell::Name(text) | LabelCell::Written(text) => {
                let found = self.by_name(&text).or_else(|| self.of_text(&text));
                (text, found)
            }
        };
        let unknown = || {
            DataError::from(LabelError::LabelOutOfRange {
                file: place.file.to_path_buf(),
                row: place.row,
                label: name,
                names: self.names.clone(),
            })
        };
        found.map(Some).ok_or_else(unknown)
    }

    /// True if a text is the name of one of these labels.
    pub fn knows(&self, text: &str) -> bool {
        self.by_name(text).or_else(|| self.of_text(text)).is_some()
    }

    fn by_name(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied()
    }

    fn by_id(&self, number: i64) -> Option<usize> {
        usize::try_from(number).ok().filter(|id| self.kind == Naming::Given && *id < self.names.len())
    }

    /// A text that is no name as it is: a number in another form, an id, a name with spaces.
    fn of_text(&self, text: &str) -> Option<usize> {
        match self.kind {
            Naming::Names => None,
            Naming::Numbers => self.by_name(&number_of(text)?),
            Naming::Given => self.by_name(text.trim()).or_else(|| self.by_id(number_of(text)?.parse().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::{FileReport, Row};
    use crate::{Column, Format};

    fn observed(column: Column, labels: Vec<Value>) -> Result<Labels, DataError> {
        let row = |(index, label)| Row { number: index + 1, cells: vec![label] };
        let table = Table {
            file: "rows.csv".into(),
            columns: vec![column],
            rows: labels.into_iter().enumerate().map(row).collect(),
            report: FileReport::new(Path::new("rows.csv"), Format::Csv),
        };
        Labels::observed(&[table], "label", None)
    }

    fn typed(labels: Vec<Value>) -> Labels {
        observed(Column::plain("label"), labels).unwrap()
    }

    fn written(labels: &[&str]) -> Labels {
        observed(Column::untyped("label"), labels.iter().map(|label| text(label)).collect()).unwrap()
    }

    fn id(labels: &Labels, value: Value) -> Result<Option<usize>, DataError> {
        let place = LabelPlace { file: Path::new("rows.csv"), row: 7, column: "label", typed: false };
        labels.id(&value, &place)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn given() -> Labels {
        Labels::given(vec!["neg".into(), "pos".into()])
    }

    #[test]
    fn given_names_take_ids_and_names() {
        assert_eq!(id(&given(), Value::Int(1)).unwrap(), Some(1));
        assert_eq!(id(&given(), text("pos")).unwrap(), Some(1));
        assert_eq!(id(&given(), text("0")).unwrap(), Some(0));
        assert_eq!(id(&given(), Value::Float(1.0)).unwrap(), Some(1));
    }

    #[test]
    fn null_empty_and_minus_one_are_unlabelled() {
        for value in [Value::Null, text(" "), Value::Int(-1), text("-1")] {
            assert_eq!(id(&given(), value).unwrap(), None);
        }
    }

    fn label_error(error: DataError) -> LabelError {
        match error {
            DataError::Labels(error) => *error,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_label_out_of_range_names_the_row_and_the_classes() {
        for value in [Value::Int(2), Value::Int(-2), text("positive")] {
            let message = id(&given(), value).unwrap_err().to_string();
            assert!(message.contains("row 7"), "{message}");
            assert!(message.contains("2 classes (`neg`, `pos`)"), "{message}");
        }
        let error = label_error(id(&given(), Value::Float(0.5)).unwrap_err());
        assert!(matches!(error, LabelError::BadLabel { row: 7, .. }), "{error}");
    }

    #[test]
    fn observed_names_are_sorted_as_text_or_as_numbers() {
        let labels = typed(vec![text("sport"), text("art"), text("sport"), Value::Null]);
        assert_eq!(labels.names, ["art", "sport"]);

        let labels = written(&["10", "2", "1", "-1", ""]);
        assert_eq!(labels.names, ["1", "2", "10"]);
        assert_eq!(id(&labels, Value::Int(2)).unwrap(), Some(1), "a name, not an id");
        assert!(id(&labels, Value::Int(0)).is_err());
    }

    #[test]
    fn strings_that_are_written_differently_are_different_classes() {
        let labels = typed(vec![text("007"), text("7"), text("08")]);
        assert_eq!(labels.names, ["007", "08", "7"]);
        assert_eq!(id(&labels, text("7")).unwrap(), Some(2));
        assert!(labels.notices[0].contains("`007`, `7` are kept apart"), "{:?}", labels.notices);
    }

    #[test]
    fn whole_numbers_of_a_text_file_are_one_class_in_both_forms() {
        let labels = written(&["0", "1", "0.0", "1.0"]);
        assert_eq!(labels.names, ["0", "1"]);
        for (label, class) in [("0", 0), ("0.0", 0), ("1.00", 1), (" 1", 1), ("-0", 0)] {
            assert_eq!(id(&labels, text(label)).unwrap(), Some(class), "{label}");
        }
        assert!(labels.notices[0].contains("`0.0` is the class `0`"), "{:?}", labels.notices);
        assert!(id(&labels, text("01")).is_err());
    }

    #[test]
    fn a_label_of_a_text_file_that_is_no_number_makes_all_of_them_names() {
        assert_eq!(written(&["007", "7", "7.0"]).names, ["007", "7", "7.0"]);
        assert_eq!(written(&["1", "1.0", "many"]).names, ["1", "1.0", "many"]);
        assert_eq!(written(&["0.5", "0.50", "1"]).names, ["0.5", "0.50", "1"]);
        assert_eq!(written(&["00501", "00502"]).names, ["00501", "00502"]);
    }

    #[test]
    fn numbers_and_truth_values_of_a_typed_file_are_classes() {
        let labels = typed(vec![Value::Float(0.0), Value::Int(0), Value::Int(1), Value::Float(1.0)]);
        assert_eq!(labels.names, ["0", "1"]);
        let labels = typed(vec![Value::Bool(true), Value::Bool(false)]);
        assert_eq!(labels.names, ["false", "true"]);
        assert_eq!(id(&labels, Value::Bool(true)).unwrap(), Some(1));
        assert_eq!(id(&given(), Value::Bool(true)).unwrap(), Some(1));
    }

    #[test]
    fn kinds_of_labels_do_not_mix() {
        for (left, right) in
            [(Value::Int(1), text("1")), (Value::Bool(true), Value::Int(1)), (text("a"), Value::Bool(true))]
        {
            let error = label_error(observed(Column::plain("label"), vec![left, right]).unwrap_err());
            assert!(matches!(error, LabelError::MixedLabels { row: 2, first_row: 1, .. }), "{error}");
        }
    }

    #[test]
    fn names_that_differ_in_white_space_or_case_are_kept_apart_with_a_notice() {
        let labels = written(&["pos", "pos ", "Pos", "neg", "None"]);
        assert_eq!(labels.names, ["None", "Pos", "neg", "pos", "pos "]);
        assert_eq!(labels.notices.len(), 2, "{:?}", labels.notices);
        assert!(labels.notices[0].contains("`Pos`, `pos`, `pos `"), "{:?}", labels.notices);
        assert!(labels.notices[1].contains("`None`"), "{:?}", labels.notices);
    }
}
