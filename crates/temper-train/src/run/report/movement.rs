//! How far each part of the model moved from where it began.

use super::html::percent;
use crate::charts::{Anchor, Canvas, GRID, Label, Line, MUTED, SERIES, Scale, change_text, text_width};
use temper_freeze::PartMovement;

const WIDTH: f64 = 460.0;
const PITCH: f64 = 20.0;
const TOP: f64 = 30.0;

/// A row for each part, from the head down to the embeddings: a point at its relative change, on a logarithmic axis.
pub(super) fn movement(parts: &[PartMovement]) -> String {
    let changes: Vec<f64> = parts.iter().filter_map(changed).collect();
    let (Some(low), Some(high)) =
        (changes.iter().copied().reduce(f64::min), changes.iter().copied().reduce(f64::max))
    else {
        return String::new();
    };
    let names = parts.iter().map(|part| text_width(&part.part, 12.0)).fold(0.0, f64::max);
    let left = names.min(WIDTH / 2.0) + 14.0;
    let scale = Scale::logarithmic(100.0 * low, 100.0 * high, (left, WIDTH - 80.0));
    let foot = TOP + PITCH * parts.len() as f64;
    let mut canvas = Canvas::new(WIDTH, foot + 36.0);
    canvas.text(Label::new(6.0, 16.0, "Relative change").bold().sized(13.0));
    for (place, text) in scale.ticks() {
        canvas.line((place, TOP), (place, foot), Line::new(GRID, 1.0));
        let text = format!("{text} %");
        canvas.text(Label::small(place, foot + 15.0, &text).anchored(Anchor::Middle));
    }
    for (row, part) in parts.iter().rev().enumerate() {
        let y = TOP + PITCH * (row as f64 + 0.5);
        canvas.text(Label::new(left - 8.0, y + 4.0, &part.part).anchored(Anchor::End));
        match changed(part) {
            Some(change) => {
                let place = scale.place(100.0 * change);
                canvas.line((left, y), (place, y), Line::new(SERIES[0], 2.0));
                canvas.point((place, y), 5.0, SERIES[0], 0);
                canvas.text(Label::new(place + 9.0, y + 4.0, &change_text(change)).coloured(MUTED));
            }
            None => canvas.text(Label::new(left + 4.0, y + 4.0, stillness(part)).coloured(MUTED)),
        }
    }
    let middle = (left + WIDTH - 80.0) / 2.0;
    let axis = "change of its weights, as a share of their norm at the start";
    canvas.text(Label::small(middle, foot + 32.0, axis).anchored(Anchor::Middle));
    let said: Vec<String> = parts
        .iter()
        .map(|part| {
            let moved = changed(part).map_or_else(|| stillness(part).to_owned(), change_text);
            format!(
                "{}: {moved}, {} of its parameters train",
                part.part,
                percent(part.trained, part.parameters)
            )
        })
        .collect();
    let title = format!("How far each part moved. {}", said.join("; "));
    format!("<figure class=\"movement\">{}</figure>", canvas.element(&title, ""))
}

/// The change of a part that moved.
fn changed(part: &PartMovement) -> Option<f64> {
    part.relative_change.filter(|change| change.is_finite() && *change > 0.0)
}

fn stillness(part: &PartMovement) -> &'static str {
    match part.relative_change {
        Some(_) if part.trained == 0 => "frozen",
        Some(_) => "no change",
        None => "began at 0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::assert_inside;

    fn part(name: &str, trained: usize, relative_change: Option<f64>) -> PartMovement {
        PartMovement { part: name.into(), parameters: 10, trained, relative_change }
    }

    #[test]
    fn parts_stand_with_what_they_moved() {
        let parts = [
            part("embeddings", 0, Some(0.0)),
            part("layer 0", 10, Some(0.0123)),
            part("final norm", 10, None),
            part("head", 10, Some(1.5)),
        ];
        let svg = movement(&parts).replace('\u{a0}', " ");
        assert_inside(&svg);
        for words in [
            ">frozen<",
            ">1.2 %<",
            ">began at 0<",
            ">150 %<",
            "layer 0: 1.2 %, 100 % of its parameters train",
        ] {
            assert!(svg.contains(words), "{words} is not in {svg}");
        }
        assert!(svg.find(">head<").unwrap() < svg.find(">layer 0<").unwrap(), "the head is above");
        assert_eq!(movement(&parts[..1]), "", "nothing moved");
    }
}
