//! compare.svg: the metric against training time, a point with its interval for each strategy.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::summary::{BaselineRow, StrategyComparison, StrategyRow};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawError = Box<dyn std::error::Error>;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 520;
/// Of the names beside the plot.
const NAMES: u32 = 210;
const LINE: i32 = 22;

/// The figure as an SVG document.
pub(super) fn draw(comparison: &StrategyComparison) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(WIDTH - NAMES);
        points(&left, comparison)?;
        names(&right, comparison)?;
        area.present()?;
    }
    Ok(svg)
}

fn points(area: &Area<'_>, comparison: &StrategyComparison) -> Result<(), DrawError> {
    let (low, high) = heights(comparison);
    let longest = comparison.strategies.iter().map(|row| row.training_seconds.mean).fold(0.0, f64::max);
    let right = (longest * 1.1).max(1e-3);
    let mut chart = ChartBuilder::on(area)
        .caption(comparison.title(), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("training time, seconds")
        .y_desc(format!("test {}", comparison.metric))
        .x_label_formatter(&|x| if right < 10.0 { format!("{x:.1}") } else { format!("{x:.0}") })
        .y_label_formatter(&|y| format!("{y:.3}"))
        .draw()?;
    for (number, row) in comparison.baselines.iter().enumerate() {
        let dashes = dashes(right, score(row), 1 + number);
        chart.draw_series(dashes.into_iter().map(|dash| PathElement::new(dash, BLACK.mix(0.5))))?;
    }
    for (number, row) in comparison.strategies.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let bars = bars(row, right * 0.006, (low, high));
        chart.draw_series(bars.into_iter().map(|bar| PathElement::new(bar, colour.stroke_width(2))))?;
        let place = (row.training_seconds.mean, row.test.mean);
        chart.draw_series([Circle::new(place, 5, colour.filled())])?;
    }
    Ok(())
}

/// What is what, beside the plot: there it covers nothing.
fn names(area: &Area<'_>, comparison: &StrategyComparison) -> Result<(), DrawError> {
    let mut height = 48;
    let text = |name: &str, height: i32| {
        let shown: String = name.chars().take(30).collect();
        Text::new(shown, (30, height - 7), ("sans-serif", 14))
    };
    for (number, row) in comparison.strategies.iter().enumerate() {
        area.draw(&Circle::new((14, height), 5, Palette99::pick(number).filled()))?;
        area.draw(&text(&row.strategy, height))?;
        height += LINE;
    }
    for (number, row) in comparison.baselines.iter().enumerate() {
        for [from, to] in dash_ends(20, 1 + number) {
            let line = vec![(4 + from as i32, height), (4 + to as i32, height)];
            area.draw(&PathElement::new(line, BLACK.mix(0.5)))?;
        }
        area.draw(&text(&row.name, height))?;
        height += LINE;
    }
    Ok(())
}

fn score(row: &BaselineRow) -> f64 {
    row.metrics.first().map_or(0.0, |&(_, value)| value)
}

/// The interval of a strategy's mean, with a bar at both ends; nothing of a single run.
fn bars(row: &StrategyRow, half: f64, (low, high): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let Some(interval) = row.test.interval else { return Vec::new() };
    let x = row.training_seconds.mean;
    let [bottom, top] = interval.map(|end| end.clamp(low, high));
    let across = |y: f64| vec![(x - half, y), (x + half, y)];
    vec![vec![(x, bottom), (x, top)], across(bottom), across(top)]
}

/// A broken line over the whole width at one height.
fn dashes(right: f64, height: f64, kind: usize) -> Vec<Vec<(f64, f64)>> {
    let width = f64::from(WIDTH - NAMES);
    let at = |pixel: f64| (pixel / width * right, height);
    dash_ends(WIDTH - NAMES, kind).map(|[from, to]| vec![at(from), at(to)]).collect()
}

/// Where the dashes of a line begin and end, in pixels; each kind has shorter ones than the last.
fn dash_ends(width: u32, kind: usize) -> impl Iterator<Item = [f64; 2]> {
    let period = 16.0 / kind as f64;
    let count = (f64::from(width) / period) as usize;
    (0..count).map(move |number| [number as f64 * period, (number as f64 + 0.6) * period])
}

/// The heights that the plot spans. An interval of few seeds may reach beyond what a score can be.
fn heights(comparison: &StrategyComparison) -> (f64, f64) {
    let of_strategies = comparison.strategies.iter().flat_map(|row| {
        let [low, high] = row.test.interval.unwrap_or([row.test.mean; 2]);
        [low.max(row.test.mean - 0.3), row.test.mean, high.min(row.test.mean + 0.3)]
    });
    let (low, high) = of_strategies
        .chain(comparison.baselines.iter().map(score))
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let margin = ((high - low) * 0.08).max(0.005);
    ((low - margin).max(-1.0), (high + margin).min(1.0 + margin))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::compare::ScoreDifference;
    use temper_metrics::Sample;

    #[test]
    fn every_strategy_is_in_the_figure() {
        let row = |strategy: &str, values: &[f64], seconds: f64| StrategyRow {
            strategy: strategy.into(),
            trainable_parameters: 1,
            total_parameters: 2,
            test: Sample::of(values.to_vec()).unwrap(),
            validation: None,
            difference: None::<ScoreDifference>,
            training_seconds: Sample::of(vec![seconds]).unwrap(),
            tokens_per_second: 1.0,
            peak_memory_bytes: None,
            trunk_cache_hit_rate: None,
            runs: Vec::new(),
        };
        let mut comparison = StrategyComparison {
            training_seconds: 60.0,
            model: "m <1>".into(),
            model_stand_in_for: None,
            metric: "accuracy".into(),
            seeds: vec![1],
            best: "all".into(),
            strategies: vec![row("all", &[0.9, 0.8], 9.0), row("head", &[0.5], 0.0)],
            baselines: Vec::new(),
            data: json!({"dataset": "reviews"}),
        };
        let svg = draw(&comparison).unwrap();
        for part in ["<svg", "all", "head", "m &lt;1&gt; on reviews"] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        // Equal scores, no time at all: still a figure.
        comparison.strategies = vec![row("head", &[0.5, 0.5], 0.0)];
        assert!(draw(&comparison).unwrap().contains("head"));
    }
}
