//! A chart of values over optimiser steps.

use serde_json::json;

use super::canvas::{Anchor, Canvas, Label, Line, escape, text_width};
use super::palette::{Colour, GRID, MUTED};
use super::scale::{Scale, number_text};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 16.0;
/// Points of a line at most: more are joined to means of neighbours.
const MOST_POINTS: usize = 400;

/// Values of one kind.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) colour: Colour,
    /// Step and value, by step.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point is marked: where there are few.
    pub(crate) marked: bool,
}

/// A step that is pointed out.
pub(crate) struct Mark<'a> {
    pub(crate) step: f64,
    pub(crate) text: &'a str,
}

/// A chart of values over optimiser steps.
pub(crate) struct LineChart<'a> {
    pub(crate) title: &'a str,
    pub(crate) series: Vec<Series<'a>>,
    pub(crate) mark: Option<Mark<'a>>,
}

impl LineChart<'_> {
    /// The chart as an SVG element; nothing without finite points.
    ///
    /// Its attribute `data-series` has what a script shows at the pointer: of each series the name, the colour and the
    /// points, each as `[step, value in words, x, y]`.
    pub(crate) fn svg(mut self) -> Option<String> {
        for series in &mut self.series {
            series.points.retain(|(step, value)| step.is_finite() && value.is_finite());
            series.points = thinned(std::mem::take(&mut series.points));
        }
        self.series.retain(|series| !series.points.is_empty());
        let values = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let (low, high) = values()
            .map(|(_, value)| value)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        let last = values().map(|(step, _)| step).fold(1.0, f64::max);
        let y = Scale::rounded(low, high, 5, (HEIGHT - BOTTOM, TOP));
        let widest = y.ticks().iter().map(|(_, text)| text_width(text, 11.0)).fold(0.0, f64::max);
        let left = widest + 14.0;
        // Steps are whole numbers.
        let x = Scale::exact(0.0, last, (last as usize).clamp(1, 5), (left, WIDTH - RIGHT));
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        self.axes(&mut canvas, &x, &y);
        self.mark(&mut canvas, &x);
        for (number, series) in self.series.iter().enumerate() {
            let places = || series.points.iter().map(|&(step, value)| (x.place(step), y.place(value)));
            if series.points.len() > 1 {
                let line = Line::new(series.colour, 2.0);
                let dashes = if number == 0 { "" } else { "6 3" };
                canvas.path(places(), Line { dashes, ..line });
            }
            if series.marked || series.points.len() == 1 {
                places().for_each(|place| canvas.point(place, 4.0, series.colour, number));
            }
        }
        self.legend(&mut canvas);
        let shown: Vec<serde_json::Value> = self
            .series
            .iter()
            .map(|series| {
                let point = |&(step, value): &(f64, f64)| {
                    let place = |at: f64| (at * 10.0).round() / 10.0;
                    json!([step.round(), number_text(value), place(x.place(step)), place(y.place(value))])
                };
                let points: Vec<_> = series.points.iter().map(point).collect();
                json!({"name": series.name, "colour": series.colour.name, "points": points})
            })
            .collect();
        let data = serde_json::Value::Array(shown).to_string();
        let attributes = format!(
            "class=\"chart\" data-top=\"{TOP}\" data-bottom=\"{}\" data-series=\"{}\"",
            HEIGHT - BOTTOM,
            escape(&data)
        );
        Some(canvas.element(&self.description(), &attributes))
    }

    /// For those who cannot see the chart.
    fn description(&self) -> String {
        let ends = |series: &Series<'_>| {
            let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
                return String::new();
            };
            let [from, to] = [first.1, last.1].map(number_text);
            format!(
                "; {}: from {from} at step {} to {to} at step {}",
                series.name,
                first.0.round(),
                last.0.round()
            )
        };
        format!("{}{}", self.title, self.series.iter().map(ends).collect::<String>())
    }

    fn axes(&self, canvas: &mut Canvas, x: &Scale, y: &Scale) {
        let (left, right, foot) = (x.place(0.0), WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (place, text) in y.ticks() {
            canvas.line((left, place), (right, place), Line::new(GRID, 1.0));
            canvas.text(Label::small(left - 6.0, place + 4.0, &text).anchored(Anchor::End));
        }
        for (place, text) in x.ticks() {
            canvas.line((place, foot), (place, foot + 4.0), Line::new(MUTED, 1.0));
            let half = text_width(&text, 11.0) / 2.0;
            let at = place.min(WIDTH - half);
            canvas.text(Label::small(at, foot + 17.0, &text).anchored(Anchor::Middle));
        }
        canvas.line((left, foot), (right, foot), Line::new(MUTED, 1.0));
        let middle = (left + right) / 2.0;
        canvas.text(Label::small(middle, HEIGHT - 8.0, "optimiser step").anchored(Anchor::Middle));
        canvas.text(Label::new(6.0, 18.0, self.title).bold().sized(13.0));
    }

    /// A line at a step, with words beside it where there is room.
    fn mark(&self, canvas: &mut Canvas, x: &Scale) {
        let Some(Mark { step, text }) = &self.mark else { return };
        let (place, width) = (x.place(*step), text_width(text, 11.0));
        let line = Line { dashes: "2 3", ..Line::new(MUTED, 1.0) };
        canvas.line((place, TOP), (place, HEIGHT - BOTTOM), line);
        let fits = place + 5.0 + width <= WIDTH - RIGHT;
        let (at, anchor) = if fits { (place + 5.0, Anchor::Start) } else { (place - 5.0, Anchor::End) };
        canvas.text(Label::small(at, HEIGHT - BOTTOM - 6.0, text).anchored(anchor));
    }

    /// Names of the series, from the right; of a single one the title says enough.
    fn legend(&self, canvas: &mut Canvas) {
        if self.series.len() < 2 {
            return;
        }
        let mut right = WIDTH - RIGHT;
        for (number, series) in self.series.iter().enumerate().rev() {
            canvas.text(Label::new(right, 18.0, series.name).anchored(Anchor::End));
            right -= 0.9 * text_width(series.name, 12.0) + 6.0;
            canvas.point((right, 14.0), 4.0, series.colour, number);
            right -= 14.0;
        }
    }
}

