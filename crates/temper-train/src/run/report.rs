//! report.html: self-contained, no scripts.

use std::path::Path;

use plotters::prelude::*;

use crate::tasks::{ScoreTable, Scores};
use crate::training::JournalRow;
use crate::{Results, TrainError};
use temper_metrics::ConfusionMatrix;

/// What a report shows beside the results.
pub(crate) struct ReportInput<'a> {
    pub(crate) title: &'a str,
    pub(crate) results: &'a Results,
    pub(crate) rows: &'a [JournalRow],
    /// What trained, as an SVG element.
    pub(crate) figure: &'a str,
    /// Text and explanation of the worst errors.
    pub(crate) worst: &'a [(String, String)],
}

/// Writes the report.
pub(crate) fn write_report(path: &Path, input: &ReportInput<'_>) -> Result<(), TrainError> {
    let train = |pick: fn(&crate::training::StepRow) -> f64| -> Vec<(f64, f64)> {
        let rows = input.rows.iter().filter_map(|row| match row {
            JournalRow::Train(row) => Some((row.step as f64, pick(row))),
            JournalRow::Eval(_) | JournalRow::Checkpoint(_) => None,
        });
        rows.collect()
    };
    let headline = input.results.test.headline_name();
    let validation: Vec<(f64, f64)> = input.rows.iter().filter_map(|row| evaluated(row, headline)).collect();
    let plots = [
        plot("Training loss", &train(|row| row.loss)),
        plot(&format!("Validation {headline}"), &validation),
        plot("Learning rate", &train(|row| row.learning_rate)),
    ];
    let plots =
        plots.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| TrainError::file(path, error))?;
    let html = page(input, &plots.concat());
    Ok(temper_files::write(path, html.as_bytes())?)
}

fn evaluated(row: &JournalRow, metric: &str) -> Option<(f64, f64)> {
    let JournalRow::Eval(row) = row else { return None };
    let (_, value) = row.metrics.iter().find(|(name, _)| name == metric)?;
    Some((row.step as f64, *value))
}

fn page(input: &ReportInput<'_>, plots: &str) -> String {
    let results = input.results;
    let title = escape(input.title);
    let stand_in = match &results.model_stand_in_for {
        Some(wanted) => format!("<p>The model stands in for {}.</p>", escape(wanted)),
        None => String::new(),
    };
    let data = escape(&results.data.to_string());
    let figure = input.figure;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1>{stand_in}<h2>Test</h2>{}<h2>Curves</h2>{plots}<h2>What trained</h2>{figure}\
         {}{}<h2>Worst errors</h2>{}<h2>Data</h2><pre>{data}</pre></html>\n",
        scores(results),
        confusion(&results.test),
        results.test.tables.iter().map(table).collect::<String>(),
        worst(input.worst),
    )
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3em .7em;text-align:right}\
    td.text,th{text-align:left}pre{white-space:pre-wrap}svg{max-width:100%;height:auto}";

fn scores(results: &Results) -> String {
    let test = &results.test;
    let mut rows: Vec<(String, String)> =
        test.metrics.iter().map(|(name, value)| (name.clone(), format!("{value:.4}"))).collect();
    if let Some([low, high]) = test.interval {
        rows.push((format!("{}, 95 % interval", test.headline_name()), format!("{low:.4} to {high:.4}")));
    }
    rows.push((test.baseline_name.into(), format!("{:.4}", test.baseline)));
    rows.push(("strategy".into(), escape(&results.strategy)));
    let share = 100.0 * results.trainable_parameters as f64 / results.total_parameters.max(1) as f64;
    rows.push(("parameters that trained".into(), format!("{} ({share:.2} %)", results.trainable_parameters)));
    rows.push(("optimiser steps".into(), results.steps.to_string()));
    rows.push(("training time".into(), format!("{:.0} s", results.training_seconds)));
    rows.push(("tokens a second".into(), format!("{:.0}", results.tokens_per_second)));
    let rows: String =
        rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>")).collect();
    format!("<table>{rows}</table>")
}

