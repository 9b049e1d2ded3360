//! compare.svg: the metric against training time, a point with its interval for each strategy.

use plotters::prelude::*;

use super::summary::StrategyComparison;

const SIZE: (u32, u32) = (860, 520);

/// The figure as an SVG document.
pub(super) fn draw(comparison: &StrategyComparison) -> Result<String, Box<dyn std::error::Error>> {
    let (low, high) = scores(comparison);
    let longest = comparison.strategies.iter().map(|row| row.training_seconds.mean).fold(0.0, f64::max);
    let right = (longest * 1.1).max(1e-3);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(comparison.title(), ("sans-serif", 18))
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
        for (number, row) in comparison.strategies.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let (x, y) = (row.training_seconds.mean, row.test.mean);
            if let Some(interval) = row.test.interval {
                let [bottom, top] = interval.map(|end| end.clamp(low, high));
                let line = |from, to| PathElement::new(vec![from, to], colour.stroke_width(2));
                let half = right * 0.006;
                chart.draw_series([
                    line((x, bottom), (x, top)),
                    line((x - half, bottom), (x + half, bottom)),
                    line((x - half, top), (x + half, top)),
                ])?;
            }
            chart
                .draw_series([Circle::new((x, y), 5, colour.filled())])?
                .label(&row.strategy)
                .legend(move |place| Circle::new((place.0 + 10, place.1), 5, colour.filled()));
        }
        for (number, row) in comparison.baselines.iter().enumerate() {
            let score = row.metrics.first().map_or(low, |&(_, value)| value);
            let style = BLACK.mix(0.7 - 0.3 * number as f64 / comparison.baselines.len() as f64);
            let dashes = dashes(right, score, 30 + 30 * number);
            chart
                .draw_series(dashes.into_iter().map(|dash| PathElement::new(dash, style)))?
                .label(&row.name)
                .legend(move |place| PathElement::new(vec![place, (place.0 + 20, place.1)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

/// A broken line over the whole width at one height.
fn dashes(right: f64, height: f64, count: usize) -> Vec<Vec<(f64, f64)>> {
    let long = right / count as f64;
    let dash = |number: usize| vec![(number as f64 * long, height), ((number as f64 + 0.5) * long, height)];
    (0..count).map(dash).collect()
}

/// The heights that the plot spans. An interval of few seeds may reach beyond what a score can be.
fn scores(comparison: &StrategyComparison) -> (f64, f64) {
    let of_strategies = comparison.strategies.iter().flat_map(|row| {
        let [low, high] = row.test.interval.unwrap_or([row.test.mean; 2]);
        [low.max(row.test.mean - 0.3), row.test.mean, high.min(row.test.mean + 0.3)]
    });
    let of_baselines =
        comparison.baselines.iter().filter_map(|row| row.metrics.first().map(|&(_, value)| value));
    let (low, high) = of_strategies
        .chain(of_baselines)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let margin = ((high - low) * 0.08).max(0.005);
    ((low - margin).max(-1.0), (high + margin).min(1.0 + margin))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::compare::{ScoreDifference, StrategyRow};
    use crate::statistics::Sample;

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
