//! A check that everything in a figure is within its frame; for tests.

use svg::node::Attributes;
use svg::node::element::tag::Type;
use svg::parser::Event;

use super::text_width;

/// A text that is being read: its place, size and anchor.
struct PlacedText {
    at: (f64, f64),
    size: f64,
    anchor: String,
}

/// Fails where text, a line, a bar or a point of a figure leaves its viewBox.
pub(crate) fn assert_inside(figure: &str) {
    let (mut frame, mut written, mut moved) = ((0.0, 0.0), None, None);
    for event in svg::read(figure).unwrap() {
        match event {
            Event::Tag("svg", Type::Start, attributes) => {
                let view: Vec<f64> = numbers(&text(&attributes, "viewBox"));
                frame = (view[2], view[3]);
            }
            Event::Tag("g", Type::Start, attributes) => {
                let place = text(&attributes, "transform");
                let place = place.strip_prefix("translate(").unwrap().split(')').next().unwrap();
                moved = Some(numbers(place));
            }
            Event::Tag("g", Type::End, _) => moved = None,
            Event::Tag("text", Type::Start, attributes) => {
                let number = |name| text(&attributes, name).parse().unwrap();
                let at = (number("x"), number("y"));
                let (size, anchor) = (number("font-size"), text(&attributes, "text-anchor"));
                written = Some(PlacedText { at, size, anchor });
            }
            Event::Tag(name, Type::Start | Type::Empty, attributes) => {
                corners(name, &attributes).into_iter().for_each(|corner| assert_within(corner, frame, name));
            }
            Event::Text(words) => {
                let Some(place) = written.take() else { continue };
                for corner in text_corners(&place, words, moved.as_deref()) {
                    assert_within(corner, frame, words);
                }
            }
            _ => {}
        }
    }
    assert!(frame.0 > 0.0, "no figure: {figure}");
}

fn assert_within((x, y): (f64, f64), (width, height): (f64, f64), what: &str) {
    let inside = (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
    assert!(inside, "{what} at {x} {y} is outside of {width} x {height}");
}

fn text(attributes: &Attributes, name: &str) -> String {
    attributes.get(name).map_or(String::new(), |value| value.to_string())
}

fn numbers(text: &str) -> Vec<f64> {
    text.split([' ', ',']).map(|number| number.parse().unwrap()).collect()
}

/// The ends of a line, the corners of a shape.
fn corners(name: &str, attributes: &Attributes) -> Vec<(f64, f64)> {
    let number = |name: &str| text(attributes, name).parse().unwrap_or(0.0);
    match name {
        "line" => vec![(number("x1"), number("y1")), (number("x2"), number("y2"))],
        "circle" => vec![(number("cx"), number("cy"))],
        "rect" => {
            let (x, y) = (number("x"), number("y"));
            vec![(x, y), (x + number("width"), y + number("height"))]
        }
        "polyline" | "polygon" => {
            numbers(&text(attributes, "points")).chunks(2).map(|point| (point[0], point[1])).collect()
        }
        _ => Vec::new(),
    }
}

/// Two corners of a text; one that was moved reads upwards.
fn text_corners(place: &PlacedText, words: &str, moved: Option<&[f64]>) -> [(f64, f64); 2] {
    let width = text_width(words, place.size);
    let from = match place.anchor.as_str() {
        "middle" => place.at.0 - width / 2.0,
        "end" => place.at.0 - width,
        _ => place.at.0,
    };
    match moved {
        None => [(from, place.at.1 - place.size), (from + width, place.at.1)],
        Some(moved) => [(moved[0] - place.size, moved[1] - from), (moved[0], moved[1] - from - width)],
    }
}