/// The same line with [`MOST_POINTS`] points at most: each the mean of as many neighbours.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    points.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::{SERIES, assert_inside};

    fn chart(series: Vec<Vec<(f64, f64)>>) -> LineChart<'static> {
        let series = series.into_iter().enumerate().map(|(number, points)| Series {
            name: ["training", "validation"][number],
            colour: SERIES[number],
            points,
            marked: number > 0,
        });
        LineChart { title: "Loss", series: series.collect(), mark: Some(Mark { step: 1.0, text: "kept" }) }
    }

    #[test]
    fn one_point_or_equal_points_are_drawn_and_none_are_not() {
        for points in
            [vec![(1.0, 0.5)], vec![(1.0, 0.5), (2.0, 0.5)], vec![(3.0, 0.0)], vec![(1e6, -1e9), (2e6, 1e-9)]]
        {
            assert_inside(&chart(vec![points]).svg().unwrap());
        }
        assert!(chart(vec![vec![], vec![(1.0, f64::NAN)]]).svg().is_none());
    }

    #[test]
    fn a_long_run_is_drawn_by_means() {
        let points: Vec<(f64, f64)> =
            (0..1000).map(|step| (f64::from(step), 2.0 * f64::from(step))).collect();
        let thinned = thinned(points);
        assert!(thinned.len() <= MOST_POINTS && thinned.len() > MOST_POINTS / 2);
        assert_eq!(thinned[0], (1.0, 2.0));
    }

    #[test]
    fn a_script_finds_values_and_places() {
        let svg = chart(vec![vec![(0.0, 1.0), (2.0, 0.5)], vec![(2.0, 0.75)]]).svg().unwrap();
        assert!(svg.contains("&quot;name&quot;:&quot;validation&quot;"), "{svg}");
        assert!(svg.contains("[2.0,&quot;0.75&quot;,444.0,"), "{svg}");
        assert!(svg.contains("training: from 1 at step 0 to 0.5 at step 2"), "{svg}");
    }
}
