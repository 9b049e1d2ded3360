//! How far each part of a model moved in several runs.

use super::language::{Language, Word};
use super::transfer::{MovedPart, stillness};
use crate::charts::{
    Anchor, Canvas, Caption, GRID, Label, Line, MUTED, SERIES, Scale, change_text, text_width,
};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 16.0;
const TOP: f64 = 66.0;
const PITCH: f64 = 26.0;
const LEADING: f64 = 20.0;

/// A run's name with its parts, from the bottom of the model to the top.
pub(crate) type MovedRun = (String, Vec<MovedPart>);

/// The figure as an SVG document: a row for each part, a point for each run in which it moved; none where nothing did.
pub(crate) fn draw(runs: &[MovedRun], language: Language) -> Option<String> {
    let changes = || runs.iter().flat_map(|(_, parts)| parts).filter_map(moved);
    let (low, high) = changes()
        .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), change| (low.min(change), high.max(change)));
    if high <= 0.0 {
        return None;
    }
    let parts: Vec<&str> = runs.first()?.1.iter().rev().map(|part| part.part.as_str()).collect();
    let names = parts.iter().map(|part| text_width(&language.part(part), 12.0)).fold(0.0, f64::max);
    let left = MARGIN + names + 14.0;
    let scale = Scale::logarithmic(100.0 * low, 100.0 * high, (left, WIDTH - MARGIN - 30.0));
    let foot = TOP + PITCH * parts.len() as f64;
    let mut canvas = Canvas::new(WIDTH, foot + 60.0 + LEADING * runs.len() as f64);
    let title = language.word(Word::Movement);
    canvas.text(Label::new(MARGIN, 28.0, title).sized(16.0).bold());
    canvas.text(Label::small(MARGIN, 48.0, language.word(Word::ChangeExplained)));
    for (place, text) in scale.ticks() {
        canvas.line((place, TOP), (place, foot), Line::new(GRID, 1.0));
        canvas.text(Label::small(place, foot + 18.0, &format!("{text} %")).anchored(Anchor::Middle));
    }
    for (row, part) in parts.iter().enumerate() {
        let y = TOP + PITCH * (row as f64 + 0.5);
        canvas.text(Label::new(left - 8.0, y + 4.0, &language.part(part)).anchored(Anchor::End));
        canvas.line((left, y), (WIDTH - MARGIN, y), Line { dashes: "1 4", ..Line::new(MUTED, 1.0) });
        for (number, (_, moved_parts)) in runs.iter().enumerate() {
            let change = moved_parts.iter().find(|other| other.part == *part).and_then(moved);
            if let Some(change) = change {
                canvas.point((scale.place(100.0 * change), y), 5.0, SERIES[number % SERIES.len()], number);
            }
        }
    }
    for (number, (name, _)) in runs.iter().enumerate() {
        let y = foot + 46.0 + LEADING * number as f64;
        canvas.point((MARGIN + 6.0, y), 5.0, SERIES[number % SERIES.len()], number);
        canvas.text(Label::new(MARGIN + 20.0, y + 4.0, name));
    }
    let description = runs.iter().map(|run| described(run, language)).collect::<Vec<_>>();
    let description = description.join(language.pick(". ", "。"));
    Some(canvas.document(Caption { title, description: &description, language: language.tag() }))
}

fn moved(part: &MovedPart) -> Option<f64> {
    part.relative_change.filter(|change| change.is_finite() && *change > 0.0)
}

/// For those who cannot see the figure.
fn described((name, parts): &MovedRun, language: Language) -> String {
    let each = parts.iter().map(|part| {
        let change = moved(part).map_or_else(|| stillness(part, language).to_owned(), change_text);
        format!("{} {change}", language.part(&part.part))
    });
    language.says(name, &each.collect::<Vec<_>>().join(language.comma()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    #[test]
    fn each_run_has_a_point_where_a_part_moved() {
        let part = |name: &str, change| MovedPart {
            part: name.into(),
            parameters: 10,
            trained: usize::from(change > 0.0),
            relative_change: Some(change),
        };
        let runs = vec![
            ("all".to_owned(), vec![part("embeddings", 0.001), part("layer 0", 0.02), part("head", 1.0)]),
            ("head".to_owned(), vec![part("embeddings", 0.0), part("layer 0", 0.0), part("head", 0.5)]),
        ];
        for language in [Language::English, Language::TraditionalChinese] {
            let svg = draw(&runs, language).expect("something moved");
            assert_inside(&svg);
            // Three points and one, and one each in the legend.
            assert_eq!(svg.matches("<circle").count() + svg.matches("<polygon").count(), 6, "{svg}");
        }
        let svg = draw(&runs, Language::English).expect("something moved");
        assert!(svg.contains("head: embeddings frozen, layer 0 frozen, head 50 %"), "{svg}");
        assert!(draw(&[("still".into(), vec![part("head", 0.0)])], Language::English).is_none());
    }
}
