//! The result in a sentence, and as a figure.

use super::html::{count, score};
use super::{ReportInput, test_examples};
use crate::charts::{Anchor, Canvas, Label, Line, MUTED, SERIES, Scale, escape, text_width};
use crate::tasks::Scores;
use crate::training::JournalRow;

/// Title, result, and which model was kept.
pub(super) fn header(input: &ReportInput<'_>) -> String {
    let results = input.results;
    let stand_ins = [
        ("The model", results.model_stand_in_for.as_ref()),
        ("The dataset", results.data.stand_in_for.as_ref()),
    ];
    let notice = |(what, wanted): (&str, Option<&String>)| {
        wanted.map(|wanted| format!("<p class=\"notice\">{what} stands in for {}.</p>", escape(wanted)))
    };
    format!(
        "<header><p class=\"kind\">Temper fine-tuning report</p><h1>{}</h1><p class=\"result\">{}</p>{}<p>{}</p>{}</header>\n",
        escape(input.title),
        escape(&[measured(input), against_baseline(&results.test)].join(" ")),
        comparison(&results.test),
        escape(&kept(input)),
        stand_ins.into_iter().filter_map(notice).collect::<String>()
    )
}

fn measured(input: &ReportInput<'_>) -> String {
    let test = &input.results.test;
    let interval = test
        .interval
        .map_or(String::new(), |[low, high]| format!(" (95 % interval {} to {})", score(low), score(high)));
    let examples = test_examples(input.results);
    let (examples, plural) = (count(examples), if examples == 1 { "" } else { "s" });
    format!(
        "On {examples} test example{plural}, {} is {}{interval}.",
        readable(test.headline_name()),
        score(test.headline())
    )
}

/// A sentence that says if the model is significantly better than the simplest guess on the test examples.
fn against_baseline(test: &Scores) -> String {
    if !test.baseline.is_finite() {
        return String::new();
    }
    let baseline = format!("the simple baseline ({}: {})", test.baseline_name, score(test.baseline));
    let includes = test.interval.is_some_and(|[low, high]| (low..=high).contains(&test.baseline));
    match (includes, test.is_better_than(test.baseline)) {
        (true, _) => {
            format!("The interval includes {baseline}: these examples do not show that the model is better.")
        }
        (false, true) => format!("That is better than {baseline}."),
        (false, false) => format!("That is not better than {baseline}."),
    }
}

fn kept(input: &ReportInput<'_>) -> String {
    let results = input.results;
    let Some((value, step)) = results.best_validation else { return String::new() };
    let evaluations = input.rows.iter().filter(|row| matches!(row, JournalRow::Eval(_))).count();
    let reason = if evaluations == 1 { "that of the only evaluation" } else { "the best of all evaluations" };
    format!(
        "The model kept is that after step {} of {}: its validation {} of {} is {reason}.",
        count(step),
        count(results.steps),
        readable(input.metric),
        score(value)
    )
}

/// A metric's name in running text.
pub(super) fn readable(metric: &str) -> String {
    match metric {
        "f1" => "F1".into(),
        "macro_f1" => "macro F1".into(),
        "micro_f1" => "micro F1".into(),
        "rmse" | "mae" | "mcc" => metric.to_uppercase(),
        "exact_match" | "exact" => "exact match".into(),
        _ => metric.replace('_', " "),
    }
}

/// The score with its interval and the baseline on one axis.
fn comparison(test: &Scores) -> String {
    const WIDTH: f64 = 460.0;
    const AXIS: f64 = 48.0;
    let value = test.headline();
    let baseline = Some(test.baseline).filter(|baseline| baseline.is_finite());
    let [low, high] = test.interval.unwrap_or([value; 2]);
    let values = [Some(low), Some(value), Some(high), baseline].into_iter().flatten();
    let (from, to) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), value| (from.min(value), to.max(value)));
    if !(from.is_finite() && to.is_finite()) || baseline.is_none() && test.interval.is_none() {
        return String::new();
    }
    let scale = Scale::rounded(from, to, 5, (24.0, WIDTH - 24.0));
    let mut canvas = Canvas::new(WIDTH, 78.0);
    canvas.line((24.0, AXIS), (WIDTH - 24.0, AXIS), Line::new(MUTED, 1.0));
    for (place, text) in scale.ticks() {
        canvas.line((place, AXIS), (place, AXIS + 4.0), Line::new(MUTED, 1.0));
        let label = Label::small(place, AXIS + 18.0, &text);
        canvas.text(label.anchored(Anchor::Middle));
    }
    // A name beside its point, kept within the figure.
    let name = |canvas: &mut Canvas, place: f64, text: &str, y: f64, colour| {
        let half = text_width(text, 12.0) / 2.0;
        let at = place.clamp(half.min(WIDTH / 2.0), (WIDTH - half).max(WIDTH / 2.0));
        canvas.text(Label::new(at, y, text).anchored(Anchor::Middle).coloured(colour));
    };
    if let Some(baseline) = baseline {
        let place = scale.place(baseline);
        canvas.line((place, 34.0), (place, AXIS + 6.0), Line { dashes: "3 2", ..Line::new(SERIES[1], 2.0) });
        name(&mut canvas, place, "simple baseline", 29.0, SERIES[1]);
    }
    if low < high {
        canvas.line((scale.place(low), AXIS), (scale.place(high), AXIS), Line::new(SERIES[0], 5.0));
    }
    canvas.point((scale.place(value), AXIS), 6.0, SERIES[0], 0);
    name(&mut canvas, scale.place(value), "this model, 95 % interval", 12.0, SERIES[0]);
    let axis = format!("{}: {} with its interval and the baseline", test.headline_name(), score(value));
    format!("<figure class=\"strip\">{}</figure>", canvas.element(&axis, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    fn scores(value: f64, interval: Option<[f64; 2]>, baseline: f64) -> Scores {
        Scores {
            metrics: vec![("macro_f1".into(), value)],
            lower_is_better: false,
            interval,
            baseline,
            baseline_name: "always the most common label",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        }
    }

    #[test]
    fn the_verdict_follows_the_interval() {
        let said = |value, interval, baseline| against_baseline(&scores(value, interval, baseline));
        assert!(said(0.8, Some([0.7, 0.9]), 0.5).starts_with("That is better than the simple baseline"));
        assert!(said(0.6, Some([0.4, 0.8]), 0.5).contains("do not show"));
        assert!(said(0.3, Some([0.2, 0.4]), 0.5).starts_with("That is not better"));
        assert!(said(0.6, None, 0.5).starts_with("That is better"));
        assert_eq!(said(0.6, None, f64::NAN), "");
        let lower = Scores { lower_is_better: true, ..scores(0.3, Some([0.2, 0.4]), 0.5) };
        assert!(against_baseline(&lower).starts_with("That is better"));
    }

    #[test]
    fn a_score_without_interval_and_baseline_has_no_axis() {
        assert_eq!(comparison(&scores(0.5, None, f64::NAN)), "");
        for scores in [scores(0.5, None, 0.5), scores(0.0, Some([0.0, 0.0]), 0.0), scores(1e9, None, 0.1)] {
            assert_inside(&comparison(&scores));
        }
    }
}
