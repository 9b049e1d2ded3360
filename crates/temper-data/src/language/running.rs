//! Plain text files: each is one running text, cut into splits by position.

use super::Document;
use crate::readers::read_text_file;
use crate::rows::DatasetRows;
use crate::{DataError, DatasetTables, Format, Table};

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
    let [cuts_validation, cuts_test] = [validation.is_empty(), test.is_empty()];
    for document in &mut train {
        if cuts_test {
            test.push(cut_off_end(document, SHARE));
        }
        if cuts_validation {
            let rest = if cuts_test { SHARE / (1.0 - SHARE) } else { SHARE };
            validation.push(cut_off_end(document, rest));
        }
    }
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
        leaked: 0,
        unlabelled: 0,
        unreadable: Vec::new(),
        files: all.map(|table| table.report).collect(),
        notices: Vec::new(),
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
