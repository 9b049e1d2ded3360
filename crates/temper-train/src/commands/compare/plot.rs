//! compare.svg: the metric against training time, a point with its interval for each strategy.

use super::summary::{BaselineRow, StrategyComparison, StrategyRow};
use crate::charts::{
    Anchor, Canvas, Caption, Colour, GRID, Label, Line, MUTED, SERIES, Scale, number_text, text_width, wrap,
};

/// Size of the plot between its axes.
const PLOT: (f64, f64) = (600.0, 340.0);
const MARGIN: f64 = 16.0;
const TITLE: f64 = 16.0;
const LEADING: f64 = 22.0;
/// Maximum number of characters in each line of a name beside the plot.
const NAME: usize = 34;
/// Dashes of the baselines' lines.
const DASHES: [&str; 4] = ["10 6", "4 4", "12 4 3 4", "2 5"];
/// Height under the plot, for the numbers and the name of the axis.
const FOOT: f64 = 52.0;

/// The figure as an SVG document. It is light or dark, as the reader's screen is.
pub(super) fn draw(comparison: &StrategyComparison) -> String {
    let names = Legend::of(comparison);
    let (low, high) = heights(comparison);
    let longest = comparison.strategies.iter().map(|row| row.training_seconds.mean).fold(0.0, f64::max);
    let scale = |top: f64| Scale::rounded(low, high, 6, (top + PLOT.1, top));
    let widest = scale(0.0).ticks().iter().map(|(_, text)| text_width(text, 12.0)).fold(0.0, f64::max);
    // Room for the vertical text, for the numbers, and for the space around them.
    let left = MARGIN + 20.0 + widest + 10.0;
    let width = left + PLOT.0 + 20.0 + names.width() + MARGIN;
    let title = comparison.title();
    let lines = wrap(&title, ((width - 2.0 * MARGIN) / text_width("n", TITLE)) as usize);
    let top = MARGIN + LEADING * lines.len() as f64 + 34.0;
    let height = (top + PLOT.1 + FOOT).max(top + names.height() + MARGIN);

    let mut canvas = Canvas::new(width.ceil(), height.ceil());
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN + LEADING * number as f64 + TITLE;
        canvas.text(Label::new(MARGIN, y, line).sized(TITLE).bold());
    }
    let note = note(comparison);
    canvas.text(Label::new(MARGIN, top - 22.0, &note).coloured(MUTED));
    let y = scale(top);
    let x = Scale::rounded(0.0, longest.max(1e-3), 6, (left, left + PLOT.0));
    axes(&mut canvas, comparison, &x, &y);
    for (number, row) in comparison.baselines.iter().enumerate() {
        let place = y.place(score(row));
        canvas.line((left, place), (left + PLOT.0, place), of_baseline(number));
    }
    for (number, row) in comparison.strategies.iter().enumerate() {
        strategy(&mut canvas, row, number, (&x, &y));
    }
    names.draw(&mut canvas, left + PLOT.0 + 20.0, top);
    canvas.document(Caption { title: &title, description: &note, language: "en" })
}

fn note(comparison: &StrategyComparison) -> String {
    match comparison.seeds.len() {
        1 => "one seed: no interval".into(),
        seeds => format!("mean over {seeds} seeds with its 95 % interval"),
    }
}

fn axes(canvas: &mut Canvas, comparison: &StrategyComparison, x: &Scale, y: &Scale) {
    let left = x.place(0.0);
    let ticks = y.ticks();
    let foot = ticks.first().map_or(0.0, |(place, _)| *place);
    for (place, text) in &ticks {
        canvas.line((left, *place), (left + PLOT.0, *place), Line::new(GRID, 1.0));
        canvas.text(Label::new(left - 8.0, place + 4.0, text).anchored(Anchor::End).coloured(MUTED));
    }
    for (place, text) in x.ticks() {
        canvas.line((place, foot), (place, foot + 5.0), Line::new(MUTED, 1.0));
        canvas.text(Label::new(place, foot + 19.0, &text).anchored(Anchor::Middle).coloured(MUTED));
    }
    canvas.line((left, foot), (left + PLOT.0, foot), Line::new(MUTED, 1.0));
    let middle = left + PLOT.0 / 2.0;
    canvas.text(Label::new(middle, foot + 40.0, "training time, seconds").anchored(Anchor::Middle));
    let metric = format!("test {}", comparison.metric);
    canvas.upright(Label::new(MARGIN + 12.0, foot - PLOT.1 / 2.0, &metric));
}

/// A point, with the interval of its mean as a line with a bar at both ends. A single run has only the point.
fn strategy(canvas: &mut Canvas, row: &StrategyRow, number: usize, (x, y): (&Scale, &Scale)) {
    let (place, colour) = (x.place(row.training_seconds.mean), colour(number));
    if let Some(interval) = row.test.interval {
        let [bottom, top] = interval.map(|end| y.place(end));
        let line = Line::new(colour, 2.0);
        canvas.line((place, bottom), (place, top), line);
        for end in [bottom, top] {
            canvas.line((place - 5.0, end), (place + 5.0, end), line);
        }
    }
    canvas.point((place, y.place(row.test.mean)), 5.5, colour, shape(number));
}

fn colour(number: usize) -> Colour {
    SERIES[number % SERIES.len()]
}

/// Shapes change with each colour, and again where colours are used again.
fn shape(number: usize) -> usize {
    number + number / SERIES.len()
}

