//! Loss, validation scores, learning rate, gradients and speed over the steps.

use super::ReportInput;
use super::headline::readable;
use super::html::{paragraph, score, table};
use crate::charts::{LineChart, Mark, SERIES, Series, escape};
use crate::training::{EvaluationRow, JournalRow, StepRow};

type Points = Vec<(f64, f64)>;
/// What is read of a logged row.
type OfRow = fn(&StepRow) -> f64;

/// The charts, and the evaluations as a table.
pub(super) fn curves(input: &ReportInput<'_>) -> String {
    let train = |value: OfRow| -> Points {
        let rows = input.rows.iter().filter_map(|row| match row {
            JournalRow::Train(row) => Some((row.step as f64, value(row))),
            _ => None,
        });
        rows.collect()
    };
    let evaluations: Vec<&EvaluationRow> = input
        .rows
        .iter()
        .filter_map(|row| match row {
            JournalRow::Eval(row) => Some(row),
            _ => None,
        })
        .collect();
    let kept = input.results.best_validation.map(|(_, step)| step as f64);
    let mut charts = vec![chart("Loss", kept, [train(|row| row.loss), validation(&evaluations, "loss")])];
    // A single point is no curve: the table has it.
    let mut names: Vec<&str> = vec![input.metric];
    names.extend(Some(input.results.test.headline_name()).filter(|name| *name != input.metric));
    for name in names.into_iter().filter(|name| *name != "loss" && evaluations.len() > 1) {
        let title = format!("Validation {}", readable(name));
        charts.push(chart(&title, kept, [Points::new(), validation(&evaluations, name)]));
    }
    let rest: [(&str, OfRow); 3] = [
        ("Learning rate", |row| row.learning_rate),
        ("Gradient norm before clipping", |row| row.grad_norm),
        ("Tokens a second", |row| row.tokens_per_second),
    ];
    charts.extend(rest.map(|(title, value)| chart(title, None, [train(value), Points::new()])));
    let charts: String = charts.concat();
    match charts.is_empty() {
        true => paragraph("Nothing was logged: the run was shorter than its logging interval."),
        false => format!(
            "<div class=\"charts\">{charts}{}</div>",
            list(&evaluations, input.results.best_validation.map(|(_, step)| step))
        ),
    }
}

fn validation(evaluations: &[&EvaluationRow], metric: &str) -> Points {
    let value = |row: &&EvaluationRow| {
        let (_, value) = row.metrics.iter().find(|(name, _)| name == metric)?;
        Some((row.step as f64, *value))
    };
    evaluations.iter().filter_map(value).collect()
}

fn chart(title: &str, kept: Option<f64>, [training, validation]: [Points; 2]) -> String {
    let line = |name, colour, points: Points, marked| Series { name, colour: SERIES[colour], points, marked };
    let series = vec![line("training", 0, training, false), line("validation", 1, validation, true)];
    let mark = kept.map(|step| Mark { step, text: "model kept" });
    let svg = LineChart { title, series, mark }.svg();
    svg.map_or(String::new(), |svg| format!("<figure>{svg}</figure>"))
}

/// Every evaluation on the validation split.
fn list(evaluations: &[&EvaluationRow], kept: Option<usize>) -> String {
    let Some(first) = evaluations.first() else { return String::new() };
    let names: Vec<String> = first.metrics.iter().map(|(name, _)| readable(name)).collect();
    let header: Vec<&str> = ["step", "epoch"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows = evaluations.iter().map(|row| {
        let best = if kept == Some(row.step) { "\u{a0}(kept)" } else { "" };
        let mut cells = vec![format!("{}{best}", row.step), format!("{:.2}", row.epoch)];
        cells.extend(row.metrics.iter().map(|(_, value)| escape(&score(*value))));
        cells
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let title = match rows.len() {
        1 => "The evaluation on the validation split".to_owned(),
        count => format!("The {count} evaluations on the validation split"),
    };
    format!("<figure class=\"list\"><figcaption>{title}</figcaption>{}</figure>", table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_found_by_its_metric() {
        let row = EvaluationRow {
            step: 3,
            epoch: 1.0,
            metrics: vec![("accuracy".into(), 0.5), ("loss".into(), 0.7)],
            best: true,
        };
        assert_eq!(validation(&[&row], "loss"), [(3.0, 0.7)]);
        assert!(validation(&[&row], "f1").is_empty());
        assert!(list(&[&row], Some(3)).contains("3\u{a0}(kept)") && list(&[], None).is_empty());
        assert_eq!(chart("x", None, [Vec::new(), Vec::new()]), "");
    }
}
