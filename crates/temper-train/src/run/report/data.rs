//! What the run learned from and was scored on.

use super::html::{count, details, table};
use crate::charts::{Anchor, Canvas, GRID, Label, Line, MUTED, SERIES, Scale, escape, text_width};
use temper_data::{DataReport, SplitReport};

/// Labels whose counts are shown; of more, the most common.
const LABELS: usize = 20;
/// Bars of the histogram.
const BARS: usize = 24;

/// Splits, lengths, labels, what was dropped, files and notices. `lengths` are the tokens of each training example as
/// the model reads it, `longest` is what it may have.
pub(super) fn data(report: &DataReport, lengths: &[u32], longest: usize) -> String {
    let files: Vec<String> = report.files.iter().map(ToString::to_string).collect();
    let listed = |items: &[String]| -> String {
        let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
        format!("<ul>{items}</ul>")
    };
    let files =
        if files.is_empty() { String::new() } else { details("Files as they were read", &listed(&files)) };
    let notices = if report.notices.is_empty() { String::new() } else { listed(&report.notices) };
    format!(
        "<p>{}</p><p>{}</p>{}{notices}<div class=\"charts\">{}{}</div>{files}",
        escape(&report.sources_in_words()),
        escape(&dropped(report)),
        splits(&report.splits),
        labels(&report.splits),
        histogram(lengths, longest)
    )
}

/// How many rows there were, and which of them were not used.
fn dropped(report: &DataReport) -> String {
    let mut said = vec![format!(
        "Dataset {}: {} training rows before any subset",
        report.dataset,
        count(report.full_train_rows)
    )];
    said.push(format!(
        "{} rows of train and validation dropped because test has the same text",
        count(report.leaked)
    ));
    if report.unlabelled > 0 {
        said.push(format!("{} rows dropped because they have no label", count(report.unlabelled)));
    }
    if !report.unreadable.is_empty() {
        said.push(format!("{} rows left out because they cannot be read", count(report.unreadable.len())));
    }
    said.join("; ") + "."
}

fn splits(splits: &[SplitReport]) -> String {
    let row = |split: &SplitReport| {
        let estimate = if split.lost_is_estimate { "about " } else { "" };
        vec![
            split.split.to_owned(),
            count(split.examples),
            count(split.tokens_total),
            format!("{:.0}", split.mean),
            count(split.p95),
            count(split.longest),
            format!("{}\u{a0}({:.1}\u{a0}%)", count(split.truncated_examples), split.truncated_percent),
            format!("{estimate}{}", count(split.tokens_lost)),
        ]
    };
    let header = [
        "split",
        "examples",
        "tokens",
        "mean tokens",
        "95 % within",
        "longest",
        "cut",
        "tokens lost by that",
    ];
    table(&header, &splits.iter().map(row).collect::<Vec<_>>())
}

/// The share of each label in each split, as a bar beside its count.
fn labels(splits: &[SplitReport]) -> String {
    let Some(train) = splits.first().filter(|split| !split.label_counts.is_empty()) else {
        return String::new();
    };
    let mut shown: Vec<usize> = (0..train.label_counts.len()).collect();
    shown.sort_by_key(|&label| (std::cmp::Reverse(train.label_counts[label].1), label));
    let left = shown.len().saturating_sub(LABELS);
    shown.truncate(LABELS);
    let header: Vec<&str> = ["label"].into_iter().chain(splits.iter().map(|split| split.split)).collect();
    let row = |label: usize| {
        let mut cells = vec![escape(&train.label_counts[label].0)];
        cells.extend(splits.iter().map(|split| {
            let number = split.label_counts.get(label).map_or(0, |(_, number)| *number);
            let share = number as f64 / split.examples.max(1) as f64;
            format!("<span class=\"share\" style=\"--share:{:.3}\">{}</span>", share.min(1.0), count(number))
        }));
        cells
    };
    let rows: Vec<Vec<String>> = shown.into_iter().map(row).collect();
    let more = if left > 0 { format!("<p>and {left} less common labels</p>") } else { String::new() };
    format!("<figure class=\"labels\">{}{more}</figure>", table(&header, &rows))
}

/// How long the training examples are.
fn histogram(lengths: &[u32], longest: usize) -> String {
    const WIDTH: f64 = 460.0;
    const HEIGHT: f64 = 220.0;
    const LEFT: f64 = 54.0;
    let (Some(&most), foot) = (lengths.iter().max(), HEIGHT - 44.0) else { return String::new() };
    let width = (most as usize + 1).div_ceil(BARS).max(1);
    let mut bars = vec![0usize; (most as usize) / width + 1];
    for &length in lengths {
        bars[length as usize / width] += 1;
    }
    let highest = bars.iter().copied().max().unwrap_or(1) as f64;
    let y = Scale::rounded(0.0, highest, 4, (foot, 34.0));
    let x = Scale::exact(0.0, (bars.len() * width) as f64, 6, (LEFT, WIDTH - 16.0));
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    canvas.text(Label::new(6.0, 18.0, "Length of training examples").bold().sized(13.0));
    for (place, text) in y.ticks() {
        canvas.line((LEFT, place), (WIDTH - 16.0, place), Line::new(GRID, 1.0));
        canvas.text(Label::small(LEFT - 6.0, place + 4.0, &text).anchored(Anchor::End));
    }
    for (place, text) in x.ticks() {
        let at = place.min(WIDTH - text_width(&text, 11.0) / 2.0);
        canvas.text(Label::small(at, foot + 16.0, &text).anchored(Anchor::Middle));
    }
    for (number, &examples) in bars.iter().enumerate().filter(|(_, examples)| **examples > 0) {
        let (from, to) = (number * width, (number + 1) * width);
        let left = x.place(from as f64);
        let size = (x.place(to as f64) - left - 1.0, foot - y.place(examples as f64));
        let tooltip = format!("{from} to {} tokens: {examples} examples", to - 1);
        canvas.bar((left, y.place(examples as f64)), size, SERIES[0], &tooltip);
    }
    canvas.line((LEFT, foot), (WIDTH - 16.0, foot), Line::new(MUTED, 1.0));
    let axis = format!("tokens; at most {} are read at once", count(longest));
    canvas.text(Label::small((LEFT + WIDTH - 16.0) / 2.0, HEIGHT - 8.0, &axis).anchored(Anchor::Middle));
    canvas.upright(Label::small(12.0, (34.0 + foot) / 2.0, "examples"));
    let title = format!("Length of {} training examples in tokens, the longest {most}", lengths.len());
    format!("<figure>{}</figure>", canvas.element(&title, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    #[test]
    fn every_example_is_in_a_bar() {
        let svg = histogram(&[1, 1, 30, 64], 64);
        for part in
            ["0 to 2 tokens: 2 examples", "30 to 32 tokens: 1 examples", "63 to 65 tokens: 1 examples"]
        {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        for lengths in [vec![1, 1, 30, 64], vec![100_000], vec![1; 100_000]] {
            assert_inside(&histogram(&lengths, 64));
        }
        assert_eq!(histogram(&[], 64), "");
        assert!(histogram(&[5; 3], 8).contains("5 to 5 tokens: 3 examples"));
    }
}