fn of_baseline(number: usize) -> Line {
    Line { dashes: DASHES[number % DASHES.len()], ..Line::new(MUTED, 1.5) }
}

/// The legend. It is beside the plot, where it covers nothing.
struct Legend {
    /// Each name, split into lines, with its score; strategies first.
    each: Vec<Vec<String>>,
    strategies: usize,
}

impl Legend {
    fn of(comparison: &StrategyComparison) -> Self {
        let lines = |name: &str, score: f64| {
            let mut lines = wrap(name, NAME);
            lines.push(if score.abs() < 10.0 { format!("{score:.4}") } else { number_text(score) });
            lines
        };
        let strategies = comparison.strategies.iter().map(|row| lines(&row.strategy, row.test.mean));
        let baselines = comparison.baselines.iter().map(|row| lines(&row.name, score(row)));
        Self { each: strategies.chain(baselines).collect(), strategies: comparison.strategies.len() }
    }

    fn width(&self) -> f64 {
        30.0 + self.each.iter().flatten().map(|line| text_width(line, 13.0)).fold(0.0, f64::max)
    }

    fn height(&self) -> f64 {
        let lines: usize = self.each.iter().map(Vec::len).sum();
        16.0 * lines as f64 + 8.0 * self.each.len() as f64
    }

    fn draw(&self, canvas: &mut Canvas, left: f64, top: f64) {
        let mut y = top + 6.0;
        for (number, lines) in self.each.iter().enumerate() {
            match number.checked_sub(self.strategies) {
                None => canvas.point((left + 10.0, y), 5.5, colour(number), shape(number)),
                Some(baseline) => canvas.line((left, y), (left + 22.0, y), of_baseline(baseline)),
            }
            for (line, text) in lines.iter().enumerate() {
                let label = Label::new(left + 30.0, y + 4.0 + 16.0 * line as f64, text).sized(13.0);
                let is_score = line + 1 == lines.len();
                canvas.text(if is_score { label.coloured(MUTED) } else { label });
            }
            y += 16.0 * lines.len() as f64 + 8.0;
        }
    }
}

fn score(row: &BaselineRow) -> f64 {
    row.metrics.first().map_or(0.0, |&(_, value)| value)
}

/// The scores that the plot spans: all means, both ends of their intervals, and the baselines.
fn heights(comparison: &StrategyComparison) -> (f64, f64) {
    let of_strategies = comparison.strategies.iter().flat_map(|row| {
        let [low, high] = row.test.interval.unwrap_or([row.test.mean; 2]);
        [low, row.test.mean, high]
    });
    let all = of_strategies.chain(comparison.baselines.iter().map(score));
    let finite = all.filter(|value| value.is_finite());
    let spanned = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if spanned.0 <= spanned.1 { spanned } else { (0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::charts::assert_inside;
    use crate::commands::compare::ScoreDifference;
    use temper_metrics::Sample;

    fn row(strategy: &str, values: &[f64], seconds: f64) -> StrategyRow {
        StrategyRow {
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
        }
    }

    fn baseline(name: &str, score: f64) -> BaselineRow {
        BaselineRow {
            name: name.into(),
            metrics: vec![("accuracy".into(), score)],
            interval: None,
            difference: ScoreDifference { mean: 0.0, seeds_p: None, examples_p: None },
            training_seconds: 0.0,
        }
    }

    fn comparison(model: &str, strategies: Vec<StrategyRow>) -> StrategyComparison {
        StrategyComparison {
            training_seconds: 60.0,
            model: model.into(),
            model_stand_in_for: None,
            metric: "accuracy".into(),
            seeds: vec![1, 2],
            best: "all".into(),
            strategies,
            baselines: vec![baseline("majority", 0.5), baseline("tf-idf + logistic regression", 0.75)],
            data: json!({"dataset": "reviews"}),
        }
    }

    #[test]
    fn title_names_and_intervals_are_inside_the_figure() {
        let strategies = vec![
            row("all", &[0.95, 0.99], 120.0),
            row("head", &[0.5], 0.0),
            row("last:2", &[0.2, 0.9], 60.0),
        ];
        let mut found = comparison(&"sentence-transformers/all-MiniLM-L6-v2-".repeat(6), strategies);
        found.model_stand_in_for = Some("google-bert/bert-base-uncased".into());
        found.strategies[2].strategy = format!("pattern:{}", "layers.*.attention.".repeat(8));
        let [low, high] = found.strategies[2].test.interval.unwrap();
        assert!(low < -1.0 && high > 2.0, "the interval of two seeds that differ much is wide");
        assert_inside(&draw(&found));
        // Equal scores, zero seconds and large numbers still give a figure.
        for values in [vec![0.5, 0.5], vec![1e6, 2e6], vec![0.0]] {
            assert_inside(&draw(&comparison("m", vec![row("head", &values, 0.0)])));
        }
    }

    #[test]
    fn every_strategy_and_baseline_is_in_the_figure() {
        let many = (0..14).map(|number| row(&format!("last:{number}"), &[0.5, 0.6], f64::from(number)));
        let svg = draw(&comparison("m <1>", many.collect()));
        for part in
            ["last:0", "last:13", "majority", "tf-idf + logistic", "m &lt;1&gt; on reviews", "over 2 seeds"]
        {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"));
        assert_inside(&svg);
    }
}
