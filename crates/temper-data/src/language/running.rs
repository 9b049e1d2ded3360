//! Plain text files: each is one running text, cut into splits by position.

use super::Document;
use crate::readers::read_text_file;
use crate::rows::DatasetRows;
use crate::{DataError, DatasetTables, Format, HeldOut, SplitOrigin, SplitSource, Table};

/// The share of a text that becomes a split which the files do not have.
const SHARE: f64 = 0.1;

/// Whether all files of a dataset are plain text.
pub(super) fn is_running(dataset: &DatasetTables) -> bool {
    let tables = &dataset.tables;
    let mut all = tables.train.iter().chain(&tables.validation).chain(&tables.test);
    all.all(|table| table.report.format == Format::Text)
}

/// The texts of each split.
pub(super) fn split(dataset: DatasetTables) -> Result<DatasetRows<Document>, DataError> {
    let tables = dataset.tables;
    let read = |tables: &[Table]| -> Result<Vec<Document>, DataError> {
        tables.iter().map(|table| Ok(Document::whole(read_text_file(&table.file)?, 1))).collect()
    };
    let (mut train, mut validation, mut test) =
        (read(&tables.train)?, read(&tables.validation)?, read(&tables.test)?);
    let splits = &dataset.splits;
    if splits.stratify {
        let reason =
            "--stratify is for examples with labels, and a running text has none; leave it out".into();
        return Err(DataError::Splits { dataset: dataset.name, reason });
    }
    let share = |files: &[Document], asked: f64| match (files.is_empty(), asked > 0.0) {
        (false, _) => 0.0,
        (true, true) => asked,
        (true, false) => SHARE,
    };
    let HeldOut { test: of_test, validation: of_validation } = dataset.held_out;
    let (of_test, of_validation) = (share(&test, of_test), share(&validation, of_validation));
    for document in &mut train {
        if of_test > 0.0 {
            test.push(cut_off_end(document, of_test));
        }
        if of_validation > 0.0 {
            validation.push(cut_off_end(document, of_validation / (1.0 - of_test)));
        }
    }
    let source = |named: Option<&String>, share: f64, texts: &[Document]| SplitSource {
        origin: SplitOrigin::of(named, (share > 0.0).then_some(SplitOrigin::End { share })),
        examples_before_limit: texts.len(),
    };
    let validation_source = source(splits.validation_file.as_ref(), of_validation, &validation);
    let test_source = source(splits.test_file.as_ref(), of_test, &test);
    let empty = [("train", &train), ("validation", &validation), ("test", &test)];
    if let Some((split, _)) =
        empty.iter().find(|(_, texts)| texts.iter().all(|text| text.text.trim().is_empty()))
    {
        let remedy = "give it its own file, or a longer text to cut it from";
        return Err(DataError::EmptySplit { dataset: dataset.name, split, remedy });
    }
    let all = tables.validation.into_iter().chain(tables.test).chain(tables.train);
    Ok(DatasetRows {
        name: dataset.name,
        card: dataset.card,
        resolved: dataset.resolved,
        columns: dataset.columns,
        full_train_rows: train.len(),
        train,
        validation,
        test,
        validation_source,
        test_source,
        leaked: 0,
        unlabelled: 0,
        unreadable: Vec::new(),
        files: all.map(|table| table.report).collect(),
        notices: dataset.notices,
    })
}

/// Cuts a share off the end of a text, after the line end that is nearest before; without one, between two characters.
fn cut_off_end(text: &mut Document, share: f64) -> Document {
    let wanted = (text.text.len() as f64 * (1.0 - share)) as usize;
    let place = (0..=wanted).rev().find(|&place| text.text.is_char_boundary(place)).unwrap_or(0);
    let cut = text.text[..place].rfind('\n').map_or(place, |line_end| line_end + 1);
    let row = text.row + text.text[..cut].matches('\n').count();
    Document::whole(text.text.split_off(cut), row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_behind_a_line() {
        let mut text = Document::whole("one\ntwo\nthree\nfour\nfive\n".into(), 1);
        let end = cut_off_end(&mut text, 0.3);
        assert_eq!(
            (text.text.as_str(), end.text.as_str(), end.row),
            ("one\ntwo\nthree\n", "four\nfive\n", 4)
        );
        let mut text = Document::whole("éééééééééé".into(), 1);
        let end = cut_off_end(&mut text, 0.25);
        assert_eq!((text.text.as_str(), end.text.as_str()), ("ééééééé", "ééé"));
    }
}
