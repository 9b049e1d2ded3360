//! Curves of several runs in one chart: loss, learning rate, scores.

use super::language::Language;
use crate::charts::{
    Anchor, Canvas, Caption, Colour, GRID, Label, Line, MUTED, SERIES, Scale, number_text, text_width,
};

const WIDTH: f64 = 720.0;
const PLOT: f64 = 300.0;
const TOP: f64 = 54.0;
const MARGIN: f64 = 16.0;
const LEADING: f64 = 20.0;
const DASHES: [&str; 6] = ["", "8 4", "3 3", "10 4 2 4", "1 3", "14 5"];

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves over one axis.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// What the horizontal axis counts, in whole numbers.
    pub(crate) axis: &'a str,
    pub(crate) curves: Vec<Curve>,
    /// Whether each point is marked: where there are few.
    pub(crate) marked: bool,
}

impl Chart<'_> {
    /// The chart as an SVG document; none without a finite point.
    pub(crate) fn draw(mut self, language: Language) -> Option<String> {
        for curve in &mut self.curves {
            curve.points.retain(|(x, y)| x.is_finite() && y.is_finite());
        }
        self.curves.retain(|curve| !curve.points.is_empty());
        let points = || self.curves.iter().flat_map(|curve| curve.points.iter().copied());
        let (low, high) = points()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, y)| (low.min(y), high.max(y)));
        if low > high {
            return None;
        }
        let last = points().map(|(x, _)| x).fold(1.0, f64::max);
        let y = Scale::rounded(low, high, 6, (TOP + PLOT, TOP));
        let ticks = y.ticks();
        let widest = ticks.iter().map(|(_, text)| text_width(text, 11.0)).fold(0.0, f64::max);
        let left = MARGIN + widest + 8.0;
        let x = Scale::exact(0.0, last, (last as usize).clamp(1, 8), (left, WIDTH - MARGIN - 8.0));
        let foot = TOP + PLOT;
        let height = foot + 56.0 + LEADING * self.curves.len() as f64 + 4.0;
        let mut canvas = Canvas::new(WIDTH, height);
        canvas.text(Label::new(MARGIN, 28.0, self.title).sized(16.0).bold());
        for (place, text) in &ticks {
            canvas.line((left, *place), (WIDTH - MARGIN, *place), Line::new(GRID, 1.0));
            canvas.text(Label::small(left - 6.0, place + 4.0, text).anchored(Anchor::End));
        }
        for (place, text) in x.ticks() {
            canvas.line((place, foot), (place, foot + 4.0), Line::new(MUTED, 1.0));
            canvas.text(Label::small(place, foot + 18.0, &text).anchored(Anchor::Middle));
        }
        canvas.line((left, foot), (WIDTH - MARGIN, foot), Line::new(MUTED, 1.0));
        let middle = (left + WIDTH - MARGIN) / 2.0;
        canvas.text(Label::small(middle, foot + 36.0, self.axis).anchored(Anchor::Middle));
        for (number, curve) in self.curves.iter().enumerate() {
            self.curve(&mut canvas, number, curve, (&x, &y));
        }
        self.legend(&mut canvas, foot + 60.0);
        let said: Vec<String> = self.curves.iter().map(|curve| described(curve, language)).collect();
        let description = said.join(language.semicolon());
        let caption = Caption { title: self.title, description: &description, language: language.tag() };
        Some(canvas.document(caption))
    }

    fn curve(&self, canvas: &mut Canvas, number: usize, curve: &Curve, (x, y): (&Scale, &Scale)) {
        let places = || curve.points.iter().map(|&(at, value)| (x.place(at), y.place(value)));
        canvas.path(places(), style(number));
        if self.marked || curve.points.len() == 1 {
            places().for_each(|place| canvas.point(place, 4.5, colour(number), number));
        }
    }

    fn legend(&self, canvas: &mut Canvas, top: f64) {
        for (number, curve) in self.curves.iter().enumerate() {
            let y = top + LEADING * number as f64;
            canvas.line((MARGIN, y), (MARGIN + 34.0, y), style(number));
            if self.marked {
                canvas.point((MARGIN + 17.0, y), 4.5, colour(number), number);
            }
            canvas.text(Label::new(MARGIN + 44.0, y + 4.0, &curve.name));
        }
    }
}

fn colour(number: usize) -> Colour {
    SERIES[number % SERIES.len()]
}

fn style(number: usize) -> Line {
    Line { dashes: DASHES[number % DASHES.len()], ..Line::new(colour(number), 2.0) }
}

/// A curve's ends, for those who cannot see it.
fn described(curve: &Curve, language: Language) -> String {
    let (Some(first), Some(last)) = (curve.points.first(), curve.points.last()) else {
        return curve.name.clone();
    };
    let [x0, y0, x1, y1] = [first.0, first.1, last.0, last.1].map(number_text);
    let said = match language {
        Language::English => format!("from {y0} at {x0} to {y1} at {x1}"),
        Language::TraditionalChinese => format!("從 {x0} 處的 {y0} 到 {x1} 處的 {y1}"),
    };
    language.says(&curve.name, &said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    #[test]
    fn curves_are_drawn_with_their_ends_and_none_without_points() {
        let curve = |name: &str, points: &[(f64, f64)]| Curve { name: name.into(), points: points.into() };
        let chart = |curves| Chart { title: "Loss", axis: "step", curves, marked: true };
        let curves =
            vec![curve("all", &[(1.0, 0.7), (2.0, f64::NAN), (9.0, 0.25)]), curve("head", &[(4.0, 0.6)])];
        let svg = chart(curves.clone()).draw(Language::English).expect("points");
        assert_inside(&svg);
        assert!(svg.contains("all: from 0.7 at 1 to 0.25 at 9; head: from 0.6 at 4"), "{svg}");
        assert_inside(&chart(curves).draw(Language::TraditionalChinese).expect("points"));
        assert!(chart(vec![curve("all", &[(1.0, f64::INFINITY)])]).draw(Language::English).is_none());
    }
}