fn confusion(scores: &Scores) -> String {
    /// The most labels whose matrix fits a page.
    const SHOWN_LABELS: usize = 30;
    match &scores.confusion {
        None => String::new(),
        Some(matrix) if matrix.labels.len() <= SHOWN_LABELS => {
            format!("<h2>Confusion matrix</h2>{}", whole_matrix(matrix))
        }
        Some(matrix) => format!("<h2>Confusion matrix</h2>{}", frequent_errors(matrix)),
    }
}

fn whole_matrix(matrix: &ConfusionMatrix) -> String {
    let counts = matrix.dense();
    let most = counts.iter().flatten().copied().max().unwrap_or(1).max(1) as f64;
    let header: String = matrix.labels.iter().map(|label| format!("<th>{}</th>", escape(label))).collect();
    let rows = matrix.labels.iter().zip(&counts).map(|(label, counts)| {
        let cells: String = counts
            .iter()
            .map(|&count| {
                let shade = 0.8 * count as f64 / most;
                format!("<td style=\"background:rgba(70,130,180,{shade:.2})\">{count}</td>")
            })
            .collect();
        format!("<tr><th>{}</th>{cells}</tr>", escape(label))
    });
    format!("<table><tr><th>true \\ predicted</th>{header}</tr>{}</table>", rows.collect::<String>())
}

fn frequent_errors(matrix: &ConfusionMatrix) -> String {
    const SHOWN: usize = 50;
    let errors = matrix.errors();
    let label = |id: usize| escape(&matrix.labels[id]);
    let rows = errors.iter().take(SHOWN).map(|&(truth, predicted, count)| {
        format!("<tr><th>{}</th><th>{}</th><td>{count}</td></tr>", label(truth), label(predicted))
    });
    let shown = errors.len().min(SHOWN);
    format!(
        "<p>The {shown} most frequent of {} kinds of errors; results.json has all.</p>\
         <table><tr><th>true</th><th>predicted</th><th>examples</th></tr>{}</table>",
        errors.len(),
        rows.collect::<String>()
    )
}

fn table(table: &ScoreTable) -> String {
    let header: String = table.columns.iter().map(|column| format!("<th>{column}</th>")).collect();
    let rows = table.rows.iter().map(|(part, values)| {
        let cells: String = values.iter().map(|value| format!("<td>{value:.4}</td>")).collect();
        format!("<tr><th>{}</th>{cells}</tr>", escape(part))
    });
    format!("<h2>{0}</h2><table><tr><th></th>{header}</tr>{1}</table>", table.title, rows.collect::<String>())
}

fn worst(errors: &[(String, String)]) -> String {
    let rows = errors.iter().map(|(text, explanation)| {
        let shown: String = text.chars().take(300).collect();
        format!(
            "<tr><td class=\"text\">{}</td><td class=\"text\">{}</td></tr>",
            escape(explanation),
            escape(&shown)
        )
    });
    format!("<table><tr><th>predicted</th><th>text</th></tr>{}</table>", rows.collect::<String>())
}

/// A line over optimiser steps as an SVG element; nothing when there are no points.
fn plot(title: &str, points: &[(f64, f64)]) -> Result<String, Box<dyn std::error::Error>> {
    if points.is_empty() {
        return Ok(String::new());
    }
    let (low, high) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(_, y)| (low.min(y), high.max(y)));
    let margin = ((high - low) * 0.1).max(high.abs() * 0.05).max(1e-9);
    let last = points.iter().map(|&(x, _)| x).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 260)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..last, low - margin..high + margin)?;
        let scientific = high.abs() < 1e-3;
        let label = move |y: &f64| if scientific { format!("{y:.1e}") } else { format!("{y:.3}") };
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("optimiser steps")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&label)
            .draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), &BLUE))?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 2, BLUE.filled())))?;
        area.present()?;
    }
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_data_cannot_become_markup() {
        assert_eq!(escape("<script>&\""), "&lt;script&gt;&amp;&quot;");
        assert!(worst(&[("<b>".into(), "\"".into())]).contains("&lt;b&gt;"));
    }

    #[test]
    fn a_plot_of_one_or_equal_points_is_drawn() {
        for points in [vec![(1.0, 0.5)], vec![(1.0, 0.5), (2.0, 0.5)]] {
            assert!(plot("x", &points).unwrap().contains("<svg"));
        }
        assert_eq!(plot("x", &[]).unwrap(), "");
    }
}
