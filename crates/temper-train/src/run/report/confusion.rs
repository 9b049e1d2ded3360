//! The confusion matrix with rates, and the labels one by one.

use super::html::{count, details, paragraph, score, table};
use crate::charts::escape;
use temper_metrics::ConfusionMatrix;

/// The most labels whose matrix is shown: of more, those that are confused most.
const SHOWN: usize = 20;
/// Up to so many labels a cell has room for counts, too.
const WITH_COUNTS: usize = 8;
/// Kinds of errors in the list.
const LISTED: usize = 20;

/// The matrix, the most frequent errors where there are many labels, and the scores of each label.
pub(super) fn confusion(matrix: &ConfusionMatrix) -> String {
    let labels = matrix.labels.len();
    let shown = most_confused(matrix);
    let said = match labels > SHOWN {
        true => format!(
            "Of {labels} labels, the {SHOWN} with the most errors. Each row is a true label: what share of its examples was given which label."
        ),
        false => "Each row is a true label: what share of its examples was given which label.".to_owned(),
    };
    let errors = if labels > WITH_COUNTS { frequent_errors(matrix) } else { String::new() };
    format!("{}{}{errors}{}", paragraph(&said), grid(matrix, &shown), by_label(matrix))
}

/// The labels that have most to do with errors, in the order of their ids.
fn most_confused(matrix: &ConfusionMatrix) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..matrix.labels.len()).collect();
    if labels.len() > SHOWN {
        let errors = |label: usize| {
            let counts = matrix.counts_of(label);
            counts.predicted + counts.support - 2 * counts.correct
        };
        labels.sort_by_key(|&label| (std::cmp::Reverse(errors(label)), label));
        labels.truncate(SHOWN);
        labels.sort_unstable();
    }
    labels
}

fn grid(matrix: &ConfusionMatrix, shown: &[usize]) -> String {
    let is_part = shown.len() < matrix.labels.len();
    let mut header: String = shown.iter().map(|&label| heading("col", &matrix.labels[label])).collect();
    if is_part {
        header += &heading("col", "other labels");
    }
    header += &heading("col", "examples");
    let rows = shown.iter().map(|&truth| {
        let support = matrix.counts_of(truth).support;
        let cell = |predicted: usize| MatrixCell {
            count: matrix.count(truth, predicted),
            support,
            is_right: truth == predicted,
            with_count: shown.len() <= WITH_COUNTS,
        };
        let mut cells: String = shown.iter().map(|&predicted| cell(predicted).markup()).collect();
        if is_part {
            let others = support - shown.iter().map(|&label| matrix.count(truth, label)).sum::<usize>();
            cells += &MatrixCell { count: others, is_right: false, ..cell(truth) }.markup();
        }
        format!("<tr>{}{cells}<td>{}</td></tr>", heading("row", &matrix.labels[truth]), count(support))
    });
    let upright = if shown.len() > WITH_COUNTS { " upright" } else { "" };
    format!(
        "<div class=\"scroll\"><table class=\"matrix{upright}\"><thead><tr><td class=\"corner\">true \u{2193} predicted \u{2192}</td>{header}</tr></thead><tbody>{}</tbody></table></div>",
        rows.collect::<String>()
    )
}

fn heading(scope: &str, label: &str) -> String {
    let label = escape(label);
    format!("<th scope=\"{scope}\" title=\"{label}\"><span>{label}</span></th>")
}

struct MatrixCell {
    count: usize,
    support: usize,
    is_right: bool,
    with_count: bool,
}

impl MatrixCell {
    /// The share of the row, on a ground as strong as that: blue where it is right, orange where it is wrong.
    fn markup(&self) -> String {
        let Self { count, support, is_right, with_count } = *self;
        if count == 0 {
            return "<td class=\"none\">0</td>".into();
        }
        let rate = count as f64 / support.max(1) as f64;
        let kind = if is_right { "right" } else { "wrong" };
        let counted = if with_count { format!("<small>{count}</small>") } else { String::new() };
        format!(
            "<td class=\"{kind}\" style=\"--rate:{rate:.3}\" title=\"{count} of {support}\">{}{counted}</td>",
            rate_text(rate)
        )
    }
}

/// A rate in whole percent; only all is 100 and only none 0.
fn rate_text(rate: f64) -> String {
    match (100.0 * rate).round() {
        _ if rate < 0.005 => "&lt;1%".into(),
        percent if percent >= 100.0 && rate < 1.0 => "&gt;99%".into(),
        percent => format!("{percent}%"),
    }
}

fn frequent_errors(matrix: &ConfusionMatrix) -> String {
    let errors = matrix.errors();
    if errors.is_empty() {
        return String::new();
    }
    let label = |id: usize| escape(&matrix.labels[id]);
    let rows = errors.iter().take(LISTED).map(|&(truth, predicted, number)| {
        let support = matrix.counts_of(truth).support;
        let rate = rate_text(number as f64 / support.max(1) as f64);
        vec![label(truth), label(predicted), count(number), format!("{rate} of {}", count(support))]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let kinds = errors.len();
    let title = match rows.len() == kinds {
        true => "All kinds of errors".to_owned(),
        false => format!("The {} most frequent of {kinds} kinds of errors", rows.len()),
    };
    details(&title, &table(&["true", "predicted", "examples", "share of the true label"], &rows))
}

fn by_label(matrix: &ConfusionMatrix) -> String {
    let row = |(label, name): (usize, &String)| {
        let scores = matrix.counts_of(label).scores();
        let mut cells = vec![escape(name)];
        cells.extend([scores.precision, scores.recall, scores.f1].map(score));
        cells.push(count(scores.support));
        cells
    };
    let rows: Vec<Vec<String>> = matrix.labels.iter().enumerate().map(row).collect();
    details("Scores of each label", &table(&["label", "precision", "recall", "F1", "examples"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(labels: usize, pairs: &[(usize, usize)]) -> ConfusionMatrix {
        let names: Vec<String> = (0..labels).map(|label| format!("<l{label}>")).collect();
        ConfusionMatrix::new(&names, pairs.iter().copied())
    }

    #[test]
    fn cells_have_rates_of_their_row_and_counts() {
        let page = confusion(&matrix(2, &[(0, 0), (0, 0), (0, 0), (0, 1), (1, 1)]));
        for part in ["title=\"3 of 4\">75%<small>3</small>", "title=\"1 of 4\">25%", ">100%<", "&lt;l0&gt;"] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<l0>") && page.contains("class=\"none\">0<"), "{page}");
    }

    #[test]
    fn of_many_labels_the_most_confused_are_shown() {
        // Labels 0 to 29, of which 10 to 29 are confused with their neighbours.
        let mut pairs: Vec<(usize, usize)> = (0..30).map(|label| (label, label)).collect();
        pairs.extend((10..30).map(|label| (label, 10 + (label + 1 - 10) % 20)));
        let matrix = matrix(30, &pairs);
        assert_eq!(most_confused(&matrix), (10..30).collect::<Vec<_>>());
        let page = confusion(&matrix);
        for part in ["Of 30 labels, the 20", "other labels", "All kinds of errors"] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn only_all_is_a_hundred_percent() {
        assert_eq!([1.0, 0.999, 0.001, 0.5].map(rate_text), ["100%", "&gt;99%", "&lt;1%", "50%"]);
    }
}
